#include "cpu/soft/mmu/page_watch.h"

namespace alcove::cpu::soft {

bool is_watched(PageState& state) {
  const auto look = [&state] {
    return state.code_lines.load() != 0 || (state.bits.load() & (kRewritten | PageState::kTable));
  };
  if (look()) return true;
  if (state.code_generation.load() < kOftenRewritten) return false;
  // The two that were looked at may not have been so at the same time.
  state.lock();
  const bool result = look();
  state.unlock();
  return result;
}

void invalidate_code(PageState& state) {
  state.lock();
  const uint32_t generation = state.code_generation.fetch_add(1, std::memory_order_release);
  state.bits.fetch_and(kQuietWrite - 1, std::memory_order_relaxed);
  if (generation >= kOftenRewritten && (state.bits.load(std::memory_order_relaxed) & PageState::kProtected))
    state.bits.fetch_or(kRewritten);
  else
    state.bits.fetch_and(~PageState::kProtected, std::memory_order_relaxed);
  state.code_lines.store(0);
  state.unlock();
}

void note_quiet_write(PageState& state) {
  if (!(state.bits.load(std::memory_order_relaxed) & kRewritten)) return;
  if (state.bits.fetch_add(kQuietWrite, std::memory_order_relaxed) / kQuietWrite < kQuietWrites) return;
  state.lock();
  uint32_t gone = kRewritten | ~(kQuietWrite - 1);
  if (state.code_lines.load(std::memory_order_relaxed) == 0) gone |= PageState::kProtected;
  state.bits.fetch_and(~gone);
  state.unlock();
}

}  // namespace alcove::cpu::soft
