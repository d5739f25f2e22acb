// A hostile driver of the block device. The input lies at the start of guest memory, where descriptors and
// available ring are too, and its first bytes choose features.
#include <algorithm>
#include <cstring>

#include "devices/block/request.h"
#include "spec/virtio.h"
#include "spec/virtio_block.h"
#include "storage/testing/checking_disk.h"
#include "virtio/testing/fake_driver.h"

namespace {

using namespace alcove;

constexpr uint64_t kDiskSize = 64 << 10;

struct Quiet final : virtio::Interrupts {
  void queue(unsigned) override {}
  void configuration() override {}
  void needs_reset() override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto memory = [] {
    const memory::RegionSpec region{.guest_address = 0, .size = 0x10000};
    return memory::GuestMemory::create(std::span(&region, 1)).value();
  }();
  if (size < 2) return 0;
  Quiet interrupts;
  storage::testing::CheckingDisk disk(kDiskSize);
  disk.read_only = data[0] & 1;
  const devices::block::Limits limits{
      .features = data[0] & 2 ? ~uint64_t{0} : 0, .disk_size = kDiskSize, .read_only = disk.read_only};
  std::byte* base = memory.host_range(0, 0x4000);
  std::memset(base, 0, 0x4000);
  std::memcpy(base, data + 1, std::min<size_t>(size - 1, 0x1000));
  // Available ring at 0, descriptors at 0x20, so that short inputs make whole requests.
  auto queue = virtio::Queue::create(memory, 8, {0x20, 0, 0x3000}, data[0] & 4, 0, interrupts);
  if (!queue) __builtin_trap();
  for (unsigned i = 0; i < 16; ++i) {
    auto chain = (*queue)->pop();
    if (!chain || !*chain) break;
    auto parsed = devices::block::parse(std::move(**chain), limits);
    if (!parsed) break;
    auto processed = devices::block::process(std::move(*parsed), disk, {});
    devices::block::finish(std::move(processed), **queue);
    (*queue)->notify();
  }
  return 0;
}
