#include "cpu/soft/mmu/neighbours.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kCr4Pge = 1u << 7, kEferLma = 1u << 10, kEferNxe = 1u << 11;
constexpr uint64_t kPresent = 1u << 0, kWritable = 1u << 1, kUser = 1u << 2, kAccessed = 1u << 5,
                   kDirty = 1u << 6, kLarge = 1u << 7, kGlobal = 1u << 8, kNoExecute = uint64_t{1} << 63;
constexpr uint64_t kAddress = ((uint64_t{1} << kPhysicalAddressBits) - 1) & ~uint64_t{0xfff};
constexpr uint64_t kReserved = ((uint64_t{1} << 52) - 1) & ~((uint64_t{1} << kPhysicalAddressBits) - 1);

uint64_t read(const std::byte* entry) {
  return __atomic_load_n(reinterpret_cast<const uint64_t*>(entry), __ATOMIC_RELAXED);
}

}  // namespace

std::optional<Neighbours> find_neighbours(const PhysicalMemory& memory, const PagingMode& mode,
                                          uint64_t address) {
  if (!(mode.efer & kEferLma)) return {};
  const uint64_t reserved = kReserved | (mode.efer & kEferNxe ? 0 : kNoExecute);
  uint64_t table = mode.cr3 & kAddress, rights = kWritable | kUser;
  for (unsigned shift = 39; shift > 12; shift -= 9) {
    const PhysicalMemory::Page page = memory.page(table);
    if (!page.host) return {};
    const uint64_t entry = read(page.host + (address >> shift & 0x1ff) * 8);
    if (!(entry & kPresent) || !(entry & kAccessed) || (entry & (reserved | kLarge))) return {};
    rights &= entry;
    table = entry & kAddress;
  }
  const PhysicalMemory::Page page = memory.page(table);
  if (!page.host) return {};
  const std::byte* const line = page.host + (address >> 12 & 0x1f8) * 8;
  Neighbours neighbours;
  for (size_t i = 0; i < neighbours.size(); ++i) {
    const uint64_t entry = read(line + 8 * i);
    if (!(entry & kPresent) || !(entry & kAccessed) || (entry & reserved)) continue;
    neighbours[i] = {.physical = entry & kAddress,
                     .present = true,
                     .user = (rights & entry & kUser) != 0,
                     .writable = (rights & entry & kWritable) && (entry & kDirty),
                     .global = (entry & kGlobal) && (mode.cr4 & kCr4Pge)};
  }
  return neighbours;
}

}  // namespace alcove::cpu::soft
