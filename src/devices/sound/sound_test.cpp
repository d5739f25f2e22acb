#include "devices/sound/sound.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <mutex>

#include "spec/virtio.h"
#include "virtio/testing/fake_driver.h"

namespace alcove::devices::sound {
namespace {

namespace wire = spec::virtio_sound;
using namespace std::chrono_literals;
using virtio::testing::Bytes;
using virtio::testing::bytes_of;
using virtio::testing::FakeGuest;
using virtio::testing::FakeQueue;
using wire::Status;

constexpr uint32_t kFrame = 4;              // 16 bits, two channels.
constexpr uint32_t kPeriod = 480 * kFrame;  // 10 ms.

// What both of the ends below tell, and how they are told to behave. -1: the device's clock sets the pace.
struct Behaviour {
  std::atomic<int64_t> ready = -1;
  std::atomic<bool> refuses = false;
  std::atomic<bool> loses = false;
  std::atomic<uint32_t> latency = 0;
  std::atomic<int> starts = 0, stops = 0, releases = 0, prepares = 0;
  UniqueFd event{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::mutex mutex;  // Guards the next.
  Bytes played;

  Bytes take() {
    const std::lock_guard lock(mutex);
    return std::exchange(played, {});
  }
  void set_ready(int64_t value) {
    ready = value;
    eventfd_write(event.get(), 1);
  }
};

template <class Base>
class FakeEnd : public Base {
 public:
  explicit FakeEnd(Behaviour& behaviour) : behaviour_(behaviour) {}
  const audio::Offer& offer() const override { return offer_; }
  bool prepare(const audio::Format&) override {
    ++behaviour_.prepares;
    return !behaviour_.refuses;
  }
  void start() override { ++behaviour_.starts; }
  void stop() override { ++behaviour_.stops; }
  void release() override { ++behaviour_.releases; }
  std::optional<uint64_t> ready() override {
    if (behaviour_.ready < 0) return {};
    return static_cast<uint64_t>(behaviour_.ready);
  }
  int event() const override { return behaviour_.event.get(); }
  uint32_t latency() override { return behaviour_.latency; }

 protected:
  void spend(size_t size) {
    if (behaviour_.ready >= 0) behaviour_.ready -= static_cast<int64_t>(size);
  }
  Behaviour& behaviour_;
  const audio::Offer offer_ = audio::Offer::anything();
};

class FakeOutput final : public FakeEnd<audio::Output> {
 public:
  using FakeEnd::FakeEnd;
  bool write(std::span<const std::byte> frames) override {
    const std::lock_guard lock(behaviour_.mutex);
    behaviour_.played.insert(behaviour_.played.end(), frames.begin(), frames.end());
    spend(frames.size());
    return !behaviour_.loses;
  }
};

class FakeInput final : public FakeEnd<audio::Input> {
 public:
  using FakeEnd::FakeEnd;
  bool read(std::span<std::byte> frames) override {
    for (std::byte& byte : frames) byte = static_cast<std::byte>(next_++ % 251);
    spend(frames.size());
    return !behaviour_.loses;
  }

 private:
  unsigned next_ = 0;
};

Bytes counting(size_t size, unsigned from = 0) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((from + i) % 251);
  return bytes;
}

std::vector<Stream::End> ends(Behaviour& output, Behaviour& input) {
  std::vector<Stream::End> result;
  result.emplace_back(std::make_unique<FakeOutput>(output));
  result.emplace_back(std::make_unique<FakeInput>(input));
  result.emplace_back(std::make_unique<audio::NullOutput>());
  return result;
}

constexpr uint32_t kOutput = 0, kInput = 1;

class SoundTest : public testing::Test {
 protected:
  void SetUp() override { guest.activate(device, 0); }

  FakeQueue& control() { return guest.queue(wire::kControlQueue); }
  FakeQueue& transmit() { return guest.queue(wire::kTransmitQueue); }
  FakeQueue& receive() { return guest.queue(wire::kReceiveQueue); }

  // The status of a request, and what follows it.
  std::pair<Status, Bytes> ask(const Bytes& request, uint32_t room = 4) {
    const auto reply = control().request({.readable = {request}, .writable = {room}});
    if (!reply || reply->length < 4) return {Status(), {}};
    Status status{};
    std::memcpy(&status, reply->writable[0].data(), 4);
    return {status, {reply->writable[0].begin() + 4, reply->writable[0].begin() + reply->length}};
  }
  Status command(uint32_t code, uint32_t stream) {
    return ask(bytes_of(wire::PcmHeader{.code = code, .stream = stream})).first;
  }
  template <class T>
  std::pair<Status, std::vector<T>> query(uint32_t code, uint32_t first, uint32_t count,
                                          uint32_t size = sizeof(T)) {
    const auto [status, bytes] = ask(
        bytes_of(wire::Query{.code = code, .first = first, .count = count, .size = size}), 4 + count * size);
    std::vector<T> things(bytes.size() / size);
    for (size_t i = 0; i < things.size(); ++i) std::memcpy(&things[i], bytes.data() + i * size, sizeof(T));
    return {status, things};
  }
  static wire::PcmParameters usual(uint32_t stream) {
    return {.code = wire::kPcmSetParameters,
            .stream = stream,
            .buffer_size = 4 * kPeriod,
            .period_size = kPeriod,
            .features = 0,
            .channels = 2,
            .format = wire::kFormatS16,
            .rate = 7};
  }
  Status set(const wire::PcmParameters& parameters) { return ask(bytes_of(parameters)).first; }
  void prepare(uint32_t stream) {
    ASSERT_EQ(set(usual(stream)), Status::ok);
    ASSERT_EQ(command(wire::kPcmPrepare, stream), Status::ok);
  }
  // Whatever is due by now is done on return: an answer may come before what its request leads to.
  void settle() {
    command(0xffff, 0);
    command(0xffff, 0);
  }
  void pass(std::chrono::nanoseconds time) {
    clock.advance(time);
    settle();
  }

  // Where a message's status will be.
  uint64_t play(const Bytes& samples, uint32_t stream = kOutput) {
    const auto placed = transmit().add({.readable = {bytes_of(stream), samples}, .writable = {8}});
    transmit().notify();
    return placed.writable[0];
  }
  std::pair<uint64_t, uint64_t> record(uint32_t size, uint32_t stream = kInput) {
    const auto placed = receive().add({.readable = {bytes_of(stream)}, .writable = {size, 8}});
    receive().notify();
    return {placed.writable[0], placed.writable[1]};
  }
  wire::TransferStatus status_at(uint64_t address) { return transmit().load<wire::TransferStatus>(address); }
  // How many messages came back.
  unsigned done(FakeQueue& queue, std::vector<uint32_t>* lengths = nullptr) {
    unsigned count = 0;
    while (const auto used = queue.poll()) {
      ++count;
      if (lengths) lengths->push_back(used->length);
    }
    return count;
  }
  Status refused(const virtio::testing::Request& request, FakeQueue& queue) {
    const auto reply = queue.request(request);
    if (!reply || reply->writable.empty() || reply->writable.back().size() < 8) return Status();
    EXPECT_EQ(reply->length, 8u);
    Status status{};
    std::memcpy(&status, reply->writable.back().data() + reply->writable.back().size() - 8, 4);
    return status;
  }

  Behaviour output, input;
  exec::ManualClock clock;
  Sound device{ends(output, input), clock};
  FakeGuest guest;
};

TEST_F(SoundTest, DescribesWhatItHas) {
  wire::Configuration configuration{};
  device.read_config(0, std::as_writable_bytes(std::span(&configuration, 1)));
  EXPECT_EQ(configuration.jacks, 3u);
  EXPECT_EQ(configuration.streams, 3u);
  EXPECT_EQ(configuration.channel_maps, 6u);
  EXPECT_EQ(device.device_id(), 25);

  const auto [status, streams] = query<wire::PcmInformation>(wire::kPcmInformation, 0, 3);
  ASSERT_EQ(status, Status::ok);
  ASSERT_EQ(streams.size(), 3u);
  EXPECT_EQ(streams[0].direction, wire::kOutput);
  EXPECT_EQ(streams[1].direction, wire::kInput);
  EXPECT_EQ(streams[1].node, streams[0].node);  // Both ways of one device.
  EXPECT_NE(streams[2].node, streams[0].node);
  EXPECT_EQ(streams[0].formats, 1u << 4 | 1u << 5 | 1u << 15 | 1u << 17 | 1u << 19);
  EXPECT_EQ(streams[0].rates, 0x1ffeu);
  EXPECT_EQ(streams[0].fewest_channels, 1);
  EXPECT_EQ(streams[0].most_channels, 2);
  EXPECT_EQ(streams[0].features, 0u);

  const auto jacks = query<wire::JackInformation>(wire::kJackInformation, 1, 2);
  ASSERT_EQ(jacks.second.size(), 2u);
  EXPECT_EQ(jacks.second[0].is_connected, 1);
  EXPECT_EQ(jacks.second[0].default_configuration & 0xf00000, wire::kDeviceMicrophone);
  EXPECT_EQ(jacks.second[1].default_configuration & 0xf00000, wire::kDeviceLineOut);
  const auto maps = query<wire::ChannelMapInformation>(wire::kChannelMapInformation, 0, 6);
  ASSERT_EQ(maps.second.size(), 6u);
  EXPECT_EQ(maps.second[1].channels, 2);
  EXPECT_EQ(maps.second[1].positions[0], wire::kFrontLeft);
  EXPECT_EQ(maps.second[1].positions[1], wire::kFrontRight);
}

TEST_F(SoundTest, DescriptionsMayBeAskedForInPartAndWithRoomForMore) {
  const auto [status, last] = query<wire::PcmInformation>(wire::kPcmInformation, 2, 1, 40);
  ASSERT_EQ(status, Status::ok);
  ASSERT_EQ(last.size(), 1u);
  EXPECT_EQ(last[0].direction, wire::kOutput);
  EXPECT_EQ(query<wire::PcmInformation>(wire::kPcmInformation, 3, 0).first, Status::ok);
}

TEST_F(SoundTest, RefusesQueriesThatMakeNoSense) {
  const auto status = [&](wire::Query query, uint32_t room = 1000) {
    return ask(bytes_of(query), room).first;
  };
  const wire::Query good{.code = wire::kPcmInformation, .first = 0, .count = 3, .size = 32};
  EXPECT_EQ(status(good), Status::ok);
  wire::Query bad = good;
  bad.count = 4;
  EXPECT_EQ(status(bad), Status::bad_message);
  bad.count = 0xffffffff;
  EXPECT_EQ(status(bad), Status::bad_message);
  bad.first = 1;
  EXPECT_EQ(status(bad), Status::bad_message);
  bad = good;
  bad.first = 4;
  bad.count = 0;
  EXPECT_EQ(status(bad), Status::bad_message);
  bad = good;
  bad.size = 31;
  EXPECT_EQ(status(bad), Status::bad_message);
  bad.size = 0xffffffff;
  EXPECT_EQ(status(bad), Status::bad_message);
  EXPECT_EQ(status(good, 4 + 3 * 32 - 1), Status::bad_message);
  Bytes cut = bytes_of(good);
  cut.pop_back();
  EXPECT_EQ(ask(cut, 1000).first, Status::bad_message);
  EXPECT_EQ(ask(Bytes(3)).first, Status::bad_message);
  EXPECT_EQ(command(wire::kJackRemap, 0), Status::not_supported);
  EXPECT_EQ(command(0, 0), Status::not_supported);
  // Without room for an answer.
  const auto reply = control().request({.readable = {bytes_of(good)}});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->length, 0u);
  EXPECT_EQ(ask(bytes_of(good), 3).first, Status());
  EXPECT_EQ(status(good), Status::ok);
}

TEST_F(SoundTest, RefusesParametersThatItDoesNotOffer) {
  const auto status = [&](auto change) {
    wire::PcmParameters parameters = usual(kOutput);
    change(parameters);
    return set(parameters);
  };
  using P = wire::PcmParameters;
  EXPECT_EQ(status([](P&) {}), Status::ok);
  EXPECT_EQ(status([](P& p) { p.stream = 3; }), Status::bad_message);
  EXPECT_EQ(status([](P& p) { p.features = 1; }), Status::not_supported);
  EXPECT_EQ(status([](P& p) { p.channels = 0; }), Status::not_supported);
  EXPECT_EQ(status([](P& p) { p.channels = 3; }), Status::not_supported);
  EXPECT_EQ(status([](P& p) { p.format = 6; }), Status::not_supported);
  EXPECT_EQ(status([](P& p) { p.format = 69; }), Status::not_supported);
  EXPECT_EQ(status([](P& p) { p.rate = 0; }), Status::not_supported);
  EXPECT_EQ(status([](P& p) { p.rate = 14; }), Status::not_supported);
  EXPECT_EQ(status([](P& p) { p.rate = 255; }), Status::not_supported);
  EXPECT_EQ(status([](P& p) { p.period_size = 0; }), Status::bad_message);
  EXPECT_EQ(status([](P& p) { p.period_size = p.buffer_size = kPeriod + 2; }), Status::bad_message);
  EXPECT_EQ(status([](P& p) { p.buffer_size = 0; }), Status::bad_message);
  EXPECT_EQ(status([](P& p) { p.buffer_size = kPeriod * 3 / 2; }), Status::bad_message);
  EXPECT_EQ(status([](P& p) { p.buffer_size = 0x80000000, p.period_size = 0x40000000; }),
            Status::not_supported);
  EXPECT_EQ(ask(Bytes(20, std::byte{1})).first, Status::not_supported);
  Bytes cut = bytes_of(usual(kOutput));
  cut.pop_back();
  EXPECT_EQ(ask(cut).first, Status::bad_message);
}

TEST_F(SoundTest, CommandsHaveTheirTurn) {
  enum Step { kSet, kPrepare, kStart, kStop, kRelease };
  const auto take = [&](Step step) {
    if (step == kSet) return set(usual(kOutput));
    return command(std::array{0u, 0x102u, 0x104u, 0x105u, 0x103u}[step], kOutput);
  };
  // Section 5.14.6.6.1: what may follow what leads there.
  const std::pair<std::vector<Step>, std::vector<Step>> lives[] = {
      {{}, {kSet}},
      {{kSet}, {kSet, kPrepare}},
      {{kSet, kPrepare}, {kSet, kPrepare, kStart, kRelease}},
      {{kSet, kPrepare, kStart}, {kStop}},
      {{kSet, kPrepare, kStart, kStop}, {kStart, kRelease}},
      {{kSet, kPrepare, kStart, kStop, kRelease}, {kSet, kPrepare}},
  };
  for (const auto& [steps, next] : lives) {
    for (const Step step : {kSet, kPrepare, kStart, kStop, kRelease}) {
      guest.reset();
      guest.activate(device, 0);
      for (const Step before : steps) ASSERT_EQ(take(before), Status::ok);
      const bool allowed = std::ranges::find(next, step) != next.end();
      EXPECT_EQ(take(step), allowed ? Status::ok : Status::bad_message) << steps.size() << " " << step;
    }
  }
  EXPECT_EQ(command(wire::kPcmPrepare, 3), Status::bad_message);
  EXPECT_EQ(ask(Bytes(bytes_of(wire::kPcmStart))).first, Status::bad_message);
}

TEST_F(SoundTest, PlaysAtTheClocksPace) {
  prepare(kOutput);
  std::vector<uint64_t> statuses;
  for (unsigned i = 0; i < 3; ++i) statuses.push_back(play(counting(kPeriod, i)));
  pass(1s);  // Not yet started.
  EXPECT_EQ(done(transmit()), 0u);
  ASSERT_EQ(command(wire::kPcmStart, kOutput), Status::ok);
  pass(9999us);
  EXPECT_EQ(done(transmit()), 0u);
  output.latency = 77;
  pass(1us);
  std::vector<uint32_t> lengths;
  EXPECT_EQ(done(transmit(), &lengths), 1u);
  EXPECT_EQ(lengths, std::vector<uint32_t>{8});
  EXPECT_EQ(status_at(statuses[0]).status, Status::ok);
  EXPECT_EQ(status_at(statuses[0]).latency, 77u);
  EXPECT_EQ(output.take(), counting(kPeriod));
  EXPECT_GE(guest.interrupts().queue_count(wire::kTransmitQueue), 1u);
  pass(100ms);  // Both others; then there is nothing to play.
  EXPECT_EQ(done(transmit()), 2u);
  EXPECT_EQ(output.take().size(), 2 * kPeriod);
  play(counting(kPeriod, 3));  // Begins now.
  settle();
  pass(9ms);
  EXPECT_EQ(done(transmit()), 0u);
  pass(1ms);
  EXPECT_EQ(done(transmit()), 1u);
  EXPECT_EQ(output.take(), counting(kPeriod, 3));
}

TEST_F(SoundTest, KeepsTimeOverMany) {
  prepare(kOutput);
  wire::PcmParameters odd = usual(kOutput);
  odd.rate = 6;  // 44100 Hz: no whole number of nanoseconds.
  ASSERT_EQ(set(odd), Status::ok);
  ASSERT_EQ(command(wire::kPcmPrepare, kOutput), Status::ok);
  play(Bytes(kPeriod));
  ASSERT_EQ(command(wire::kPcmStart, kOutput), Status::ok);
  // 10884353.74 ns each: were they rounded up, the last would come late.
  unsigned count = 0;
  for (unsigned i = 1; i <= 500; ++i) {
    play(Bytes(kPeriod));
    settle();
    pass(std::chrono::nanoseconds(10884353 + (i == 500 ? 371 : 0)));
    count += done(transmit());
  }
  EXPECT_EQ(count, 500u);
}

TEST_F(SoundTest, AStopIsNotTimePassed) {
  prepare(kOutput);
  play(counting(kPeriod));
  ASSERT_EQ(command(wire::kPcmStart, kOutput), Status::ok);
  pass(4ms);
  ASSERT_EQ(command(wire::kPcmStop, kOutput), Status::ok);
  pass(50ms);
  EXPECT_EQ(done(transmit()), 0u);
  ASSERT_EQ(command(wire::kPcmStart, kOutput), Status::ok);
  pass(5ms);
  EXPECT_EQ(done(transmit()), 0u);
  pass(1ms);
  EXPECT_EQ(done(transmit()), 1u);
  EXPECT_EQ(output.take(), counting(kPeriod));
  EXPECT_EQ(output.starts, 2);
  EXPECT_EQ(output.stops, 1);
}

TEST_F(SoundTest, AReleasedStreamKeepsNothing) {
  prepare(kOutput);
  for (unsigned i = 0; i < 3; ++i) play(counting(kPeriod));
  prepare(kInput);
  for (unsigned i = 0; i < 2; ++i) record(kPeriod);
  for (const uint32_t stream : {kOutput, kInput}) {
    ASSERT_EQ(command(wire::kPcmStart, stream), Status::ok);
    ASSERT_EQ(command(wire::kPcmStop, stream), Status::ok);
    ASSERT_EQ(command(wire::kPcmRelease, stream), Status::ok);
  }
  std::vector<uint32_t> lengths;
  EXPECT_EQ(done(transmit(), &lengths), 3u);
  EXPECT_EQ(done(receive(), &lengths), 2u);
  EXPECT_EQ(lengths, std::vector<uint32_t>(5, 8));
  EXPECT_TRUE(output.take().empty());
  EXPECT_EQ(output.releases, 1);
  EXPECT_EQ(refused({.readable = {bytes_of(kOutput), Bytes(kPeriod)}, .writable = {8}}, transmit()),
            Status::io_error);
}

TEST_F(SoundTest, OtherParametersTakeMessagesWithThem) {
  prepare(kOutput);
  play(counting(kPeriod));
  ASSERT_EQ(set(usual(kOutput)), Status::ok);
  EXPECT_EQ(done(transmit()), 1u);
}

TEST_F(SoundTest, RecordsAtTheClocksPace) {
  prepare(kInput);
  const auto first = record(kPeriod), second = record(2 * kPeriod);
  ASSERT_EQ(command(wire::kPcmStart, kInput), Status::ok);
  input.latency = 12;
  pass(10ms);
  std::vector<uint32_t> lengths;
  EXPECT_EQ(done(receive(), &lengths), 1u);
  EXPECT_EQ(lengths, std::vector<uint32_t>{kPeriod + 8});
  EXPECT_EQ(receive().bytes(first.first, kPeriod), counting(kPeriod));
  EXPECT_EQ(status_at(first.second).status, Status::ok);
  EXPECT_EQ(status_at(first.second).latency, 12u);
  pass(19ms);
  EXPECT_EQ(done(receive()), 0u);
  pass(1ms);
  EXPECT_EQ(done(receive()), 1u);
  EXPECT_EQ(receive().bytes(second.first, 2 * kPeriod), counting(2 * kPeriod, kPeriod));
}

TEST_F(SoundTest, AnEndMaySetThePace) {
  output.ready = 0;
  prepare(kOutput);
  play(counting(kPeriod));
  play(counting(kPeriod, 9));
  ASSERT_EQ(command(wire::kPcmStart, kOutput), Status::ok);
  pass(100ms);
  EXPECT_EQ(done(transmit()), 0u);
  EXPECT_TRUE(output.take().empty());
  output.set_ready(kFrame * 3 + 1);  // In whole frames.
  ASSERT_TRUE(guest.interrupts().wait([&] { return output.ready == 1; }));
  EXPECT_EQ(output.take(), counting(kFrame * 3));
  output.set_ready(3 * kPeriod);
  ASSERT_TRUE(guest.interrupts().wait([&] { return output.ready == kPeriod + kFrame * 3; }));
  settle();
  EXPECT_EQ(done(transmit()), 2u);
  Bytes rest = counting(kPeriod - kFrame * 3, kFrame * 3);
  const Bytes next = counting(kPeriod, 9);
  rest.insert(rest.end(), next.begin(), next.end());
  EXPECT_EQ(output.take(), rest);
  // It has left the pace to the clock: from now on.
  output.ready = -1;
  play(counting(kPeriod));
  settle();
  pass(9ms);
  EXPECT_EQ(done(transmit()), 0u);
  pass(1ms);
  EXPECT_EQ(done(transmit()), 1u);
}

TEST_F(SoundTest, AnEndThatSaysNothingIsLookedAtAgain) {
  output.ready = 0;
  prepare(kOutput);
  play(counting(kPeriod));
  ASSERT_EQ(command(wire::kPcmStart, kOutput), Status::ok);
  output.ready = -1;  // Without an event.
  pass(20ms);
  pass(10ms);
  EXPECT_EQ(done(transmit()), 1u);
}

TEST_F(SoundTest, TellsWhatIsLost) {
  prepare(kOutput);
  output.loses = true;
  const uint64_t status = play(counting(kPeriod));
  ASSERT_EQ(command(wire::kPcmStart, kOutput), Status::ok);
  pass(10ms);
  EXPECT_EQ(done(transmit()), 1u);
  EXPECT_EQ(status_at(status).status, Status::io_error);
  ASSERT_EQ(command(wire::kPcmStop, kOutput), Status::ok);
  ASSERT_EQ(command(wire::kPcmRelease, kOutput), Status::ok);
  output.refuses = true;
  EXPECT_EQ(command(wire::kPcmPrepare, kOutput), Status::io_error);
  EXPECT_EQ(command(wire::kPcmStart, kOutput), Status::bad_message);
}

TEST_F(SoundTest, RefusesMessagesThatMakeNoSense) {
  prepare(kOutput);
  prepare(kInput);
  const Bytes samples(kPeriod);
  const auto header = [](uint32_t stream) { return bytes_of(stream); };
  EXPECT_EQ(refused({.readable = {header(3), samples}, .writable = {8}}, transmit()), Status::bad_message);
  EXPECT_EQ(refused({.readable = {header(kInput), samples}, .writable = {8}}, transmit()),
            Status::bad_message);
  EXPECT_EQ(refused({.readable = {header(kOutput)}, .writable = {kPeriod, 8}}, receive()),
            Status::bad_message);
  EXPECT_EQ(refused({.readable = {header(2), samples}, .writable = {8}}, transmit()), Status::io_error);
  EXPECT_EQ(refused({.readable = {header(kOutput), Bytes(kPeriod + 2)}, .writable = {8}}, transmit()),
            Status::bad_message);
  EXPECT_EQ(refused({.readable = {header(kOutput), Bytes(4 * kPeriod + 4)}, .writable = {8}}, transmit()),
            Status::bad_message);
  EXPECT_EQ(refused({.readable = {header(kInput)}, .writable = {4 * kPeriod + 4, 8}}, receive()),
            Status::bad_message);
  EXPECT_EQ(refused({.readable = {header(kOutput), Bytes(kMostBuffer + 4)}, .writable = {8}}, transmit()),
            Status::bad_message);
  EXPECT_EQ(refused({.readable = {Bytes(3)}, .writable = {8}}, transmit()), Status::bad_message);
  EXPECT_EQ(refused({.writable = {8}}, transmit()), Status::bad_message);
  // Without room for a status.
  for (const auto& request :
       {virtio::testing::Request{.readable = {header(kOutput), samples}},
        virtio::testing::Request{.readable = {header(kOutput), samples}, .writable = {7}}}) {
    const auto reply = transmit().request(request);
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->length, 0u);
  }
  // One of no length is over when it begins.
  const uint64_t empty = play({});
  ASSERT_EQ(command(wire::kPcmStart, kOutput), Status::ok);
  settle();
  EXPECT_EQ(done(transmit()), 1u);
  EXPECT_EQ(status_at(empty).status, Status::ok);
  EXPECT_TRUE(output.take().empty());
}

TEST_F(SoundTest, AMessageMayLieInManyPieces) {
  prepare(kOutput);
  const Bytes header = bytes_of(kOutput);
  std::vector<Bytes> pieces = {{header[0], header[1], header[2]}, {header[3]}};
  Bytes all = counting(kPeriod);
  for (size_t at = 0; at < all.size(); at += 191)
    pieces.emplace_back(all.begin() + static_cast<ptrdiff_t>(at),
                        all.begin() + static_cast<ptrdiff_t>(std::min(all.size(), at + 191)));
  transmit().add({.readable = pieces, .writable = {3, 5}, .indirect = true});
  transmit().notify();
  ASSERT_EQ(command(wire::kPcmStart, kOutput), Status::ok);
  pass(10ms);
  EXPECT_EQ(done(transmit()), 1u);
  EXPECT_EQ(output.take(), all);
}

TEST_F(SoundTest, APauseLosesNothing) {
  prepare(kOutput);
  play(counting(kPeriod));
  play(counting(kPeriod, 5));
  ASSERT_EQ(command(wire::kPcmStart, kOutput), Status::ok);
  pass(4ms);
  device.pause();
  EXPECT_EQ(output.stops, 1);
  play(counting(kPeriod, 7));  // As a processor that stops last may do.
  EXPECT_TRUE(output.take().empty());
  device.resume();
  EXPECT_EQ(output.starts, 2);
  pass(5ms);
  EXPECT_EQ(done(transmit()), 0u);
  pass(1ms);
  EXPECT_EQ(done(transmit()), 1u);
  pass(20ms);
  EXPECT_EQ(done(transmit()), 2u);
  EXPECT_EQ(output.take().size(), 3 * kPeriod);
  // What does not run is not started.
  device.pause();
  device.resume();
  EXPECT_EQ(input.starts, 0);
  EXPECT_EQ(input.stops, 0);
}

TEST_F(SoundTest, NothingIsDoneWhilePaused) {
  prepare(kOutput);
  play(counting(kPeriod));
  ASSERT_EQ(command(wire::kPcmStart, kOutput), Status::ok);
  device.pause();
  clock.advance(50ms);  // Were it not to stand.
  output.set_ready(-1);
  EXPECT_EQ(done(transmit()), 0u);
  EXPECT_TRUE(output.take().empty());
  device.resume();
  settle();
  EXPECT_EQ(done(transmit()), 1u);
}

TEST_F(SoundTest, AResetLetsGoOfEverything) {
  prepare(kOutput);
  play(counting(kPeriod));
  ASSERT_EQ(command(wire::kPcmStart, kOutput), Status::ok);
  guest.reset();
  EXPECT_EQ(output.releases, 1);
  clock.advance(1s);
  EXPECT_TRUE(output.take().empty());
  guest.activate(device, 0);
  EXPECT_EQ(command(wire::kPcmPrepare, kOutput), Status::bad_message);
  prepare(kOutput);
  play(counting(kPeriod));
  ASSERT_EQ(command(wire::kPcmStart, kOutput), Status::ok);
  pass(10ms);
  EXPECT_EQ(done(transmit()), 1u);
}

TEST_F(SoundTest, ABrokenRingEndsItUntilTheReset) {
  prepare(kOutput);
  play(counting(kPeriod));
  ASSERT_EQ(command(wire::kPcmStart, kOutput), Status::ok);
  for (const unsigned queue : {wire::kControlQueue, wire::kTransmitQueue, wire::kReceiveQueue}) {
    const unsigned before = guest.interrupts().needs_reset_count();
    guest.queue(queue).set_available_index(1000);
    guest.queue(queue).notify();
    ASSERT_TRUE(guest.interrupts().wait([&] { return guest.interrupts().needs_reset_count() > before; }));
    guest.reset();
    guest.activate(device, 0);
  }
  prepare(kOutput);
}

TEST_F(SoundTest, QueuesMayBeMissing) {
  for (const std::vector<unsigned>& enabled :
       {std::vector<unsigned>{}, std::vector<unsigned>{wire::kControlQueue},
        std::vector<unsigned>{wire::kTransmitQueue, wire::kReceiveQueue}}) {
    guest.reset();
    guest.activate(device, 0, 128, enabled);
    if (!enabled.empty() && enabled[0] == wire::kControlQueue) {
      prepare(kOutput);
      EXPECT_EQ(command(wire::kPcmStart, kOutput), Status::ok);
    }
    device.pause();
    device.resume();
  }
}

TEST(SoundWithoutStreams, IsADevice) {
  exec::ManualClock clock;
  Sound device({}, clock);
  FakeGuest guest;
  guest.activate(device, 0);
  const wire::Query query{.code = wire::kPcmInformation, .first = 0, .count = 0, .size = 32};
  const auto reply =
      guest.queue(wire::kControlQueue).request({.readable = {bytes_of(query)}, .writable = {4}});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->length, 4u);
}

}  // namespace
}  // namespace alcove::devices::sound
