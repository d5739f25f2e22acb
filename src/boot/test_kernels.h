// Small files in the formats of kernels, for tests.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "spec/elf.h"
#include "spec/linux_boot.h"
#include "spec/pvh.h"
#include "support/unique_fd.h"

namespace alcove::boot {

inline UniqueFd file_with(std::string_view bytes) {
  UniqueFd file(memfd_create("test", MFD_CLOEXEC));
  if (pwrite(file.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return UniqueFd();
  return file;
}

template <class T>
void put(std::string& bytes, size_t offset, const T& value) {
  if (bytes.size() < offset + sizeof value) bytes.resize(offset + sizeof value);
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

// One sector of setup code, then 64 KiB of 'K'.
inline std::string make_bzimage(uint16_t version = 0x20f) {
  namespace lb = spec::linux_boot;
  std::string file(2 * lb::kSectorSize, '\0');
  lb::SetupHeader header;
  header.setup_sectors = 1;
  header.system_size = 0x10000 / 16;
  header.boot_flag = lb::kBootFlag;
  header.jump = 0x6aeb;  // The header ends at 0x26c.
  header.magic = lb::kHeaderMagic;
  header.version = version;
  header.load_flags = lb::kLoadedHigh;
  header.initrd_address_max = 0x7fffffff;
  header.kernel_alignment = 0x200000;
  header.relocatable = 1;
  header.extended_load_flags = lb::kKernel64;
  header.command_line_size = 100;
  header.preferred_address = 0x1000000;
  header.init_size = 0x100000;
  put(file, lb::kSetupHeaderOffset, header);
  file.append(0x10000, 'K');
  return file;
}

// 4 KiB of 'V' at 16 MiB, with 4 KiB of zeros after it; with a PVH note if asked for.
inline std::string make_vmlinux(bool pvh) {
  namespace elf = spec::elf;
  elf::Header64 header;
  header.identification = {0x7f, 'E', 'L', 'F', elf::kClass64, elf::kLittleEndian, 1};
  header.type = elf::kTypeExecutable;
  header.machine = elf::kMachineX86_64;
  header.entry = 0x1000100;
  header.program_headers = sizeof header;
  header.program_header_size = sizeof(elf::ProgramHeader64);
  header.program_header_count = pvh ? 2 : 1;
  std::string file;
  put(file, 0, header);
  elf::ProgramHeader64 load{.type = elf::kLoad,
                            .offset = 0x1000,
                            .virtual_address = 0xffffffff81000000,
                            .physical_address = 0x1000000,
                            .file_size = 0x1000,
                            .memory_size = 0x2000};
  put(file, sizeof header, load);
  if (pvh) {
    elf::ProgramHeader64 note{.type = elf::kNote, .offset = 0x200, .file_size = 40};
    put(file, sizeof header + sizeof load, note);
    // A note of somebody else's comes first.
    put(file, 0x200, elf::NoteHeader{.name_size = 4, .value_size = 1, .type = 1});
    put(file, 0x20c, std::array<char, 4>{'G', 'N', 'U', 0});
    put(file, 0x214, elf::NoteHeader{.name_size = 4, .value_size = 4, .type = spec::pvh::kPhys32EntryNote});
    put(file, 0x220, std::array<char, 4>{'X', 'e', 'n', 0});
    put(file, 0x224, uint32_t{0x1000200});
  }
  file.resize(0x1000);
  file.append(0x1000, 'V');
  return file;
}

}  // namespace alcove::boot
