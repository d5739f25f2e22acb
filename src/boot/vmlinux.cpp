#include <fmt/format.h>

#include <algorithm>

#include "boot/file_kind.h"
#include "boot/load_plan.h"
#include "spec/elf.h"
#include "spec/pvh.h"

namespace alcove::boot {

using namespace spec::elf;

namespace {

constexpr auto kInvalid = ErrorCode::invalid_virtual_machine_configuration;
constexpr std::string_view kField = "boot_loader.kernel";
constexpr unsigned kMostSegments = 128;

std::unexpected<Error> wrong(std::string what, std::string hint = "get the file anew") {
  return fail(kInvalid, std::string(kField), std::move(what), std::move(hint));
}

std::optional<Bytes> part(Bytes file, uint64_t offset, uint64_t size) {
  if (offset > file.size() || size > file.size() - offset) return std::nullopt;
  return file.subspan(offset, size);
}

// The 32-bit entry that a note names (gABI chapter 5, "Note Section").
std::optional<uint64_t> find_pvh_entry(Bytes notes) {
  constexpr std::string_view kName("Xen\0", 4);
  while (const auto head = value_at<NoteHeader>(notes, 0)) {
    const auto padded = [](uint32_t size) { return (uint64_t{size} + 3) & ~uint64_t{3}; };
    const uint64_t value_at_offset = sizeof *head + padded(head->name_size);
    const bool ours = head->type == spec::pvh::kPhys32EntryNote && head->name_size == kName.size() &&
                      has_text(notes, sizeof *head, kName);
    if (ours && head->value_size >= 8) return value_at<uint64_t>(notes, value_at_offset);
    if (ours && head->value_size >= 4) return value_at<uint32_t>(notes, value_at_offset);
    const uint64_t next = value_at_offset + padded(head->value_size);
    if (next > notes.size()) return std::nullopt;
    notes = notes.subspan(next);
  }
  return std::nullopt;
}

spec::linux_boot::SetupHeader header_for_elf() {
  spec::linux_boot::SetupHeader header;
  header.boot_flag = spec::linux_boot::kBootFlag;
  header.magic = spec::linux_boot::kHeaderMagic;
  header.version = 0x20c;
  header.kernel_alignment = 0x1000000;
  return header;
}

}  // namespace

Result<LoadPlan> plan_vmlinux(Bytes file, const memory::GuestMemory& memory) {
  const auto header = value_at<Header64>(file, 0);
  if (!header) return wrong("the ELF file is truncated");
  if (header->identification[4] != kClass64 || header->identification[5] != kLittleEndian ||
      header->machine != kMachineX86_64 || (header->type != kTypeExecutable && header->type != kTypeShared)) {
    FileKind kind = recognise(file);
    return wrong("is " + kind.what, kind.hint);
  }
  if (header->program_header_size != sizeof(ProgramHeader64) || header->program_header_count == 0 ||
      header->program_header_count > kMostSegments) {
    return wrong("the ELF file has no usable program headers", "is it a kernel (vmlinux)?");
  }

  LoadPlan plan;
  plan.header = header_for_elf();
  std::optional<uint64_t> pvh_entry;
  uint64_t file_bytes = 0;
  std::optional<uint64_t> translated_entry;
  for (unsigned i = 0; i < header->program_header_count; ++i) {
    std::optional<ProgramHeader64> segment;
    if (header->program_headers <= file.size()) {
      segment = value_at<ProgramHeader64>(file, header->program_headers + i * sizeof(ProgramHeader64));
    }
    if (!segment) return wrong("the ELF file is truncated: its program headers are not there");
    if (segment->type != kLoad && segment->type != kNote) continue;
    const auto bytes = part(file, segment->offset, segment->file_size);
    if (!bytes) {
      return wrong(
          fmt::format("the ELF file is truncated: segment {} lies beyond its {} bytes", i, file.size()));
    }
    if (segment->type == kNote) {
      if (!pvh_entry) pvh_entry = find_pvh_entry(*bytes);
      continue;
    }
    // Overlapping pieces of the file would let a small file cause any amount of copying.
    file_bytes += segment->file_size;
    if (segment->memory_size < segment->file_size || file_bytes > file.size()) {
      return wrong("the ELF file's segments contradict themselves");
    }
    if (segment->memory_size == 0) continue;
    const uint64_t address = segment->physical_address;
    if (address < low_memory::kEnd) {
      return wrong(fmt::format("wants to be loaded at {:#x}, below 1 MiB", address),
                   "is it a kernel (vmlinux)?");
    }
    if (!memory.find(address, segment->memory_size)) {
      return fail(kInvalid, "memory_size",
                  fmt::format("the kernel needs {} MiB of memory at {:#x}", (segment->memory_size >> 20) + 1,
                              address),
                  "give the machine more memory");
    }
    if (header->entry - segment->virtual_address < segment->memory_size) {
      translated_entry = address + (header->entry - segment->virtual_address);
    }
    plan.segments.push_back({address, segment->offset, segment->file_size});
    plan.end = std::max(plan.end, address + segment->memory_size);
  }

  const auto is_loaded = [&](uint64_t address) {
    return std::ranges::any_of(plan.segments, [&](const Segment& segment) {
      return address >= segment.address && address - segment.address < segment.size;
    });
  };
  plan.protocol = pvh_entry ? Protocol::pvh : Protocol::linux64;
  // The entry should be a physical address; some linkers leave the virtual one.
  const uint64_t entry = is_loaded(header->entry) ? header->entry : translated_entry.value_or(0);
  plan.entry = pvh_entry.value_or(entry);
  if (!is_loaded(plan.entry) || plan.entry >> 32) {
    return wrong(fmt::format("its entry point {:#x} is not in what it loads", plan.entry),
                 "is it a kernel (vmlinux)?");
  }
  plan.initrd_maximum = 0xffffffff;
  return plan;
}

}  // namespace alcove::boot
