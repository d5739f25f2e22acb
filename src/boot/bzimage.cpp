#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "boot/load_plan.h"

namespace alcove::boot {

using namespace spec::linux_boot;

namespace {

constexpr auto kInvalid = ErrorCode::invalid_virtual_machine_configuration;
constexpr std::string_view kField = "boot_loader.kernel";
constexpr uint64_t kHeaderEndByte = 0x201, kHeaderEndBase = 0x202;  // The header's length is in its jump.

// Where the protected-mode part goes; nothing if memory has no place for it.
std::optional<uint64_t> place(const SetupHeader& header, uint64_t size, const memory::GuestMemory& memory) {
  const auto fits = [&](uint64_t address) {
    return address >= low_memory::kEnd && memory.find(address, size) != nullptr;
  };
  const uint64_t preferred = header.version >= 0x20a ? uint64_t{header.preferred_address} : low_memory::kEnd;
  if (fits(preferred)) return preferred;
  if (header.version < 0x20a || !header.relocatable) return std::nullopt;
  // Small machines: the lowest place that suits its alignment.
  const uint64_t alignment = std::max<uint64_t>(header.kernel_alignment, 1);
  if (!std::has_single_bit(alignment)) return std::nullopt;
  const uint64_t lowest = (low_memory::kEnd + alignment - 1) & ~(alignment - 1);
  return fits(lowest) ? std::optional(lowest) : std::nullopt;
}

}  // namespace

Result<LoadPlan> plan_bzimage(Bytes head, uint64_t file_size, const memory::GuestMemory& memory) {
  const auto truncated = [&](uint64_t expected) {
    return fail(kInvalid, std::string(kField),
                fmt::format("the kernel is truncated: {} bytes of {}", file_size, expected),
                "get the file anew");
  };
  LoadPlan plan;
  SetupHeader& header = plan.header;
  const auto jump = value_at<uint8_t>(head, kHeaderEndByte);
  if (!jump) return truncated(kHeaderEndBase);
  const uint64_t header_end = kHeaderEndBase + *jump;
  if (head.size() < header_end) return truncated(header_end);
  std::memcpy(&header, head.data() + kSetupHeaderOffset,
              std::min<uint64_t>(header_end - kSetupHeaderOffset, sizeof header));
  if (header.version < 0x200 || !(header.load_flags & kLoadedHigh)) {
    return fail(kInvalid, std::string(kField), "is a kernel for low memory (zImage, or before Linux 2.0)",
                "give a bzImage");
  }

  const uint64_t setup_size =
      ((header.setup_sectors ? uint64_t{header.setup_sectors} : 4) + 1ull) * kSectorSize;
  if (file_size <= setup_size) return truncated(setup_size + 1);
  // Before 2.04 the field had 16 bits and meant little.
  const uint64_t code_size = header.version >= 0x204 ? uint64_t{header.system_size} * 16ull : 0;
  if (file_size - setup_size + 15 < code_size) return truncated(setup_size + code_size);

  const uint64_t code_in_file = file_size - setup_size;
  const uint64_t needed =
      std::max<uint64_t>(code_in_file, header.version >= 0x20a ? uint64_t{header.init_size} : 0);
  const std::optional<uint64_t> address = place(header, needed, memory);
  if (!address) {
    const uint64_t preferred = header.preferred_address;
    return fail(kInvalid, "memory_size",
                fmt::format("the kernel needs {} MiB of memory at {:#x} to start", (needed >> 20) + 1,
                            header.version >= 0x20a ? preferred : low_memory::kEnd),
                "give the machine more memory");
  }
  plan.segments.push_back({*address, setup_size, code_in_file});
  plan.end = *address + needed;
  header.code32_start = static_cast<uint32_t>(*address);
  if (header.version >= 0x20c && (header.extended_load_flags & kKernel64)) {
    if (code_in_file <= kEntry64Offset) return truncated(setup_size + kEntry64Offset + 1);
    plan.protocol = Protocol::linux64;
    plan.entry = *address + kEntry64Offset;
  } else {
    plan.protocol = Protocol::linux32;
    plan.entry = *address;
  }
  plan.initrd_maximum =
      header.version >= 0x203 ? uint64_t{header.initrd_address_max} : uint64_t{kDefaultInitrdMax};
  plan.command_line_maximum =
      header.version >= 0x206 ? uint64_t{header.command_line_size} : uint64_t{kDefaultCommandLineSize};
  return plan;
}

}  // namespace alcove::boot
