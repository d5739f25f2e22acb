#include "cpu/soft/mmu/walk.h"

#include <array>
#include <span>

#include "cpu/soft/mmu/table_entry.h"

namespace alcove::cpu::soft {
namespace {

using namespace table_entry;

constexpr uint64_t kCr0Wp = 1u << 16, kCr0Pg = 1u << 31;
constexpr uint64_t kCr4Pse = 1u << 4, kCr4Pae = 1u << 5, kCr4Pge = 1u << 7, kCr4Smep = 1u << 20;
constexpr uint64_t kEferLma = 1u << 10, kEferNxe = 1u << 11;

constexpr uint64_t bits(unsigned high, unsigned low) {
  return (~uint64_t{0} >> (63 - high)) & (~uint64_t{0} << low);
}

struct Entry {
  std::byte* host = nullptr;  // Null: not in RAM that can be written.
  PageState* state = nullptr;
  uint64_t offset = 0;  // Within its page.
  uint64_t value = 0;
};

struct Walker {
  PhysicalMemory& memory;
  const PagingMode& mode;
  const AccessKind kind;
  const bool nx_enabled = mode.efer & kEferNxe;
  std::array<Entry, 4> entries{};
  unsigned count = 0;

  template <class Word>
  uint64_t read(uint64_t physical) {
    const PhysicalMemory::Page page = memory.page(physical);
    Entry& entry = entries[count++];
    entry.offset = physical % memory::kPageSize;
    if (!page.host) {
      entry.value = static_cast<Word>(~uint64_t{0});
    } else {
      std::byte* host = page.host + entry.offset;
      entry.value = __atomic_load_n(reinterpret_cast<const Word*>(host), __ATOMIC_RELAXED);
      if (!page.read_only) entry.host = host, entry.state = page.state;
    }
    return entry.value;
  }

  uint32_t fault(bool present, bool reserved = false) const {
    const bool reports_fetch = (mode.cr4 & kCr4Smep) || ((mode.cr4 & kCr4Pae) && nx_enabled);
    return present * kFaultPresent | kind.write * kFaultWrite | kind.user * kFaultUser |
           reserved * kFaultReserved | (kind.fetch && reports_fetch) * kFaultFetch;
  }

  bool allowed(bool writable, bool user, bool no_execute) const {
    if (kind.user && !user) return false;
    if (!kind.user && user) {
      if (kind.fetch ? (mode.cr4 & kCr4Smep) != 0 : !kind.user_pages) return false;
    }
    if (kind.fetch && no_execute) return false;
    return !kind.write || may_write(writable);
  }
  bool may_write(bool writable) const { return writable || (!kind.user && !(mode.cr0 & kCr0Wp)); }

  // Sets A in every entry that the walk used (but not in `first`-1 and before), and D in the last. False if
  // one has changed meanwhile: walk again.
  template <class Word>
  bool set_bits(unsigned first) {
    for (unsigned i = first; i < count; ++i) {
      Entry& entry = entries[i];
      const uint64_t wanted = kAccessed | (kind.write && i + 1 == count ? kDirty : 0);
      if ((entry.value & wanted) == wanted || !entry.host) continue;
      Word expected = static_cast<Word>(entry.value);
      const Word desired = static_cast<Word>(entry.value | wanted);
      if (!__atomic_compare_exchange_n(reinterpret_cast<Word*>(entry.host), &expected, desired, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return false;
      entry.value = desired;
      memory.after_write(*entry.state, entry.offset, sizeof(Word));
    }
    return true;
  }

  // The leaf's part of the answer. `first`: the first entry that has an A bit.
  template <class Word>
  std::expected<Translation, uint32_t> finish(uint64_t address, uint64_t page_size, uint64_t page,
                                              bool writable, bool user, bool no_execute, unsigned first,
                                              bool& retry) {
    if (!allowed(writable, user, no_execute)) return std::unexpected(fault(true));
    if (!set_bits<Word>(first)) {
      retry = true;
      return std::unexpected(0);
    }
    const uint64_t leaf = entries[count - 1].value;
    return Translation{.physical = page | (address & (page_size - 1)),
                       .page_size = page_size,
                       .may_write = may_write(writable) && (leaf & kDirty),
                       .global = (leaf & kGlobal) && (mode.cr4 & kCr4Pge),
                       .user = user,
                       .writable = writable};
  }
};

uint64_t reserved_bits(const PagingMode& mode, bool long_mode) {
  return bits(long_mode ? 51 : 62, kPhysicalAddressBits) | (mode.efer & kEferNxe ? 0 : kNoExecute);
}

// Two levels of 32-bit entries, 4 MiB pages with up to 40 address bits (PSE-36).
std::expected<Translation, uint32_t> walk_32bit(Walker& walker, uint64_t address, bool& retry) {
  const uint64_t directory =
      walker.read<uint32_t>((walker.mode.cr3 & bits(31, 12)) | (address >> 22 & 0x3ff) * 4);
  if (!(directory & kPresent)) return std::unexpected(walker.fault(false));
  bool writable = directory & kWritable, user = directory & kUser;
  if ((directory & kLarge) && (walker.mode.cr4 & kCr4Pse)) {
    if (directory & bits(21, 21)) return std::unexpected(walker.fault(true, true));
    const uint64_t page = (directory & bits(31, 22)) | (directory & bits(20, 13)) << 19;
    return walker.finish<uint32_t>(address, uint64_t{4} << 20, page, writable, user, false, 0, retry);
  }
  const uint64_t entry = walker.read<uint32_t>((directory & bits(31, 12)) | (address >> 12 & 0x3ff) * 4);
  if (!(entry & kPresent)) return std::unexpected(walker.fault(false));
  writable &= (entry & kWritable) != 0;
  user &= (entry & kUser) != 0;
  return walker.finish<uint32_t>(address, 4096, entry & bits(31, 12), writable, user, false, 0, retry);
}

// PAE and long mode: levels of 64-bit entries. `level` 3 is PML4, 2 the page directory pointers.
std::expected<Translation, uint32_t> walk_64bit(Walker& walker, uint64_t address, bool long_mode,
                                                bool& retry) {
  const uint64_t reserved = reserved_bits(walker.mode, long_mode);
  bool writable = true, user = true, no_execute = false;
  uint64_t table = long_mode ? walker.mode.cr3 & kAddress : walker.mode.cr3 & bits(31, 5);
  for (int level = long_mode ? 3 : 2;; --level) {
    const unsigned shift = 12 + 9 * level;
    const uint64_t entry = walker.read<uint64_t>(table + (address >> shift & 0x1ff) * 8);
    if (!(entry & kPresent)) return std::unexpected(walker.fault(false));
    table = entry & kAddress;
    if (!long_mode && level == 2) {
      // The four PAE page-directory-pointer entries have no rights and no A bit.
      if (entry & (bits(63, kPhysicalAddressBits) | bits(8, 5) | bits(2, 1)))
        return std::unexpected(walker.fault(true, true));
      continue;
    }
    const bool leaf = level == 0 || (level < 3 && (entry & kLarge));
    uint64_t wrong = entry & reserved;
    if (level == 3) wrong |= entry & kLarge;
    if (leaf && level > 0) wrong |= entry & bits(shift - 1, 13);
    if (wrong) return std::unexpected(walker.fault(true, true));
    Translation::LastTable last_table{.user = user, .writable = writable};
    writable &= (entry & kWritable) != 0;
    user &= (entry & kUser) != 0;
    no_execute |= (entry & kNoExecute) != 0;
    if (leaf) {
      const uint64_t page_size = uint64_t{1} << shift;
      auto result = walker.finish<uint64_t>(address, page_size, table & ~(page_size - 1), writable, user,
                                            no_execute, long_mode ? 0 : 1, retry);
      const Entry& last = walker.entries[walker.count - 1];
      if (result && level == 0 && long_mode && last.host) {
        last_table.host = last.host - last.offset;
        result->last_table = last_table;
      }
      return result;
    }
  }
}

uint64_t read_entry(const uint64_t* entry) {
  return __atomic_load_n(entry, __ATOMIC_RELAXED);
}

bool in_use(uint64_t entry, const PagingMode& mode) {
  return (entry & kPresent) && (entry & kAccessed) && !(entry & reserved_bits(mode, true));
}

}  // namespace

std::expected<Translation, uint32_t> walk(PhysicalMemory& memory, const PagingMode& mode, uint64_t address,
                                          AccessKind kind) {
  if (!(mode.cr0 & kCr0Pg))
    return Translation{.physical = address,
                       .page_size = 4096,
                       .may_write = true,
                       .global = true,
                       .user = true,
                       .writable = true};
  // Entries may change under the walk; another processor can make that happen only so often.
  for (;;) {
    Walker walker{memory, mode, kind};
    bool retry = false;
    const auto result = (mode.cr4 & kCr4Pae) ? walk_64bit(walker, address, mode.efer & kEferLma, retry)
                                             : walk_32bit(walker, address, retry);
    if (!retry) return result;
  }
}

Neighbours find_neighbours(const Translation::LastTable& table, const PagingMode& mode, uint64_t address) {
  Neighbours neighbours;
  if (!table.host) return neighbours;
  const auto* const line = reinterpret_cast<const uint64_t*>(table.host) + (address >> 12 & 0x1f8);
  for (size_t i = 0; i < neighbours.size(); ++i) {
    const uint64_t entry = read_entry(line + i);
    if (!in_use(entry, mode)) continue;
    neighbours[i] = {.physical = entry & kAddress,
                     .present = true,
                     .user = table.user && (entry & kUser),
                     .writable = table.writable && (entry & kWritable) && (entry & kDirty),
                     .global = (entry & kGlobal) && (mode.cr4 & kCr4Pge)};
  }
  return neighbours;
}

bool TablePath::Entry::holds() const {
  constexpr uint64_t kSame = kAddress | kPresent | kAccessed | kLarge | kGlobal;
  return ((read_entry(host) ^ value) & kSame) == 0;
}

uint64_t TablePath::physical() const {
  return leaf().value & kAddress & ~(page_size() - 1);
}

// Whether with SMEP or without.
bool TablePath::may_be_run_by_supervisors() const {
  uint64_t all = ~uint64_t{0}, any = 0;
  for (const Entry& entry : std::span(entries).first(count)) {
    all &= entry.value;
    any |= entry.value;
  }
  return !(all & kUser) && !(any & kNoExecute);
}

const uint64_t* first_table(const PhysicalMemory& memory, const PagingMode& mode) {
  if (!(mode.cr0 & kCr0Pg) || !(mode.efer & kEferLma)) return nullptr;
  return reinterpret_cast<const uint64_t*>(memory.page(mode.cr3 & kAddress).host);
}

bool has_globals(const PagingMode& mode) {
  return mode.cr4 & kCr4Pge;
}

std::optional<TablePath> find_path(const PhysicalMemory& memory, const PagingMode& mode, uint64_t address) {
  TablePath path;
  const uint64_t* table = first_table(memory, mode);
  for (unsigned shift = 39; table; shift -= 9) {
    const uint64_t* const host = table + (address >> shift & 0x1ff);
    const TablePath::Entry entry{.host = host, .value = read_entry(host)};
    path.entries[path.count++] = entry;
    if (!in_use(entry.value, mode)) return {};
    if (shift == 12) return path;
    if (entry.value & kLarge) {
      if (shift == 39 || (entry.value & bits(shift - 1, 13))) return {};
      return path;
    }
    table = reinterpret_cast<const uint64_t*>(memory.page(entry.value & kAddress).host);
  }
  return {};
}

std::optional<TablePath::Entry> beside(const TablePath& path, const PagingMode& mode, unsigned index) {
  const auto place = reinterpret_cast<uintptr_t>(path.leaf().host) & ~(memory::kPageSize - 1);
  const auto* const host = reinterpret_cast<const uint64_t*>(place) + index;
  const TablePath::Entry entry{.host = host, .value = read_entry(host)};
  if (!in_use(entry.value, mode)) return {};
  return entry;
}

bool is_global(const TablePath::Entry& leaf) {
  return leaf.value & kGlobal;
}

uint64_t physical_of(const TablePath::Entry& leaf) {
  return leaf.value & kAddress;
}

}  // namespace alcove::cpu::soft
