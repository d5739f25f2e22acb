// What the guest's page tables said of the lower half's pages when something came to rely on it: a page shown
// in a window, a jump that leads straight to the code in it. Guests have all of a TLB flushed when they have
// changed some pages. Most tables say then what they have said before: only what relies on the others is to
// be forgotten.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "cpu/soft/mmu/physical.h"
#include "cpu/soft/mmu/walk.h"

namespace alcove::cpu::soft {

class SeenTables {
 public:
  explicit SeenTables(const PhysicalMemory& memory) : memory_(memory) {}

  // CPL 3 uses what is at `host` as the page at `address`. The tables may say otherwise, as a TLB has what
  // they have said before: the next comparison finds the page gone then. False if there is no room for more:
  // all is to be forgotten.
  [[nodiscard]] bool note(const PagingMode& mode, uint64_t address, const std::byte* host, bool writes);
  // The same of a page that code is run from.
  [[nodiscard]] bool note_code(const PagingMode& mode, uint64_t address, const PageState& state);

  // Whether what was noted of the page last was that it is of a large one.
  bool is_large(uint64_t address) const;

  struct Change {
    // Gone: the page is another one, or none. Read-only: stores may not pass any more, if they did. Not code:
    // nothing may lead into the page's code any more.
    enum class Kind : uint8_t { gone, read_only, not_code };
    Kind kind;
    uint64_t address, size;  // Of pages of 4 KiB.

    bool operator==(const Change&) const = default;
  };
  // What the tables say otherwise than when it was noted; that is forgotten. A page that is gone is one more
  // change if it had code. None: all is gone. The changes stay until the next call.
  std::optional<std::span<const Change>> compare(const PagingMode& mode);
  // The same of one page, and of all of the large page that it may be a part of.
  std::optional<std::span<const Change>> compare_page(const PagingMode& mode, uint64_t address);
  void clear();

 private:
  static constexpr uint64_t kPage = 4096, kRegion = 2 << 20;
  static constexpr size_t kEntries = kRegion / kPage;
  static constexpr size_t kMaximum = 1024;  // Regions, of 4 KiB and some each.
  using Table = std::array<uint64_t, kEntries>;

  struct Region {
    TablePath above;                  // The entries that lead to `table`, or to a large page.
    const uint64_t* table = nullptr;  // Null: of a large page.
    std::unique_ptr<Table> seen;      // The table's entries that something relies on; others are 0.
    std::bitset<kEntries> code;
    bool is_gone = false;
  };

  template <class Leads>
  bool note(const PagingMode& mode, uint64_t address, uint64_t rights, Leads&& leads_there);
  void see(Region& region, const TablePath& path, uint64_t address);
  static bool holds(Region& region);
  // False: the region is gone.
  bool compare(Region& region, uint64_t address);
  void compare_entry(Region& region, uint64_t address, uint64_t now);
  void add(Change::Kind kind, uint64_t address, uint64_t size = kPage);
  std::span<const Change> all_changes();

  const PhysicalMemory& memory_;
  std::unordered_map<uint64_t, Region> regions_;  // By address / kRegion.
  bool has_huge_ = false;                         // Parts of pages of 1 GiB.
  uint64_t efer_ = 0;                             // When they were noted.
  std::vector<Change> changes_, code_changes_;
};

}  // namespace alcove::cpu::soft
