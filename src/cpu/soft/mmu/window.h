// Pages of one address space's lower half, mapped for the host's own MMU to translate: what translated code
// of CPL 3 uses instead of the FlatMap in address spaces that compute for long (windows.h). An access costs
// one instruction more than the guest's own; one that the mappings do not allow is a fault of the host's,
// after which the interpreter makes it (translator.h).
//
//   base             Cpu
//   base + 64 KiB    jump cache, its return stack
//   base + 1 GiB     the window: the page at address A is at A modulo 16 TiB
//
// What a displacement can reach around the window is reserved and never mapped, so nothing but the guest's
// pages is within the guest's reach, whatever addresses it forms. Two addresses that are equal modulo 16 TiB
// share a place, and nothing tells them apart: an access to the one finds the other's page. So only address
// spaces whose parts in use are apart have windows (can_show()), and whoever opens one has their first table
// watched. An address in none of these parts finds its alias's page: a program that dereferences a wild
// pointer may so get at another of its own pages, where the architecture has a fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "cpu/soft/mmu/jump_cache.h"
#include "cpu/soft/mmu/page_view.h"
#include "cpu/soft/mmu/seen_tables.h"

namespace alcove::cpu::soft {

class CpuMemory;

class Window {
 public:
  static constexpr uint64_t kSize = uint64_t{1} << 44, kMask = kSize - 1;
  static constexpr int32_t kJumps = 1 << 16, kReturns = kJumps + JumpCache::size(JumpCache::kLowerBits);
  static constexpr int32_t kOffset = 1 << 30;
  // Displacements of at most this may be added to an address after its reduction by kMask.
  static constexpr int32_t kReach = 1 << 29;

  // Null where the host does not give the address space, of which all windows of the process have a limited
  // share.
  static std::unique_ptr<Window> create(const CpuMemory& cpu, PhysicalMemory& memory);
  ~Window();
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  // Whether the lower half is one that a window shows as it is, by its first table (null without paging): of
  // the 512 GiB that each entry stands for, no two in use or beside such have the same places. What is beside
  // is what programs use next, or guard regions go on in. And they are few: a program that maps memory
  // anywhere, as V8's do, may use the next for the first time by code for a window, which nobody notices.
  static bool can_show(const uint64_t* first_table);
  static constexpr unsigned kMostParts = 8;

  uint64_t base() const { return base_; }
  JumpCache& jumps() { return jumps_; }

  using Page = PageView::Page;
  static constexpr uint64_t kLargeSize = PageView::kLargeSize;
  const PageView& pages() const { return pages_; }
  // Where the guest has them by now, which need not be what its tables say any more.
  void show(const PagingMode& mode, const Page& page);
  // Pages of 4 KiB, sorted by address.
  void show(const PagingMode& mode, std::span<const Page> pages);
  void forbid_writes(const std::byte* host_page) { pages_.forbid_writes(host_page); }

  // Code that jumps lead to, by the jump cache or by themselves. `second`: of the page behind, if it is of
  // both.
  void note_code(const PagingMode& mode, uint64_t address, const PageState& state, const PageState* second);

  // The guest has all pages of the address space forgotten, or one: those that its tables have as ever stay,
  // and what leads to the code in them.
  void flush(const PagingMode& mode);
  void flush_page(const PagingMode& mode, uint64_t address);
  void clear();

 private:
  Window(uint64_t reserved, uint64_t base, PhysicalMemory& memory);
  // Where there is no room for more, that is all that is noted then.
  template <class Note>
  void note(Note&& note);
  void apply(std::optional<std::span<const SeenTables::Change>> changes);

  uint64_t reserved_;
  uint64_t base_;
  PageView pages_;
  JumpCache jumps_;
  SeenTables seen_;
};

}  // namespace alcove::cpu::soft
