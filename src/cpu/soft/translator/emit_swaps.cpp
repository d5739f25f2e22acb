// Registers that a block uses and that have no host register take the host registers of others.
#include <algorithm>

#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {
namespace {

// Worth two loads and two stores around the block, unless it loops.
constexpr unsigned kWorthIt = 4;
// No instruction uses them without naming them.
constexpr uint8_t kMayGo[] = {r15, r14, r13, r12, r8};

}  // namespace

bool BlockEmitter::loops() const {
  const Insn& last = insn_at(block_.count - 1u);
  const Way way = plan_of(*last.row).way;
  return (way == Way::jump_if || way == Way::jump_relative) && last.displacement == 0;
}

void BlockEmitter::choose_swaps() {
  std::array<unsigned, 18> uses{};  // With kNoRegister and kRipRegister.
  for (size_t i = 0; i < block_.count; ++i) {
    const Insn& insn = insn_at(i);
    const Plan& plan = plan_of(*insn.row);
    if (!usable(plan, insn)) continue;  // Handlers find all registers in Cpu.
    const bool special = plan.way != Way::plain;
    if (special || plan.reg == Role::general) ++uses[insn.reg];
    if (insn.is_register && (special || plan.rm == Role::general)) ++uses[insn.rm];
    ++uses[insn.base];
    ++uses[insn.index];
  }
  const unsigned worth = loops() ? 1 : kWorthIt;
  for (uint8_t guest = 0; guest < kHostOf.size(); ++guest) {
    if (kHostOf[guest] != kNoHostRegister || uses[guest] < worth) continue;
    const auto free = std::ranges::find_if(
        kMayGo, [&](uint8_t other) { return uses[other] == 0 && hosts_[other] != kNoHostRegister; });
    if (free == std::end(kMayGo)) break;
    hosts_[guest] = kHostOf[*free];
    hosts_[*free] = kNoHostRegister;
    swaps_.push_back({.in = guest, .out = *free});
  }
}

void BlockEmitter::swap_in() {
  for (const Swap& swap : swaps_) {
    a_.store(gpr_slot(swap.out), kHostOf[swap.out]);
    a_.load(kHostOf[swap.out], gpr_slot(swap.in));
  }
}

void BlockEmitter::swap_out() {
  for (const Swap& swap : swaps_) {
    a_.store(gpr_slot(swap.in), kHostOf[swap.out]);
    a_.load(kHostOf[swap.out], gpr_slot(swap.out));
  }
}

}  // namespace alcove::cpu::soft
