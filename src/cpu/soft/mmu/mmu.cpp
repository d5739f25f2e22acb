#include "cpu/soft/mmu/mmu.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "cpu/soft/engine_attention.h"
#include "cpu/soft/mmu/page_watch.h"
#include "cpu/soft/x86/cpu.h"
#include "cpu/soft/x86/debug.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kCr4Pcide = 1u << 17;

void clear(TlbEntry& entry) {
  entry.read_tag = entry.write_tag = ~uint64_t{0};
}

unsigned current_pcid(const Cpu& cpu) {
  return cpu.cr4 & kCr4Pcide ? cpu.cr3 & 0xfff : 0;
}

}  // namespace

PagingMode mode_of(const Cpu& cpu) {
  return {.cr0 = cpu.cr0, .cr3 = cpu.cr3, .cr4 = cpu.cr4, .efer = cpu.efer};
}

Mmu::Mmu(PhysicalMemory& memory) : memory_(memory) {}

void Mmu::set_flat_map(const Cpu& cpu, FlatMap* flat) {
  flat_ = flat;
  if (flat_) flat_->select(cpu.tlb_generation[0], mode_of(cpu));
}

Mmu::Target Mmu::data(Cpu& cpu, Privilege privilege, uint64_t address, bool write) {
  const AccessKind kind{.write = write,
                        .user = privilege == Privilege::user,
                        .user_pages = privilege == Privilege::supervisor_user_pages};
  const PagingMode mode = mode_of(cpu);
  const auto translation = walk(memory_, mode, address, kind);
  if (!translation) raise_page_fault(cpu, address, translation.error());

  const unsigned half = address >> 63;
  if (UpperView* const view = half == 1 ? upper_view() : nullptr;
      view && (!view->claim(mode, address) || view->has_unwatched_tables()))
    cpu.attention.fetch_or(kCodeAttention, std::memory_order_relaxed);
  const PhysicalMemory::Page page = memory_.page(translation->physical);
  if (!page.host) return {.physical = translation->physical};

  const uint64_t offset = address & ~kPageMask;
  Target target{.host = page.host + offset, .state = page.state, .physical = translation->physical};
  if (write && page.read_only) target.read_only = std::exchange(target.host, nullptr);
  bool may_write = translation->may_write && !page.read_only;
  if (is_watched(*page.state)) may_write = false;
  if (may_write && memory_.logging()) {
    if (write) page.state->bits.fetch_or(PageState::kDirty, std::memory_order_seq_cst);
    may_write = page.state->bits.load(std::memory_order_relaxed) & PageState::kDirty;
  }
  target.direct = may_write;

  if ((cpu.dr[7] & 0xff) && page_has_data_breakpoint(cpu, address)) return target;
  TlbEntry& entry = tlb(privilege).entry(address);
  const uint64_t tag = (address & kPageMask) | cpu.tlb_generation[half];
  entry.read_tag = tag;
  entry.write_tag = may_write ? tag : ~uint64_t{0};
  entry.addend = reinterpret_cast<uint64_t>(page.host) - (address & kPageMask);
  entry.physical = (translation->physical & kPageMask) | std::countr_zero(translation->page_size) |
                   (translation->user ? TlbEntry::kUser : 0) |
                   (translation->writable ? 0 : TlbEntry::kReadOnly) |
                   (half == 1 && !translation->global ? TlbEntry::kUpperLocal : 0);
  if (translation->page_size != memory::kPageSize) {
    Bounds& bounds = large_pages_[half];
    bounds.first = std::min(bounds.first, address & ~(translation->page_size - 1));
    bounds.last = std::max(bounds.last, address | (translation->page_size - 1));
  }
  if (half == 1 && !translation->global) {
    if (upper_non_global_count_ < upper_non_global_entries_.size()) {
      upper_non_global_entries_[upper_non_global_count_++] = &entry;
    } else {
      upper_non_global_ = true;
    }
  }
  // A store that may not go by the map comes here each time: it is not to walk past its neighbours again.
  const bool fills = flat_ && (may_write || !write);
  if (fills && !(cpu.dr[7] & 0xff) && !memory_.logging())
    fill_neighbours(find_neighbours(translation->last_table, mode, address), address);
  return target;
}

void Mmu::fill_neighbours(const Neighbours& neighbours, uint64_t address) {
  const uint64_t first = address & ~(neighbours.size() * memory::kPageSize - 1);
  for (size_t i = 0; i < neighbours.size(); ++i) {
    const Neighbour& neighbour = neighbours[i];
    const uint64_t linear = first + i * memory::kPageSize;
    const bool upper = linear >> 63;
    // Supervisor pages of the lower half are a matter of its own (FlatMap::enter_user()).
    if (!neighbour.present || linear == (address & kPageMask) || (!upper && !neighbour.user)) continue;
    const PhysicalMemory::Page page = memory_.page_beside(neighbour.physical);
    if (!page.host) continue;
    const bool writable = neighbour.writable && !page.read_only && !is_watched(*page.state);
    flat_->add(linear, page.host, writable, upper && !neighbour.global);
  }
}

Mmu::Target Mmu::fetch(Cpu& cpu, uint64_t address, uint64_t& page_size) {
  const AccessKind kind{.fetch = true, .user = cpu.cpl == 3};
  const auto translation = walk(memory_, mode_of(cpu), address, kind);
  if (!translation) raise_page_fault(cpu, address, translation.error());
  page_size = translation->page_size;
  if ((address >> 63) && !translation->global) upper_non_global_ = true;
  const PhysicalMemory::Page page = memory_.page(translation->physical);
  return {.host = page.host, .state = page.state, .physical = translation->physical & kPageMask};
}

void Mmu::clear_tlbs() {
  for (Tlb& tlb : tlbs_) tlb.entries.fill({});
  large_pages_ = {};
}

uint64_t Mmu::new_generation(Cpu& cpu, unsigned half) {
  if (++last_generation_[half] == kGenerations) {
    // Old entries could be taken for new ones: begin anew with both halves.
    clear_tlbs();
    if (flat_) flat_->clear_all();
    forget_spaces(cpu);
    restarted_ = true;
    last_generation_ = {0, 0};
    cpu.tlb_generation = {0, 0};
    if (flat_) flat_->select(0, mode_of(cpu));
    upper_non_global_ = false;
    upper_non_global_count_ = 0;
  }
  return last_generation_[half];
}

void Mmu::new_lower_generation(Cpu& cpu) {
  cpu.tlb_generation[0] = new_generation(cpu, 0);
  if (flat_) flat_->select(cpu.tlb_generation[0], mode_of(cpu));
}

void Mmu::new_upper_generation(Cpu& cpu) {
  if (flat_) flat_->clear_upper(memory_, mode_of(cpu));
  cpu.tlb_generation[1] = new_generation(cpu, 1);
  upper_non_global_ = false;
  upper_non_global_count_ = 0;
}

UpperView* Mmu::upper_view() const {
  return flat_ ? flat_->upper_view() : nullptr;
}

void Mmu::flush_view(Cpu& cpu, void (UpperView::*flush)(const PagingMode&)) {
  UpperView* const view = upper_view();
  if (!view) return;
  (view->*flush)(mode_of(cpu));
  if (!view->pays()) cpu.attention.fetch_or(kCodeAttention, std::memory_order_relaxed);
}

void Mmu::forget_upper_non_global(Cpu& cpu) {
  if (flat_) flat_->clear_upper_local();
  flush_view(cpu, &UpperView::flush_non_global);
  if (upper_non_global_) {
    new_upper_generation(cpu);
    return;
  }
  // Another entry may have taken the place meanwhile: it is looked up again.
  for (size_t i = 0; i < upper_non_global_count_; ++i) clear(*upper_non_global_entries_[i]);
  upper_non_global_count_ = 0;
}

Mmu::AddressSpace* Mmu::find_space(unsigned pcid) {
  const auto it = std::ranges::find(spaces_, pcid, &AddressSpace::pcid);
  return it == spaces_.end() ? nullptr : &*it;
}

void Mmu::forget_space(AddressSpace& space) {
  if (flat_ && space.pcid != kNoPcid) flat_->forget(space.generation);
  space = {};
}

void Mmu::forget_spaces(const Cpu& cpu) {
  for (AddressSpace& space : spaces_) forget_space(space);
  if (flat_) flat_->forget(cpu.tlb_generation[0]);
}

void Mmu::remember_space(unsigned pcid, uint64_t generation) {
  AddressSpace& space = *std::ranges::min_element(spaces_, {}, &AddressSpace::last_used);
  forget_space(space);
  space = {.pcid = pcid, .generation = generation, .last_used = ++uses_};
}

void Mmu::flush_all(Cpu& cpu) {
  forget_spaces(cpu);
  new_lower_generation(cpu);
  new_upper_generation(cpu);
  // Pages with breakpoints must be looked up.
  if (has_upper_data_breakpoint(cpu) && upper_view()) upper_view()->clear();
  flush_view(cpu, &UpperView::flush);
  if (cpu.cr4 & kCr4Pcide) remember_space(current_pcid(cpu), cpu.tlb_generation[0]);
}

void Mmu::flush_non_global(Cpu& cpu) {
  forget_spaces(cpu);
  new_lower_generation(cpu);
  forget_upper_non_global(cpu);
  if (cpu.cr4 & kCr4Pcide) remember_space(current_pcid(cpu), cpu.tlb_generation[0]);
}

void Mmu::flush_pcid(Cpu& cpu, unsigned pcid) {
  if (AddressSpace* const space = find_space(pcid)) forget_space(*space);
  if (pcid != current_pcid(cpu)) return;
  if (flat_) flat_->forget(cpu.tlb_generation[0]);
  new_lower_generation(cpu);
  forget_upper_non_global(cpu);
  if (cpu.cr4 & kCr4Pcide) remember_space(pcid, cpu.tlb_generation[0]);
}

void Mmu::switch_address_space(Cpu& cpu, bool keep) {
  // Entries of the upper half know no PCID, so those that are not global do not survive a switch.
  forget_upper_non_global(cpu);
  if (UpperView* const view = upper_view(); view && !view->see_root(mode_of(cpu)))
    cpu.attention.fetch_or(kCodeAttention, std::memory_order_relaxed);
  if (!(cpu.cr4 & kCr4Pcide)) {
    if (flat_) flat_->forget(cpu.tlb_generation[0]);
    new_lower_generation(cpu);
    return;
  }
  const unsigned pcid = current_pcid(cpu);
  AddressSpace* const space = find_space(pcid);
  if (space && keep) {
    cpu.tlb_generation[0] = space->generation;
    if (flat_) flat_->select(space->generation, mode_of(cpu));
    space->last_used = ++uses_;
    return;
  }
  if (space) forget_space(*space);
  new_lower_generation(cpu);
  remember_space(pcid, cpu.tlb_generation[0]);
}

void Mmu::flush_page(Cpu& cpu, uint64_t address) {
  if (flat_) flat_->clear_page(mode_of(cpu), address);
  if (UpperView* const view = upper_view()) view->flush_page(mode_of(cpu), address);
  const Bounds& large = large_pages_[address >> 63];
  for (Tlb& tlb : tlbs_) {
    clear(tlb.entry(address));
    if (address < large.first || address > large.last) continue;
    for (TlbEntry& entry : tlb.entries) {
      const unsigned shift = entry.physical & TlbEntry::kSizeBits;
      if (shift > 12 && (entry.read_tag ^ address) >> shift == 0) clear(entry);
    }
  }
}

void Mmu::drop_write_tags(uint64_t physical_page) {
  if (flat_) flat_->forbid_writes(memory_.page(physical_page).host);
  for (Tlb& tlb : tlbs_)
    for (TlbEntry& entry : tlb.entries)
      if ((entry.physical & kPageMask) == physical_page) entry.write_tag = ~uint64_t{0};
}

void Mmu::drop_all_write_tags() {
  if (flat_) flat_->forbid_all_writes();
  for (Tlb& tlb : tlbs_)
    for (TlbEntry& entry : tlb.entries) entry.write_tag = ~uint64_t{0};
}

}  // namespace alcove::cpu::soft
