// The first bytes choose ring size and features; the rest is laid over the rings and tables, then the device
// side pops, reads, writes and pushes as devices do.
#include <algorithm>
#include <cstring>

#include "virtio/queue.h"
#include "virtio/testing/fake_driver.h"

namespace {

using namespace alcove;

struct Quiet final : virtio::Interrupts {
  void queue(unsigned) override {}
  void configuration() override {}
  void needs_reset() override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto memory = [] {
    const memory::RegionSpec regions[] = {{.guest_address = 0, .size = 0x8000},
                                          {.guest_address = 0x8000, .size = 0x1000, .read_only = true}};
    return memory::GuestMemory::create(regions).value();
  }();
  if (size < 4) return 0;
  const auto queue_size = static_cast<uint16_t>(1 << (data[0] % 6));
  const bool event_index = data[1] & 1;
  Quiet interrupts;
  std::byte* base = memory.host_range(0, 0x8000);
  std::memset(base, 0, 0x2000);
  const size_t count = std::min<size_t>(size - 2, 0x2000);
  std::memcpy(base, data + 2, count);
  // Close together, so that small inputs reach all of them; overlapping rings are the driver's own harm.
  auto queue = virtio::Queue::create(memory, queue_size, {0x40, 0x00, 0x1000}, event_index, 0, interrupts);
  if (!queue) __builtin_trap();
  for (unsigned i = 0; i < 4 * queue_size; ++i) {
    auto result = (*queue)->pop();
    if (!result || !*result) break;
    virtio::Chain& chain = **result;
    std::byte buffer[64];
    if (chain.read(i, buffer) > sizeof buffer) __builtin_trap();
    for (const iovec& piece : chain.readable_vectors(3, 4096)) {
      volatile auto first = *static_cast<const std::byte*>(piece.iov_base);
      static_cast<void>(first);
    }
    chain.write(i, buffer);
    if (!(data[1] & 2) || i % 3) (*queue)->push(chain, static_cast<uint32_t>(chain.writable_size()));
    if (data[1] & 4) (*queue)->set_wants_notifications(i & 1);
    (*queue)->notify();
  }
  return 0;
}
