// A hostile driver of the balloon: each of its queues is laid over the input, then all doorbells ring.
#include <algorithm>
#include <cstring>

#include "devices/balloon/balloon.h"
#include "spec/virtio.h"
#include "virtio/testing/fake_driver.h"

namespace {

using namespace alcove;
constexpr unsigned kQueues = 5;
constexpr uint64_t kArea = 0x1000;  // Of each queue.

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto memory = [] {
    const memory::RegionSpec region{.guest_address = 0, .size = 0x10000};
    return memory::GuestMemory::create(std::span(&region, 1)).value();
  }();
  static devices::balloon::Balloon balloon({.memory_size = 0x10000});
  static const std::vector<int> doorbells = [] {
    std::vector<int> fds(kQueues);
    for (int& fd : fds) fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fds;
  }();
  if (size < 3) return 0;
  virtio::testing::RecordingInterrupts interrupts;
  const uint8_t enabled = data[0];
  const uint64_t features = data[1] & 0x3f;
  virtio::Activation activation{
      .memory = &memory, .features = features, .doorbells = doorbells, .interrupts = &interrupts};
  // Queue i's rings are in area i; all see the input, at a distance that the input chooses.
  for (unsigned i = 0; i < kQueues; ++i) {
    std::byte* base = memory.host_range(i * kArea, kArea);
    std::memset(base, 0, kArea);
    const size_t skip = std::min<size_t>(3 + i * (data[2] % 64), size);
    std::memcpy(base, data + skip, std::min<size_t>(size - skip, 0x800));
    std::unique_ptr<virtio::Queue> queue;
    if (enabled & 1 << i) {
      queue = virtio::Queue::create(memory, 8, {i * kArea + 0x20, i * kArea, i * kArea + 0x900},
                                    features & 0x20, i, interrupts)
                  .value();
    }
    activation.queues.push_back(std::move(queue));
  }
  balloon.activate(std::move(activation));
  bool answered = false;
  if (enabled & 0x80) balloon.request_statistics([&](const MemoryBalloonStatistics&) { answered = true; });
  for (int fd : doorbells) eventfd_write(fd, 1);
  balloon.pause();
  balloon.resume();
  balloon.pause();  // What was taken before is done now.
  balloon.deactivate();
  if (enabled & 0x80 && !answered) __builtin_trap();
  return 0;
}
