// The firmware configuration device, through which firmware gets tables and facts of the machine
// (QEMU, docs/specs/fw_cfg.rst). All numbers on the wire are big-endian but the selector port and plain
// items.
#pragma once

#include <array>
#include <cstdint>

namespace alcove::spec::fw_cfg {

inline constexpr uint16_t kSelectorPort = 0x510;  // 16 bits, written.
inline constexpr uint16_t kDataPort = 0x511;      // 8 bits; each read goes on by one.
inline constexpr uint16_t kDmaPort = 0x514;       // 64 bits in two halves; writing the lower one acts.
inline constexpr uint16_t kPortCount = 12;

namespace key {
inline constexpr uint16_t signature = 0x00;  // "QEMU"
inline constexpr uint16_t id = 0x01;         // 32 bits: see below.
inline constexpr uint16_t uuid = 0x02;
inline constexpr uint16_t memory_size = 0x03;        // 64 bits.
inline constexpr uint16_t cpu_count = 0x05;          // 16 bits.
inline constexpr uint16_t boot_menu = 0x0e;          // 16 bits: whether to wait for a key.
inline constexpr uint16_t maximum_cpu_count = 0x0f;  // 16 bits.
inline constexpr uint16_t file_directory = 0x19;
inline constexpr uint16_t first_file = 0x20;
inline constexpr uint16_t mask = 0x3fff;  // The two upper bits say "write" and "of the architecture".
}  // namespace key

namespace id_bits {
inline constexpr uint32_t traditional = 1, dma = 2;
}

inline constexpr uint64_t kDmaSignature = 0x51454d5520434647;  // "QEMU CFG", read at the DMA port.

// What the directory begins with is the number of entries, 32 bits.
struct DirectoryEntry {
  uint32_t size = 0;  // Big-endian.
  uint16_t key = 0;   // Big-endian.
  uint16_t reserved = 0;
  std::array<char, 56> name{};  // Ends with a zero.
};
static_assert(sizeof(DirectoryEntry) == 64);

struct DmaRequest {  // All big-endian.
  uint32_t control = 0;
  uint32_t length = 0;
  uint64_t address = 0;
};
static_assert(sizeof(DmaRequest) == 16);

namespace dma {
inline constexpr uint32_t error = 1, read = 2, skip = 4, select = 8, write = 16;
inline constexpr unsigned key_shift = 16;
}  // namespace dma

// The file etc/table-loader: what firmware does to place other files and link them together. Little-endian.
namespace loader {
enum class Command : uint32_t { allocate = 1, add_pointer = 2, add_checksum = 3 };
enum class Zone : uint8_t { high = 1, f_segment = 2 };
using FileName = std::array<char, 56>;

struct [[gnu::packed]] Allocate {
  Command command = Command::allocate;
  FileName file{};
  uint32_t alignment = 0;
  Zone zone = Zone::high;
  std::array<uint8_t, 63> padding{};
};
static_assert(sizeof(Allocate) == 128);

// Adds the address of `pointee` to the number of `size` bytes at `offset` in `pointer`.
struct [[gnu::packed]] AddPointer {
  Command command = Command::add_pointer;
  FileName pointer{};
  FileName pointee{};
  uint32_t offset = 0;
  uint8_t size = 0;
  std::array<uint8_t, 7> padding{};
};
static_assert(sizeof(AddPointer) == 128);

// Puts at `offset` what makes the sum of the `length` bytes from `start` zero.
struct [[gnu::packed]] AddChecksum {
  Command command = Command::add_checksum;
  FileName file{};
  uint32_t offset = 0;
  uint32_t start = 0;
  uint32_t length = 0;
  std::array<uint8_t, 56> padding{};
};
static_assert(sizeof(AddChecksum) == 128);
}  // namespace loader

// etc/e820: an array of these, little-endian.
struct [[gnu::packed]] E820Entry {
  uint64_t address = 0;
  uint64_t size = 0;
  uint32_t type = 0;
};
static_assert(sizeof(E820Entry) == 20);

}  // namespace alcove::spec::fw_cfg
