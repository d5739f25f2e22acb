#include "devices/sound/sound.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "spec/virtio.h"

namespace alcove::devices::sound {

namespace wire = spec::virtio_sound;

namespace {

template <class T>
std::span<const std::byte> bytes(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace

std::vector<Catalog::Stream> Sound::describe(const std::vector<Stream::End>& ends) {
  std::vector<Catalog::Stream> streams;
  for (const Stream::End& end : ends) {
    std::visit(
        [&]<class T>(const std::unique_ptr<T>& endpoint) {
          streams.push_back({.is_output = std::is_same_v<T, audio::Output>, .offer = endpoint->offer()});
        },
        end);
  }
  return streams;
}

Sound::Sound(std::vector<Stream::End> ends, exec::VirtualClock& clock)
    : catalog_(describe(ends)), clock_(clock), timer_(clock, [this] {
        thread_.loop().post([this] {
          if (running_) advance();
        });
      }) {
  for (Stream::End& end : ends) streams_.emplace_back(std::move(end));
}

Sound::~Sound() {
  Sound::deactivate();
}

uint16_t Sound::device_id() const {
  return spec::virtio::kSoundDevice;
}

void Sound::read_config(uint32_t offset, std::span<std::byte> out) {
  const wire::Configuration configuration{
      .jacks = static_cast<uint32_t>(catalog_.jacks().size()),
      .streams = static_cast<uint32_t>(catalog_.streams().size()),
      .channel_maps = static_cast<uint32_t>(catalog_.channel_maps().size())};
  std::memcpy(out.data(), reinterpret_cast<const std::byte*>(&configuration) + offset, out.size());
}

void Sound::activate(virtio::Activation activation) {
  thread_.loop().call([&] {
    activation_ = std::move(activation);
    watch();
  });
}

void Sound::deactivate() {
  thread_.loop().call([this] {
    unwatch();
    for (Stream& stream : streams_) stream.reset();
    activation_ = {};
  });
}

void Sound::pause() {
  thread_.loop().call([this] {
    if (!running_) return;
    unwatch();
    for (Stream& stream : streams_) stream.pause();
  });
}

void Sound::resume() {
  thread_.loop().call([this] {
    if (running_ || activation_.queues.empty()) return;
    for (Stream& stream : streams_) stream.resume();
    watch();
    advance();
  });
}

void Sound::watch() {
  running_ = true;
  const auto serve = [&](unsigned index, auto work) {
    if (!activation_.queues[index]) return;
    const int doorbell = activation_.doorbells[index];
    thread_.loop().watch(doorbell, EPOLLIN, [doorbell, work](uint32_t) mutable {
      eventfd_t ignored;
      eventfd_read(doorbell, &ignored);
      work();
    });
    eventfd_write(doorbell, 1);  // There may be buffers already.
  };
  serve(wire::kControlQueue, [this] { serve_control(); });
  for (const unsigned queue : {wire::kTransmitQueue, wire::kReceiveQueue}) {
    serve(queue, [this, queue] {
      take_transfers(queue);
      if (running_) advance();
    });
  }
  for (const Stream& stream : streams_) {
    const int event = stream.endpoint().event();
    if (event < 0) continue;
    thread_.loop().watch(event, EPOLLIN, [this, event](uint32_t) {
      eventfd_t ignored;
      eventfd_read(event, &ignored);
      advance();
    });
  }
}

void Sound::unwatch() {
  if (!std::exchange(running_, false)) return;
  timer_.clear();
  for (const unsigned queue : {wire::kControlQueue, wire::kTransmitQueue, wire::kReceiveQueue})
    thread_.loop().unwatch(activation_.doorbells[queue]);
  for (const Stream& stream : streams_) {
    if (stream.endpoint().event() >= 0) thread_.loop().unwatch(stream.endpoint().event());
  }
}

void Sound::fail() {
  unwatch();
  for (Stream& stream : streams_) stream.reset();
  activation_.interrupts->needs_reset();
}

void Sound::serve_control() {
  virtio::Queue& queue = *activation_.queues[wire::kControlQueue];
  unsigned count = 0;
  for (; count < queue.size() && running_; ++count) {
    auto chain = queue.pop();
    if (!chain) return fail();
    if (!*chain) break;
    // What the driver sent before is there before: a released stream keeps nothing.
    take_transfers(wire::kTransmitQueue);
    take_transfers(wire::kReceiveQueue);
    if (!running_) return;
    answer(**chain);
  }
  queue.notify();
  if (count == queue.size()) eventfd_write(activation_.doorbells[wire::kControlQueue], 1);
  if (running_) advance();
}

void Sound::answer(virtio::Chain& chain) {
  virtio::Queue& queue = *activation_.queues[wire::kControlQueue];
  const auto request = parse_control(chain, catalog_);
  wire::Status status = wire::Status::ok;
  uint32_t written = 0;
  if (!request) {
    status = request.error();
  } else if (const auto* query = std::get_if<Query>(&*request)) {
    written = answer_query(*query, chain);
  } else if (const auto* setting = std::get_if<Setting>(&*request)) {
    status = streams_[setting->stream].set(setting->parameters, finish_of(streams_[setting->stream]));
  } else {
    const auto& command = std::get<Command>(*request);
    status =
        streams_[command.stream].command(command.code, clock_.now(), finish_of(streams_[command.stream]));
  }
  notify_transfers();
  written += static_cast<uint32_t>(chain.write(0, bytes(wire::Header{std::to_underlying(status)})));
  queue.push(chain, written);
}

// What is described goes behind the status; gives its size.
uint32_t Sound::answer_query(const Query& query, virtio::Chain& chain) {
  uint64_t offset = sizeof(wire::Header);
  const auto describe_all = [&](const auto& things) {
    std::vector<std::byte> description(query.size);
    for (uint32_t index = query.first; index < query.first + query.count; ++index) {
      std::ranges::copy(bytes(things[index]), description.begin());
      offset += chain.write(offset, description);
    }
  };
  if (query.code == wire::kJackInformation) describe_all(catalog_.jacks());
  if (query.code == wire::kPcmInformation) describe_all(catalog_.streams());
  if (query.code == wire::kChannelMapInformation) describe_all(catalog_.channel_maps());
  return static_cast<uint32_t>(offset - sizeof(wire::Header));
}

void Sound::take_transfers(unsigned index) {
  if (!running_ || !activation_.queues[index]) return;
  virtio::Queue& queue = *activation_.queues[index];
  unsigned count = 0;
  for (; count < queue.size(); ++count) {
    auto chain = queue.pop();
    if (!chain) return fail();
    if (!*chain) break;
    const auto transfer = parse_transfer(**chain, index == wire::kTransmitQueue, catalog_);
    wire::Status status = transfer ? wire::Status::ok : transfer.error();
    if (transfer) status = streams_[transfer->stream].take(**chain, transfer->size, clock_.now());
    if (status != wire::Status::ok) finish(index, **chain, {.status = status});
  }
  queue.notify();
  if (count == queue.size()) eventfd_write(activation_.doorbells[index], 1);
}

// Section 5.14.6.8: the status is at the end, behind the samples or the room for them.
void Sound::finish(unsigned index, virtio::Chain& chain, const Stream::Outcome& outcome) {
  const wire::TransferStatus status{.status = outcome.status, .latency = outcome.latency};
  if (chain.writable_size() < sizeof status) return activation_.queues[index]->push(chain, 0);
  const uint64_t offset = chain.writable_size() - sizeof status;
  chain.write(offset, bytes(status));
  // push() takes the bytes written for the first ones.
  for (const virtio::Slice& slice : chain.writable())
    activation_.memory->mark_written(slice.guest_address, slice.size);
  activation_.queues[index]->push(chain, outcome.filled + static_cast<uint32_t>(sizeof status));
}

Stream::Finish Sound::finish_of(const Stream& stream) {
  const unsigned index = stream.is_output() ? wire::kTransmitQueue : wire::kReceiveQueue;
  return [this, index](virtio::Chain& message, const Stream::Outcome& outcome) {
    finish(index, message, outcome);
  };
}

void Sound::notify_transfers() {
  for (const unsigned index : {wire::kTransmitQueue, wire::kReceiveQueue}) {
    if (activation_.queues[index]) activation_.queues[index]->notify();
  }
}

void Sound::advance() {
  std::optional<exec::Nanoseconds> next;
  const exec::Nanoseconds now = clock_.now();
  for (Stream& stream : streams_) {
    const auto due = stream.advance(now, finish_of(stream));
    if (due) next = next ? std::min(*next, *due) : *due;
  }
  notify_transfers();
  if (next) timer_.set(*next);
}

}  // namespace alcove::devices::sound
