// A hostile driver of the controller: the input is a program of register accesses and memory writes. Guest
// memory is small, so that queues, lists and data meet in it.
#include <algorithm>
#include <cstring>

#include "devices/nvme/controller.h"
#include "storage/testing/checking_disk.h"

namespace {

using namespace alcove;
using storage::testing::CheckingDisk;

constexpr uint64_t kDiskSize = 64 << 10;
constexpr uint64_t kMemorySize = 64 << 10;

struct Nobody final : bus::MessageSink {
  void send(const bus::Message&) override {}
};

void write32(devices::nvme::Controller& controller, uint64_t offset, uint32_t value) {
  controller.write_bar(0, offset, std::as_bytes(std::span(&value, 1)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto memory = [] {
    const memory::RegionSpec region{.guest_address = 0, .size = kMemorySize};
    return memory::GuestMemory::create(std::span(&region, 1)).value();
  }();
  static Nobody nobody;
  static CheckingDisk* disk = nullptr;
  static auto controller = [] {
    auto owned = std::make_unique<CheckingDisk>(kDiskSize);
    disk = owned.get();
    return std::make_unique<devices::nvme::Controller>(
        std::move(owned), devices::nvme::Options{.queue_pairs = 2}, memory, nobody);
  }();
  if (size < 2) return 0;
  std::memset(memory.host_range(0, kMemorySize), 0, kMemorySize);
  controller->reset();
  disk->read_only = data[0] & 1;
  // Short inputs find an enabled controller: its admin queues at 0x1000 and 0x2000.
  write32(*controller, spec::nvme::kAdminQueueAttributes, 15 | 15 << 16);
  write32(*controller, spec::nvme::kAdminSubmissionQueue, 0x1000);
  write32(*controller, spec::nvme::kAdminCompletionQueue, 0x2000);
  write32(*controller, spec::nvme::kConfiguration, 0x460001);
  if (data[0] & 2) {
    const spec::nvme::Command completions{.opcode = 5, .prp1 = 0x4000, .dword10 = 1 | 7 << 16, .dword11 = 3};
    const spec::nvme::Command submissions{
        .opcode = 1, .prp1 = 0x3000, .dword10 = 1 | 7 << 16, .dword11 = 1 | 1 << 16};
    (void)memory.store(0x1000, completions);
    (void)memory.store(0x1040, submissions);
    write32(*controller, spec::nvme::kDoorbells, 2);
  }
  for (size_t at = 1; at + 6 <= size;) {
    const uint8_t operation = data[at];
    uint32_t value;
    std::memcpy(&value, data + at + 2, sizeof value);
    const uint8_t place = data[at + 1];
    at += 6;
    switch (operation % 8) {
      case 0:
        write32(*controller, spec::nvme::kDoorbells + 4 * (place % 8), value % 16);
        break;
      case 1:
        write32(*controller, 4 * (place % 16), value);
        break;
      case 2: {
        std::array<std::byte, 8> read;
        controller->read_bar(0, value % 0x4000, std::span(read).first(size_t{1} << place % 4));
        break;
      }
      case 3:
        write32(*controller, value % 0x4000 & ~3u, place);
        break;
      case 4: {  // A command, as far as the input goes.
        spec::nvme::Command command{};
        const size_t length = std::min(sizeof command, size - at);
        std::memcpy(&command, data + at, length);
        at += length;
        (void)memory.store((place & 1 ? 0x3000 : 0x1000) + 64 * (value % 16), command);
        break;
      }
      case 5:
        (void)memory.store(value % kMemorySize & ~7ull, uint64_t{place} << 12);
        break;
      case 6:
        controller->pause();
        controller->resume();
        break;
      default: {
        const size_t length = std::min<size_t>(place, size - at);
        (void)memory.write(value % kMemorySize, std::as_bytes(std::span(data + at, length)));
        at += length;
      }
    }
  }
  controller->reset();
  return 0;
}
