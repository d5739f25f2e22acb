// A processor's pages of the upper half (the kernel's), mapped for the host's own MMU to translate:
// translated code of CPL 0 reads there without looking the page up, and the FlatMap's words lead there, so
// that what is written has one address for the host's caches. Stores look the page up as ever.
//
// Each view is at a fixed place of the host's address space, which PEXT makes of a linear address: its low 43
// bits, and above them bit 63, which PDEP moves on for the second view. In an address of the lower half, and
// in those that are not canonical and that a kernel may take for a user's, that is 0: what they lead to is
// reserved and never mapped, as is all else that can come of an address but the views themselves. An address
// of the upper half that has no page of its own finds the page of one that is equal modulo 8 TiB, if there is
// any; so does one with bit 63 that is not canonical. A guest that uses two such
// addresses, or any that are so equal as to their GiB, gets no view: the tables that tell which GiB it has
// are watched, and those that tell which tables these are are looked at when CR3 is loaded.
//
// It is a TLB of its own. What the guest's instructions flush is compared with the guest's tables, as mapping
// pages anew would cost much more: kernels flush all for some pages.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cpu/soft/mmu/page_view.h"
#include "cpu/soft/mmu/walk.h"

namespace alcove::cpu::soft {

class UpperView {
 public:
  static constexpr uint64_t kSize = uint64_t{1} << 43;
  // Displacements of at most this may be added to what PEXT makes.
  static constexpr int32_t kReach = 1 << 29;
  static constexpr uint64_t kClaim = uint64_t{1} << 30;

  // Null where the host does not give the address space, or others have it: there are two in a process.
  static std::unique_ptr<UpperView> create(const PhysicalMemory& physical, const memory::GuestMemory& memory);
  ~UpperView();
  UpperView(const UpperView&) = delete;
  UpperView& operator=(const UpperView&) = delete;

  // For PEXT, and for PDEP behind it, if not 0.
  uint64_t mask() const;
  uint64_t place_mask() const;

  // The guest uses this address of the upper half. False if another one that it uses, or that its tables lead
  // to, has the place: then the view is of no use any more.
  bool claim(const PagingMode& mode, uint64_t address);
  // All that its tables lead to.
  void claim_used(const PagingMode& mode);
  // The tables that were looked at for that and are not watched, which whoever takes them does: their pages'
  // physical addresses. Then claim_used() has to look again.
  bool has_unwatched_tables() const { return has_unwatched_; }
  std::vector<uint64_t> take_unwatched_tables();
  // A page has changed, or any may have (null), and is not watched any more.
  void table_changed(const PageState* page);
  // Such, since claim_used() has looked last.
  bool has_changed_tables() const { return has_changed_; }
  // The first table is this from now on. False if that is news.
  bool see_root(const PagingMode& mode);
  // The host has refused an access that the guest may make.
  void refused() { cost_ += kSignalCost; }
  // False if what it takes is too much of the time, or claims collided.
  bool pays();

  // Where the page of 4 KiB is shown; null if it isn't, or another one.
  std::byte* find(uint64_t address, const std::byte* host) const;
  // Shows the page, and others about it, if the guest's tables have it and have been used for it before;
  // where it is then, or null.
  std::byte* show(const PagingMode& mode, uint64_t address, const std::byte* host);

  // How often show() has mapped anything.
  uint64_t times_shown() const { return times_shown_; }

  // The guest has these forgotten by a processor: all, those that are not global, or one (of any size).
  void flush(const PagingMode& mode);
  void flush_non_global(const PagingMode& mode);
  void flush_page(const PagingMode& mode, uint64_t address);
  void clear();

  // Whether, since the last call, a page may have been shown in another's place.
  bool take_displaced() { return std::exchange(displaced_, false); }

  // Calls back with the linear addresses of that page of the host's memory that are shown.
  template <class Callback>
  void for_each_address(const std::byte* host_page, Callback&& callback) const {
    pages_.for_each_address(host_page, callback);
  }

 private:
  static constexpr uint64_t kSignalCost = 50'000;  // As cost_.

  struct Part {  // Of 4 KiB.
    uint64_t address;
    TablePath::Entry entry;
  };
  // 2 MiB, with the entries that lead to its last table or to a large page, of which there are no parts.
  struct Region {
    uint64_t address = 0;
    TablePath path{};
    std::vector<Part> global, local;
    bool is_noted = false;  // In local_.
    bool is_gone = false;

    bool is_large() const { return path.count < 4; }
    bool is_empty() const { return !is_large() && global.empty() && local.empty(); }
  };

  UpperView(unsigned number, const PhysicalMemory& physical, const memory::GuestMemory& memory);
  // True if nobody had claimed the address's GiB before.
  bool claim_part(uint64_t address);

  Region& region_of(const TablePath& path, uint64_t address);
  void gather(const TablePath& path, const PagingMode& mode, uint64_t address);
  bool show_large(const Region& region, uint64_t address, const std::byte* host);
  bool show_gathered(Region& region);
  // Whether the tables from this first one on lead to it as ever.
  static bool holds(const Region& region, const uint64_t* table);
  // Those of its pages that aren't as they were go.
  void check(Region& region, const uint64_t* table, bool globals);
  void check(std::vector<Part>& parts);
  void forget(Region& region);
  void end_flush();

  unsigned number_;
  const PhysicalMemory& physical_;
  PageView pages_;
  std::unordered_map<uint64_t, Region> regions_;  // By their number. They may be more than pages_ still has.
  std::vector<Region*> local_;                    // Those with pages that are not global.
  bool has_huge_ = false;                         // Parts of pages of 1 GiB.
  uint64_t efer_ = 0;                             // When they were shown.
  std::vector<Part> gathered_;
  std::vector<PageView::Page> shown_;
  std::vector<uint64_t> gone_regions_, gone_pages_;
  // By GiB within the view: the bits above of the address that claims it, plus 1.
  std::array<uint8_t, kSize / kClaim> claims_{};
  struct Table {
    uint64_t address;
    bool is_watched = false;
  };
  // Those that claims were read from. An address space has half as many.
  static constexpr size_t kMostTables = 512;
  std::unordered_map<const PageState*, Table> tables_;
  static constexpr size_t kHalf = 256;
  std::array<std::array<uint64_t, kHalf>, 4>
      roots_{};  // Upper halves of first tables, often seen ones first.
  bool has_unwatched_ = false, has_changed_ = false;
  uint64_t times_shown_ = 0;
  bool collided_ = false, displaced_ = false;
  // In ticks of the host's TSC: what it takes, since when.
  uint64_t cost_ = 0, begin_;
};

}  // namespace alcove::cpu::soft
