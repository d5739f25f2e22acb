#include "cpu/soft/mmu/seen_tables.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "cpu/soft/mmu/table_entry.h"

namespace alcove::cpu::soft {
namespace {

using namespace table_entry;

// Stands for an entry that nothing can rely on, unlike all that are in use.
constexpr uint64_t kUnknown = kPresent | kAddress;

constexpr uint64_t kWhere = kAddress | kPresent | kAccessed | kUser;
constexpr uint64_t kWriting = kWritable | kDirty;
constexpr uint64_t kRights = kWriting | kNoExecute;

constexpr size_t index_of(uint64_t address) {
  return address >> 12 & 0x1ff;
}
uint64_t read_entry(const uint64_t* host) {
  return __atomic_load_n(host, __ATOMIC_RELAXED);
}

// 0 of an entry that nothing was noted of.
constexpr uint64_t difference(uint64_t seen, uint64_t now) {
  return (seen ^ now) & (kWhere | kRights) & (0 - (seen & kPresent));
}
constexpr bool lost_writing(uint64_t seen, uint64_t now) {
  return (seen & kWriting) == kWriting && (now & kWriting) != kWriting;
}
constexpr bool lost_running(uint64_t seen, uint64_t now) {
  return !(seen & kNoExecute) && (now & kNoExecute);
}
// Whether whoever relied on what was seen can rely on what is now.
constexpr bool still_gives(uint64_t seen, uint64_t now) {
  return !((seen ^ now) & (kWhere | kLarge)) && !lost_writing(seen, now) && !lost_running(seen, now);
}

bool gives(const TablePath& path, uint64_t rights) {
  for (const TablePath::Entry& entry : std::span(path.entries).first(path.count))
    if (!(entry.value & kUser) || (entry.value & kNoExecute & rights) || (~entry.value & kWritable & rights))
      return false;
  return !(~path.leaf().value & kDirty & rights);
}

}  // namespace

template <class Leads>
bool SeenTables::note(const PagingMode& mode, uint64_t address, uint64_t rights, Leads&& leads_there) {
  if (regions_.empty()) efer_ = mode.efer;
  auto it = regions_.find(address / kRegion);
  if (it == regions_.end()) {
    if (regions_.size() >= kMaximum) return false;
    it = regions_.try_emplace(address / kRegion).first;
  }
  Region& region = it->second;
  if (rights & kNoExecute) region.code.set(index_of(address));
  if (region.is_gone) return true;
  const std::optional<TablePath> path = find_path(memory_, mode, address);
  if (!path || efer_ != mode.efer) {
    region.is_gone = true;
    return true;
  }
  see(region, *path, address);
  if (region.is_gone) return true;
  const uint64_t page = path->physical() + (address & (path->page_size() - 1) & ~(kPage - 1));
  if (gives(*path, rights) && leads_there(memory_.page(page))) return true;
  if (region.table)
    (*region.seen)[index_of(address)] = kUnknown;
  else
    region.is_gone = true;
  return true;
}

bool SeenTables::note(const PagingMode& mode, uint64_t address, const std::byte* host, bool writes) {
  return note(mode, address, writes ? kWriting : 0,
              [host](const PhysicalMemory::Page& page) { return page.host == host; });
}

bool SeenTables::note_code(const PagingMode& mode, uint64_t address, const PageState& state) {
  const auto is_its = [&state](const PhysicalMemory::Page& page) { return page.state == &state; };
  // Mostly it is known.
  const size_t index = index_of(address);
  if (const auto it = regions_.find(address / kRegion); it != regions_.end() && it->second.code.test(index)) {
    const Region& region = it->second;
    if (region.is_gone || (region.table && is_its(memory_.page((*region.seen)[index] & kAddress))))
      return true;
  }
  return note(mode, address, kNoExecute, is_its);
}

bool SeenTables::is_large(uint64_t address) const {
  const auto it = regions_.find(address / kRegion);
  return it != regions_.end() && !it->second.is_gone && !it->second.table;
}

void SeenTables::see(Region& region, const TablePath& path, uint64_t address) {
  const bool is_large = path.count < 4;
  has_huge_ |= path.count < 3;
  TablePath above = path;
  if (!is_large) --above.count;
  const uint64_t* const table = is_large ? nullptr : path.leaf().host - index_of(address);
  if (region.above.count == 0) {
    region.above = above;
    region.table = table;
    if (!is_large) region.seen = std::make_unique<Table>();
  }
  region.is_gone = region.above.count != above.count || region.table != table || !holds(region);
  if (region.is_gone || is_large) return;
  uint64_t& seen = (*region.seen)[index_of(address)];
  if (seen == 0 || still_gives(seen, path.leaf().value))
    seen = path.leaf().value;
  else
    seen = kUnknown;
}

// Rights may have been added. Not all of these entries have D.
bool SeenTables::holds(Region& region) {
  const auto above = std::span(region.above.entries).first(region.above.count);
  return !above.empty() && std::ranges::all_of(above, [](TablePath::Entry& entry) {
    const uint64_t now = read_entry(entry.host);
    if (!still_gives(entry.value, now) || (entry.value & ~now & kWritable)) return false;
    entry.value = now;
    return true;
  });
}

// Neighbours are one change.
void SeenTables::add(Change::Kind kind, uint64_t address, uint64_t size) {
  std::vector<Change>& changes = kind == Change::Kind::not_code ? code_changes_ : changes_;
  if (!changes.empty()) {
    Change& last = changes.back();
    if (last.kind == kind && last.address + last.size == address) {
      last.size += size;
      return;
    }
  }
  changes.push_back({kind, address, size});
}

std::span<const SeenTables::Change> SeenTables::all_changes() {
  changes_.insert(changes_.end(), code_changes_.begin(), code_changes_.end());
  code_changes_.clear();
  return changes_;
}

void SeenTables::compare_entry(Region& region, uint64_t address, uint64_t now) {
  const size_t index = index_of(address);
  uint64_t& seen = (*region.seen)[index];
  if (difference(seen, now) == 0) return;
  const bool is_gone = difference(seen, now) & kWhere;
  if (is_gone)
    add(Change::Kind::gone, address);
  else if (lost_writing(seen, now))
    add(Change::Kind::read_only, address);
  if (region.code.test(index) && (is_gone || lost_running(seen, now))) {
    add(Change::Kind::not_code, address);
    region.code.reset(index);
  }
  seen = is_gone ? 0 : now;
}

bool SeenTables::compare(Region& region, uint64_t address) {
  if (region.is_gone || !holds(region)) {
    add(Change::Kind::gone, address, kRegion);
    for (size_t i = 0; i < kEntries; ++i)
      if (region.code.test(i)) add(Change::Kind::not_code, address + i * kPage);
    return false;
  }
  if (!region.table) return true;
  Table now;
  std::memcpy(now.data(), region.table, sizeof now);
  const Table& seen = *region.seen;
  constexpr size_t kAtOnce = 16;
  for (size_t first = 0; first < kEntries; first += kAtOnce) {
    uint64_t differences = 0;
    for (size_t i = first; i < first + kAtOnce; ++i) differences |= difference(seen[i], now[i]);
    if (differences == 0) continue;
    for (size_t i = first; i < first + kAtOnce; ++i) compare_entry(region, address + i * kPage, now[i]);
  }
  return true;
}

std::optional<std::span<const SeenTables::Change>> SeenTables::compare(const PagingMode& mode) {
  changes_.clear();
  if (!regions_.empty() && (mode.efer != efer_ || !first_table(memory_, mode))) return {};
  for (auto it = regions_.begin(); it != regions_.end();)
    it = compare(it->second, it->first * kRegion) ? std::next(it) : regions_.erase(it);
  return all_changes();
}

std::optional<std::span<const SeenTables::Change>> SeenTables::compare_page(const PagingMode& mode,
                                                                            uint64_t address) {
  if (has_huge_) return compare(mode);
  changes_.clear();
  const auto it = regions_.find(address / kRegion);
  if (it == regions_.end()) return all_changes();
  if (mode.efer != efer_ || !first_table(memory_, mode)) return {};
  Region& region = it->second;
  if (region.is_gone || !holds(region)) {
    compare(region, it->first * kRegion);
    regions_.erase(it);
  } else if (region.table) {
    const uint64_t page = address & ~(kPage - 1);
    compare_entry(region, page, read_entry(region.table + index_of(page)));
  }
  return all_changes();
}

void SeenTables::clear() {
  regions_.clear();
  has_huge_ = false;
}

}  // namespace alcove::cpu::soft
