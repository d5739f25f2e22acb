// The x86 Linux boot protocol (kernel documentation, Documentation/arch/x86/boot.rst and zero-page.rst).
#pragma once

#include <array>
#include <cstdint>

namespace alcove::spec::linux_boot {

inline constexpr uint64_t kSetupHeaderOffset = 0x1f1;  // In the file and in the zero page.
inline constexpr uint16_t kBootFlag = 0xaa55;
inline constexpr uint32_t kHeaderMagic = 0x53726448;  // "HdrS"
inline constexpr uint32_t kSectorSize = 512;

#pragma pack(push, 1)

struct SetupHeader {
  uint8_t setup_sectors = 0;
  uint16_t root_flags = 0;
  uint32_t system_size = 0;  // In 16-byte units: the protected-mode code.
  uint16_t ram_size = 0;
  uint16_t video_mode = 0;
  uint16_t root_device = 0;
  uint16_t boot_flag = 0;
  uint16_t jump = 0;
  uint32_t magic = 0;
  uint16_t version = 0;
  uint32_t realmode_switch = 0;
  uint16_t start_system_segment = 0;
  uint16_t kernel_version = 0;
  uint8_t type_of_loader = 0;
  uint8_t load_flags = 0;
  uint16_t setup_move_size = 0;
  uint32_t code32_start = 0;
  uint32_t initrd_address = 0;
  uint32_t initrd_size = 0;
  uint32_t bootsector_scratch = 0;
  uint16_t heap_end = 0;
  uint8_t extended_loader_version = 0;
  uint8_t extended_loader_type = 0;
  uint32_t command_line = 0;
  uint32_t initrd_address_max = 0;  // 2.03
  uint32_t kernel_alignment = 0;    // 2.05
  uint8_t relocatable = 0;
  uint8_t minimum_alignment = 0;     // 2.10
  uint16_t extended_load_flags = 0;  // 2.12
  uint32_t command_line_size = 0;    // 2.06
  uint32_t hardware_subarchitecture = 0;
  uint64_t hardware_subarchitecture_data = 0;
  uint32_t payload_offset = 0;
  uint32_t payload_length = 0;
  uint64_t setup_data = 0;
  uint64_t preferred_address = 0;  // 2.10
  uint32_t init_size = 0;          // 2.10
  uint32_t handover_offset = 0;
  uint32_t kernel_info_offset = 0;
};
static_assert(sizeof(SetupHeader) == 0x26c - 0x1f1);

struct E820Entry {
  uint64_t address = 0;
  uint64_t size = 0;
  uint32_t type = 0;
};
static_assert(sizeof(E820Entry) == 20);

// "Zero page"; what we leave zero is padding here.
struct BootParameters {
  std::array<uint8_t, 0x70> screen{};
  uint64_t acpi_rsdp_address = 0;
  std::array<uint8_t, 0x1e8 - 0x78> unused0{};
  uint8_t e820_count = 0;
  std::array<uint8_t, 0x1ef - 0x1e9> unused1{};
  uint8_t sentinel = 0;
  uint8_t unused2 = 0;
  SetupHeader header{};
  std::array<uint8_t, 0x2d0 - 0x26c> unused3{};
  std::array<E820Entry, 128> e820{};
  std::array<uint8_t, 0x1000 - 0xcd0> unused4{};
};
static_assert(sizeof(BootParameters) == 4096);

#pragma pack(pop)

enum E820Type : uint32_t { ram = 1, reserved = 2, acpi_tables = 3, acpi_nvs = 4 };

inline constexpr uint8_t kLoadedHigh = 1u << 0;  // load_flags
inline constexpr uint8_t kCanUseHeap = 1u << 7;
inline constexpr uint16_t kKernel64 = 1u << 0;  // extended_load_flags
inline constexpr uint16_t kAbove4G = 1u << 1;
inline constexpr uint8_t kLoaderUndefined = 0xff;  // type_of_loader: none of the registered ones

inline constexpr uint64_t kEntry64Offset = 0x200;  // From where the protected-mode code was loaded.
inline constexpr uint16_t kBootCs = 0x10, kBootDs = 0x18;
inline constexpr uint32_t kDefaultInitrdMax = 0x37ffffff;
inline constexpr uint32_t kDefaultCommandLineSize = 255;

}  // namespace alcove::spec::linux_boot
