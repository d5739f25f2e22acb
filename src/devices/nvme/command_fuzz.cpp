// What a hostile driver's commands are made of, without the threads that nvme_fuzz has: the input is commands
// for disk and controller, doorbells, and the lists in memory that they name.
#include <algorithm>
#include <cstring>

#include "devices/nvme/admin.h"
#include "devices/nvme/io_command.h"
#include "storage/testing/checking_disk.h"

namespace {

using namespace alcove;
using namespace alcove::devices::nvme;
using storage::testing::CheckingDisk;

constexpr uint64_t kDiskSize = 64 << 10;
constexpr uint64_t kMemorySize = 64 << 10;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto memory = [] {
    const memory::RegionSpec region{.guest_address = 0, .size = kMemorySize};
    return memory::GuestMemory::create(std::span(&region, 1)).value();
  }();
  if (size < 1) return 0;
  std::memset(memory.host_range(0, kMemorySize), 0, kMemorySize);
  CheckingDisk disk(kDiskSize);
  disk.read_only = data[0] & 1;
  const Limits limits{
      .blocks = kDiskSize / kBlockSize, .read_only = disk.read_only, .write_cache = (data[0] & 2) != 0};
  const Options options{.serial = "fuzz", .queue_pairs = 2};
  Shared shared{.memory = memory,
                .disk = disk,
                .signal = [](CompletionQueue&) {},
                .forget = [](const CompletionQueue&) {},
                .doorbell_was_wrong = [] {}};
  Admin admin(shared, options, 3);
  for (size_t at = 1; at < size;) {
    const uint8_t operation = data[at++];
    const auto take = [&](void* out, size_t count) {
      count = std::min(count, size - at);
      std::memcpy(out, data + at, count);
      at += count;
    };
    Command command{};
    switch (operation % 5) {
      case 0:
      case 1:
        take(&command, sizeof command);
        // Addresses are mostly memory.
        if (operation & 0x80) command.prp1 %= kMemorySize, command.prp2 %= kMemorySize;
        (void)process(parse(command, memory, limits), disk, memory, shared.statistics);
        break;
      case 2:
        take(&command, sizeof command);
        if (operation & 0x80) command.prp1 %= kMemorySize, command.prp2 %= kMemorySize;
        if (command.opcode == spec::nvme::kCreateSubmissionQueue) break;  // It would have a thread.
        (void)admin.execute(command);
        (void)admin.next_event();
        break;
      case 3: {
        uint32_t words[2] = {};
        take(words, sizeof words);
        (void)admin.ring_completion(words[0] % 4, words[1]);
        (void)admin.ring_submission(words[0] % 4, words[1]);
        admin.add_error(operation >> 4 & 1);
        if (operation & 0x20) admin.add_namespace_change();
        break;
      }
      default: {  // Entries of a list or ranges, as many as there are.
        uint16_t place = 0;
        std::array<std::byte, 256> bytes{};
        take(&place, sizeof place);
        const size_t length = std::min<size_t>(operation & 0xF8, size - at);
        take(bytes.data(), length);
        (void)memory.write(place, std::span(bytes).first(length));
      }
    }
  }
  admin.reset();
  return 0;
}
