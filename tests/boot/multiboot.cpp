#include "multiboot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "spec/elf.h"
#include "spec/linux_boot.h"

namespace alcove::multiboot {

using boot::value_at;

namespace {

// Multiboot Specification 3.1.
constexpr uint32_t kHeaderMagic = 0x1badb002, kLoaderMagic = 0x2badb002;
constexpr uint64_t kHeaderSearch = 8192;
constexpr uint32_t kMustUnderstand = 0xffff, kUnderstood = 0x3;  // Module alignment, memory sizes.

struct Header {
  uint32_t magic, flags, checksum;
};

// 3.3, up to the memory map.
struct Information {
  enum : uint32_t { kSizes = 1 << 0, kCommandLine = 1 << 2, kModules = 1 << 3, kMemoryMap = 1 << 6 };
  uint32_t flags = 0;
  uint32_t lower_kib = 0, upper_kib = 0;
  uint32_t boot_device = 0;
  uint32_t command_line = 0;
  uint32_t module_count = 0, modules = 0;
  std::array<uint32_t, 4> symbols{};
  uint32_t map_size = 0, map = 0;
  std::array<uint32_t, 9> unused{};
};
static_assert(sizeof(Information) == 88);

struct Module {
  uint32_t begin = 0, end = 0, text = 0, reserved = 0;
};

struct __attribute__((packed)) MapEntry {
  uint32_t size = 20;  // Of what follows.
  uint64_t address = 0, length = 0;
  uint32_t type = 0;
};

struct Header32 {
  std::array<uint8_t, 16> identification;
  uint16_t type, machine;
  uint32_t version, entry, program_headers, section_headers, flags;
  uint16_t header_size, program_header_size, program_header_count;
  uint16_t section_header_size, section_header_count, section_names;
};
static_assert(sizeof(Header32) == 52);

struct ProgramHeader32 {
  uint32_t type, offset, virtual_address, physical_address, file_size, memory_size, flags, alignment;
};
static_assert(sizeof(ProgramHeader32) == 32);

std::unexpected<Error> wrong(std::string what, std::string hint = {}) {
  return fail(ErrorCode::invalid_virtual_machine_configuration, "image", std::move(what), std::move(hint));
}

Result<> check_header(boot::Bytes image) {
  const uint64_t end = std::min<uint64_t>(image.size(), kHeaderSearch);
  for (uint64_t offset = 0; offset < end; offset += 4) {
    const auto header = value_at<Header>(image.first(end), offset);
    if (!header || header->magic != kHeaderMagic || header->magic + header->flags + header->checksum != 0)
      continue;
    if (const uint32_t unknown = header->flags & kMustUnderstand & ~kUnderstood)
      return wrong(fmt::format("asks its loader for what this one does not have (flags {:#x})", unknown));
    return {};
  }
  return wrong("has no multiboot header in its first 8 KiB", "give a multiboot 1 program");
}

Result<> load_segments(memory::GuestMemory& memory, boot::Bytes image, const Header32& header) {
  for (unsigned i = 0; i < header.program_header_count; ++i) {
    const auto segment =
        value_at<ProgramHeader32>(image, header.program_headers + uint64_t{i} * sizeof(ProgramHeader32));
    if (!segment) return wrong("is truncated: its program headers are not there");
    if (segment->type != spec::elf::kLoad || segment->memory_size == 0) continue;
    const uint64_t begin = segment->physical_address, end = begin + segment->memory_size;
    if (segment->offset > image.size() || segment->file_size > image.size() - segment->offset)
      return wrong(fmt::format("is truncated: segment {} lies beyond its {} bytes", i, image.size()));
    if (segment->memory_size < segment->file_size) return wrong("has a segment larger than its place");
    if (begin < kDataEnd && end > kDataBegin)
      return wrong(fmt::format("wants {:#x} to {:#x}, where its loader has its data", begin, end));
    if (!memory.find(begin, segment->memory_size)) {
      return fail(ErrorCode::invalid_virtual_machine_configuration, "memory_size",
                  fmt::format("the program needs memory from {:#x} to {:#x}", begin, end),
                  "give the machine more memory");
    }
    if (!memory.write(begin, image.subspan(segment->offset, segment->file_size)))
      return wrong("can't be written to memory");
  }
  return {};
}

// Puts one thing after another where the loader has its data.
class Placer {
 public:
  explicit Placer(memory::GuestMemory& memory) : memory_(memory) {}
  template <class T>
  uint32_t place(std::span<const T> values) {
    const boot::Bytes bytes = std::as_bytes(values);
    const uint64_t address = (next_ + 15) & ~uint64_t{15};
    if (bytes.size() > kDataEnd - address || !memory_.write(address, bytes)) {
      full_ = true;
      return 0;
    }
    next_ = address + bytes.size();
    return static_cast<uint32_t>(address);
  }
  bool full() const { return full_; }

 private:
  memory::GuestMemory& memory_;
  uint64_t next_ = kDataBegin;
  bool full_ = false;
};

}  // namespace

Result<cpu::X86State> load(memory::GuestMemory& memory, const Request& request, cpu::X86State state) {
  if (auto checked = check_header(request.image); !checked) return std::unexpected(checked.error());
  const auto header = value_at<Header32>(request.image, 0);
  if (!header ||
      !std::equal(spec::elf::kMagic.begin(), spec::elf::kMagic.end(), header->identification.begin()) ||
      header->identification[4] != spec::elf::kClass32 || header->machine != spec::elf::kMachine386 ||
      header->program_header_size != sizeof(ProgramHeader32)) {
    return wrong("is no 32-bit ELF file for the 80386", "give a multiboot 1 program in ELF32");
  }
  if (auto loaded = load_segments(memory, request.image, *header); !loaded)
    return std::unexpected(loaded.error());

  Information information{.flags = Information::kSizes | Information::kCommandLine | Information::kMemoryMap};
  Placer placer(memory);
  std::vector<MapEntry> map;
  for (const boot::MemoryRange& range : request.memory_map) {
    map.push_back({.address = range.address, .length = range.size, .type = range.type});
    if (range.type != spec::linux_boot::ram) continue;
    if (range.address == 0) information.lower_kib = static_cast<uint32_t>(range.size >> 10);
    if (range.address == 1 << 20) information.upper_kib = static_cast<uint32_t>(range.size >> 10);
  }
  information.map = placer.place(std::span<const MapEntry>(map));
  information.map_size = static_cast<uint32_t>(map.size() * sizeof(MapEntry));
  information.command_line =
      placer.place(std::span(request.command_line.c_str(), request.command_line.size() + 1));
  if (!request.module.empty()) {
    Module module{.text = information.command_line};
    module.begin = placer.place(request.module);
    module.end = module.begin + static_cast<uint32_t>(request.module.size());
    information.flags |= Information::kModules;
    information.module_count = 1;
    information.modules = placer.place(std::span<const Module>(&module, 1));
  }
  state.gpr = {};
  state.gpr[cpu::rax] = kLoaderMagic;
  state.gpr[cpu::rbx] = placer.place(std::span<const Information>(&information, 1));
  if (placer.full()) {
    return fail(ErrorCode::virtual_machine_limit_exceeded, "module",
                fmt::format("command line and module have no room in {} KiB", (kDataEnd - kDataBegin) >> 10));
  }

  // 3.2. Intel SDM vol. 3: CR0.PE and ET 2.5; segment types 3.4.5.
  state.rip = header->entry;
  state.rflags = 2;
  state.segments.fill({.selector = 0x10, .access = 0xc093, .limit = 0xffffffff});
  state.segments[cpu::cs] = {.selector = 0x08, .access = 0xc09b, .limit = 0xffffffff};
  state.cr0 = 0x11;
  return state;
}

}  // namespace alcove::multiboot
