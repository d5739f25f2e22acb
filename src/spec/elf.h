// ELF (System V gABI, chapters 4 and 5) as far as kernels need it.
#pragma once

#include <array>
#include <cstdint>

namespace alcove::spec::elf {

inline constexpr std::array<uint8_t, 4> kMagic{0x7f, 'E', 'L', 'F'};
inline constexpr uint8_t kClass32 = 1, kClass64 = 2;
inline constexpr uint8_t kLittleEndian = 1;
inline constexpr uint16_t kMachine386 = 3, kMachineX86_64 = 62, kMachineAArch64 = 183, kMachineRiscV = 243;
inline constexpr uint16_t kTypeExecutable = 2, kTypeShared = 3;
inline constexpr uint32_t kLoad = 1, kNote = 4;

struct Header64 {
  std::array<uint8_t, 16> identification{};
  uint16_t type = 0;
  uint16_t machine = 0;
  uint32_t version = 0;
  uint64_t entry = 0;
  uint64_t program_headers = 0;
  uint64_t section_headers = 0;
  uint32_t flags = 0;
  uint16_t header_size = 0;
  uint16_t program_header_size = 0;
  uint16_t program_header_count = 0;
  uint16_t section_header_size = 0;
  uint16_t section_header_count = 0;
  uint16_t section_names = 0;
};
static_assert(sizeof(Header64) == 64);

struct ProgramHeader64 {
  uint32_t type = 0;
  uint32_t flags = 0;
  uint64_t offset = 0;
  uint64_t virtual_address = 0;
  uint64_t physical_address = 0;
  uint64_t file_size = 0;
  uint64_t memory_size = 0;
  uint64_t alignment = 0;
};
static_assert(sizeof(ProgramHeader64) == 56);

struct NoteHeader {
  uint32_t name_size = 0;
  uint32_t value_size = 0;
  uint32_t type = 0;
};
static_assert(sizeof(NoteHeader) == 12);

}  // namespace alcove::spec::elf
