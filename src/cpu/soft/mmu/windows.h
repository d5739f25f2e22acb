// Which address spaces of a processor have windows: those in which user code runs for long without changing
// its memory map much. Mapping a page for the host's MMU takes as long as thousands of accesses by the
// FlatMap.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "cpu/soft/mmu/window.h"

namespace alcove::cpu::soft {

class Windows {
 public:
  Windows(const CpuMemory& cpu, PhysicalMemory& memory) : cpu_(cpu), memory_(memory) {}

  // The lower half of the address space is now that of these page tables; one of another generation
  // (Cpu::tlb_generation) than before has been flushed.
  void select(const PagingMode& mode, uint64_t generation);
  // Of the present address space; null if it has none.
  Window* current() { return current_ ? current_->window.get() : nullptr; }

  // Which of the processor's windows that is, from 1 on; 0: none.
  unsigned number() const { return current_ ? current_->number : 0; }
  static constexpr unsigned kMaximum = 3;

  // User code has run for so many ticks of the TSC; true if the address space, which has no window, has now
  // earned one. Whether it gets it or not, it begins to earn the next.
  bool ran(uint64_t ticks);
  // Whether there is one to give.
  bool has_one() { return to_give() != nullptr; }
  // Gives the address space, which can have one (Window::can_show()), one with these pages. False if there is
  // none to give.
  bool open(const PagingMode& mode, std::span<const Window::Page> pages);
  // A page is missing in the current window; false if so many are that it does not pay: it is closed then.
  bool missed();
  // A page of the guest's has changed, or any may have (null): takes away those that have their first table
  // there. True if the present one is among them.
  bool table_changed(const PageState* page);

  void flush_page(const PagingMode& mode, uint64_t address) {
    if (current_) current_->window->flush_page(mode, address);
  }
  void forbid_writes(const std::byte* host_page);
  void forget_all_pages();
  void remove_jumps(uint64_t offset, const uint8_t* code, std::optional<uint64_t> page);
  void clear_jumps();
  // Gives everything back.
  void release();

  // For tests: how long code of CPL 3 must have run before.
  void open_after(uint64_t ticks) {
    first_threshold_ = ticks;
    candidates_.fill({});
  }

 private:
  struct Owned {
    unsigned number = 0;
    uint64_t root = kNobody;
    const PageState* table = nullptr;  // The first one's page; null without paging.
    uint64_t generation = 0;
    uint64_t last_used = 0;
    uint64_t ticks = 0, misses = 0;  // Since it was opened.
    std::unique_ptr<Window> window;
  };
  struct Candidate {
    uint64_t root = kNobody;
    uint64_t ticks = 0;
    uint64_t threshold = 0;
    uint64_t last_used = 0;
  };
  static constexpr uint64_t kNobody = ~uint64_t{0};

  Candidate& candidate(uint64_t root);
  Owned* to_give();
  const PageState* table_of(const PagingMode& mode) const;
  void close(Owned& owned);

  const CpuMemory& cpu_;
  PhysicalMemory& memory_;
  std::vector<std::unique_ptr<Owned>> owned_;
  Owned* current_ = nullptr;
  std::array<Candidate, 16> candidates_;
  uint64_t root_ = kNobody, generation_ = 0;
  uint64_t uses_ = 0;
  uint64_t first_threshold_ = 250'000'000;
};

}  // namespace alcove::cpu::soft
