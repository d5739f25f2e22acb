// The translations that translated code looks up: for each page of the linear address space one word for
// reading and one for writing, in tables as large as the address space, of which the host keeps only the
// parts in use. A word is the host address minus the linear address, plus 1; 0 where an access needs more
// care.
//
// Several address spaces have tables each, so that going back to one finds it warm. All share the upper half
// (the kernel's), the processor's Cpu and the upper half's jump cache. The host's GS register points to one:
//
//   base - 512 GiB  words for writing, the one of page number n at base - 8 * (n + 1)
//   base            Cpu
//   base + 64 KiB   jump caches: of the lower half, one each; of the upper half, shared; CodePlaces, shared
//   base + 10 MiB   words for reading, at base + 10 MiB + 8 * n
//
// n is the number of the page in 48 bits of address. Code of CPL 3 forms it from 47 bits, so it never finds a
// word of the upper half; what an address has beyond these bits is in the sum with the word, too, which is
// then no address that the host could have (see translator.h for the fault).
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_set>
#include <vector>

#include "cpu/soft/mmu/code_places.h"
#include "cpu/soft/mmu/jump_cache.h"
#include "cpu/soft/mmu/upper_code.h"
#include "cpu/soft/mmu/upper_view.h"
#include "cpu/soft/mmu/windows.h"

namespace alcove::cpu::soft {

struct Cpu;
struct TlbEntry;

// The Cpu of an Engine, in memory that tables can map, too.
class CpuMemory {
 public:
  CpuMemory();
  ~CpuMemory();
  CpuMemory(const CpuMemory&) = delete;
  CpuMemory& operator=(const CpuMemory&) = delete;
  Cpu& cpu() { return *cpu_; }
  int file() const { return file_; }
  static size_t size();

 private:
  int file_;
  Cpu* cpu_;
};

class FlatMap {
 public:
  static constexpr int32_t kReadOffset = 10 << 20;
  static constexpr int32_t kLowerJumps = 1 << 16, kUpperJumps = 1 << 21;  // JumpCaches.
  // Their ReturnStacks; the upper one's is in the first address space only.
  static constexpr int32_t kLowerReturns = kLowerJumps + JumpCache::size(JumpCache::kLowerBits),
                           kUpperReturns = kLowerReturns + ReturnStack::kMemory;
  static_assert(kUpperReturns + ReturnStack::kMemory <= kUpperJumps);
  // CodePlaces of code that is not for a window, by whether it is of CPL 3.
  static constexpr int32_t places_at(bool user) {
    return kReadOffset - static_cast<int32_t>((2 - user) * CodePlaces::kSize);
  }
  static_assert(kUpperJumps + JumpCache::size(JumpCache::kUpperBits) <= kReadOffset - 2 * CodePlaces::kSize);

  // Null where the host does not give the address space.
  static std::unique_ptr<FlatMap> create(const CpuMemory& cpu, unsigned spaces);
  ~FlatMap();
  FlatMap(const FlatMap&) = delete;
  FlatMap& operator=(const FlatMap&) = delete;

  uint64_t base() const { return spaces_[current_].base; }

  // Some address spaces may get windows (windows.h).
  void allow_windows(const CpuMemory& cpu, PhysicalMemory& memory) { windows_.emplace(cpu, memory); }
  Windows* windows() { return windows_ ? &*windows_ : nullptr; }
  // Of the present address space; null if it has none.
  Window* window() { return windows_ ? windows_->current() : nullptr; }
  // Gives the present address space one.
  bool open_window(const PagingMode& mode);
  // Shows pages of the upper half (upper_view.h), if there is room. Whoever forgets pages of the map has the
  // view flushed, too.
  void allow_upper_view(const PhysicalMemory& physical, const memory::GuestMemory& memory) {
    upper_view_ = UpperView::create(physical, memory);
  }
  UpperView* upper_view() { return upper_view_.get(); }
  // Words of the upper half lead to the guest's memory itself from now on.
  void close_upper_view();

  // The lower half is now the one of this number (Cpu::tlb_generation), by these page tables; an unknown one
  // begins empty.
  void select(uint64_t generation, const PagingMode& mode);
  // This lower half will not be selected again.
  void forget(uint64_t generation);
  void clear_all();
  // The same, and gives the tables' memory back.
  void release();
  // Code that jumps lead to stays where it is.
  void clear_upper(const PhysicalMemory& memory, const PagingMode& mode);
  // Only what is not global.
  void clear_upper_local();
  // Forgets the page, and all of the large page that it may be a part of.
  void clear_page(const PagingMode& mode, uint64_t address);
  // Code of CPL 3 is going to run: what only supervisors may use must not be found.
  void enter_user();
  // Whether there is any such.
  bool supervisor_pages() const { return spaces_[current_].supervisor_pages; }

  // Takes over what the processor's TLB knows of the page. True if UpperView has it now.
  bool fill(const Cpu& cpu, uint64_t address);
  // The same of a page of 4 KiB that is not in the TLB, unless the map has it: of the lower half one that CPL
  // 3 may use; `local`: of the upper half, and not global.
  void add(uint64_t address, const std::byte* host, bool writable, bool local);

  // No store to this page of the host's memory passes any more; while the processor stands still.
  void forbid_writes(const std::byte* host_page);
  void forbid_all_writes();

  JumpCache& lower_jumps() { return spaces_[current_].jumps; }
  JumpCache& upper_jumps() { return *upper_jumps_; }
  // Code of that privilege runs there.
  void note_code(bool user, uint64_t address) { foreign_jumps_ |= user != (address >> 63 == 0); }
  // Code that is jumped to.
  struct Target {
    uint64_t address;
    uint64_t physical;
    bool crosses;  // It is of the page behind, too.
    const uint8_t* code;
  };
  void add_jump(bool user, const Target& target);
  // It is right wherever its page, the only one, is mapped.
  void add_place(bool user, const Target& target);
  // Code of supervisors leads to there.
  void note_upper_code(const Target& target);
  CodePlaces& places(bool user) { return places_[user]; }
  // Forgets the ways to this code, whose address is a multiple of 4 KiB plus `offset`; in all address spaces.
  // `page`: of code for one place, where it is.
  void remove_jumps(uint64_t offset, const uint8_t* code, std::optional<uint64_t> page = {});
  // Forgets those into this page, in the present address space.
  void clear_jumps(uint64_t page);
  // Also those of address spaces that are not selected.
  void clear_jumps();

 private:
  struct Log {
    std::vector<uint64_t> pages;  // With a word. Sorted by time.
    // Numbers of 2 MiB and 1 GiB pages of which parts are among them.
    std::unordered_set<uint64_t> large, huge;
    // Numbers of the parts of 4 KiB that the tables consist of: those that the host has memory for.
    std::unordered_set<uint64_t> parts;
    uint64_t last_part = ~uint64_t{0};  // That was inserted.
    // Hashes of the host's pages that the words for writing may lead to.
    std::bitset<1 << 16> writable;
    void forget_parts() {
      parts.clear();
      last_part = ~uint64_t{0};
    }
  };
  struct Space {
    uint64_t base = 0;
    uint64_t generation = ~uint64_t{0};
    uint64_t last_used = 0;
    bool supervisor_pages = false;
    Log log;
    JumpCache jumps;
  };

  FlatMap() = default;
  static uint64_t* read_word(const Space& space, uint64_t page) {
    return reinterpret_cast<uint64_t*>(space.base + kReadOffset) + page;
  }
  static uint64_t* write_word(const Space& space, uint64_t page) {
    return reinterpret_cast<uint64_t*>(space.base) - 1 - page;
  }
  static void drop_tables(const Space& space, bool upper);
  void clear_log(Space& space, Log& log, bool upper);
  void note(Space& space, Log& log, uint64_t page, bool upper);
  std::byte* show(const Cpu& cpu, uint64_t page, const std::byte* host);
  static void set_words(const Space& space, Log& log, uint64_t page, const std::byte* host, bool writable);
  static size_t hash(const std::byte* host_page) {
    return (reinterpret_cast<uint64_t>(host_page) >> 12) % decltype(Log::writable)().size();
  }
  void clear_lower(Space& space);
  void clear_upper_words();
  void clear_upper_jumps();
  void forget_foreign_jumps();
  void forget_page(Space& space, Log& log, uint64_t page, bool upper);

  std::vector<Space> spaces_;
  size_t current_ = 0;
  uint64_t uses_ = 0;
  Log upper_, upper_local_;  // Global pages, and others.
  std::optional<JumpCache> upper_jumps_;
  UpperCode upper_code_;
  std::vector<CodePlaces> places_;  // By whether of CPL 3.
  // Some jumps are of the other half than the jump cache that they are in: supervisor code of the lower half,
  // or user code of the upper.
  bool foreign_jumps_ = false;
  std::optional<Windows> windows_;
  std::unique_ptr<UpperView> upper_view_;
};

}  // namespace alcove::cpu::soft
