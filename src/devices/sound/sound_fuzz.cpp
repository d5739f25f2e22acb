// The first byte chooses how the rest is used: as requests on sound rings, eight bytes each, with time
// passing between them; or dealt out to the rings of all queues, whose descriptors may point there for their
// buffers.
#include <sys/eventfd.h>

#include <array>
#include <cstring>

#include "devices/sound/sound.h"
#include "spec/virtio.h"
#include "virtio/testing/fuzz_rings.h"

namespace {

using namespace alcove;
namespace wire = spec::virtio_sound;

struct Quiet final : virtio::Interrupts {
  void queue(unsigned) override {}
  void configuration() override {}
  void needs_reset() override {}
};

constexpr uint64_t kMemorySize = 0x40000;
constexpr size_t kDistance = 0x1000, kRequests = 0x10000, kAnswers = 0x20000;
constexpr uint16_t kSize = 32;

struct Ring {
  std::byte* base;
  int doorbell;
  uint16_t count = 0;

  // One readable and one writable buffer.
  void publish(uint64_t readable, uint32_t readable_size, uint64_t writable, uint32_t writable_size) {
    const auto head = static_cast<uint16_t>(count % (kSize / 2) * 2);
    const spec::virtio::Descriptor pair[] = {
        {readable, readable_size, spec::virtio::kDescriptorNext, static_cast<uint16_t>(head + 1)},
        {writable, writable_size, spec::virtio::kDescriptorWrite, 0}};
    std::memcpy(base + head * sizeof pair[0], pair, sizeof pair);
    std::memcpy(base + 0x404 + 2 * (count % kSize), &head, sizeof head);
    __atomic_store_n(reinterpret_cast<uint16_t*>(base + 0x402), ++count, __ATOMIC_RELEASE);
    eventfd_write(doorbell, 1);
  }
};

// The requests of a driver that mostly does what is sensible, in any order.
void run_requests(devices::sound::Sound& device, exec::ManualClock& clock, std::byte* base,
                  std::array<Ring, 4>& rings, std::span<const uint8_t> data) {
  static constexpr uint32_t kCodes[] = {
      wire::kJackInformation,  wire::kJackRemap,  wire::kPcmInformation,
      wire::kPcmSetParameters, wire::kPcmPrepare, wire::kPcmRelease,
      wire::kPcmStart,         wire::kPcmStop,    wire::kChannelMapInformation};
  for (size_t turn = 0; data.size() >= 8; data = data.subspan(8), ++turn) {
    const uint64_t at = kRequests + turn % 64 * 0x100, answer = kAnswers + turn % 64 * 0x400;
    const uint32_t stream = data[1] % 5;
    if (data[0] < 0xc0) {
      wire::PcmParameters request{.code = kCodes[data[0] % 9],
                                  .stream = stream,
                                  .buffer_size = data[2] * 64u,
                                  .period_size = data[3] * 16u,
                                  .features = 0,
                                  .channels = static_cast<uint8_t>(data[4] % 4),
                                  .format = data[5],
                                  .rate = static_cast<uint8_t>(data[6] % 16)};
      std::memcpy(base + at, &request, sizeof request);
      rings[wire::kControlQueue].publish(at, data[7] % 32, answer, data[7] * 4u);
    } else if (data[0] < 0xf0) {
      std::memcpy(base + at, &stream, sizeof stream);
      rings[data[0] & 1 ? wire::kTransmitQueue : wire::kReceiveQueue].publish(at, data[2] % 8 + data[3] * 4u,
                                                                              answer, data[4] * 4u);
    } else if (data[0] < 0xfc) {
      clock.advance(std::chrono::milliseconds(data[2]));
    } else if (data[0] < 0xfe) {
      device.pause();
    } else {
      device.resume();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static exec::ManualClock clock;
  static devices::sound::Sound device = [] {
    std::vector<devices::sound::Stream::End> ends;
    ends.emplace_back(std::make_unique<audio::NullOutput>());
    ends.emplace_back(std::make_unique<audio::SilentInput>());
    ends.emplace_back(std::make_unique<audio::NullOutput>());
    return devices::sound::Sound(std::move(ends), clock);
  }();
  static auto memory = [] {
    const memory::RegionSpec regions[] = {{.guest_address = 0, .size = kMemorySize}};
    return memory::GuestMemory::create(regions).value();
  }();
  if (size < 4) return 0;
  std::byte* base = memory.host_range(0, kMemorySize);
  std::memset(base, 0, 4 * kDistance);
  const bool event_index = data[0] & 2;
  const std::span<const uint8_t> rest(data + 1, size - 1);
  if (data[0] & 1) virtio::testing::deal(rest, base, 4, kDistance);
  Quiet interrupts;
  std::array<UniqueFd, 4> doorbells;
  std::array<Ring, 4> rings;
  virtio::Activation activation{.memory = &memory, .interrupts = &interrupts};
  for (unsigned index = 0; index < 4; ++index) {
    const uint64_t at = index * kDistance;
    doorbells[index] = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    rings[index] = {.base = base + at, .doorbell = doorbells[index].get()};
    activation.doorbells.push_back(doorbells[index].get());
    activation.queues.push_back(
        virtio::Queue::create(memory, kSize, {at, at + 0x400, at + 0x800}, event_index, index, interrupts)
            .value());
  }
  device.activate(std::move(activation));
  if (data[0] & 1) {
    for (const UniqueFd& doorbell : doorbells) eventfd_write(doorbell.get(), 1);
    device.pause();
    device.resume();
    clock.advance(std::chrono::milliseconds(10));
  } else {
    run_requests(device, clock, base, rings, rest);
  }
  device.deactivate();
  return 0;
}
