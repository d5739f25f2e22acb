// Registers that a unit uses and that have no host register take the host registers of others.
#include <algorithm>
#include <span>
#include <utility>

#include "cpu/soft/translator/emitter.h"
#include "cpu/soft/translator/unit.h"

namespace alcove::cpu::soft {
namespace {

// Worth two loads and two stores around the unit.
constexpr unsigned kWorthIt = 4;
constexpr unsigned kLoopWeight = 8;
// No instruction uses these without naming them; most do not so with those either. Bytes 8 to 15 of RAX, RDX
// and RBX can be had nowhere else.
constexpr uint8_t kMayGo[] = {r15, r14, r13, r12, r8, rdi, rsi, rcx, rbp, rsp};
constexpr size_t kAlwaysMayGo = 5;
// A use as a base in code for windows, where what is needed is brought into RBP or RCX anyway, for several
// instructions: this part of another.
constexpr unsigned kLessAsBase = 4;

bool uses_memory(const Insn& insn) {
  return operand_use(plan_of(*insn.row), insn) != OperandUse::none;
}

// Whether it uses no general registers but RAX, RDX and RBX without naming them as a whole.
bool names_registers(const Plan& plan, const Insn& insn) {
  constexpr unsigned kCh = 5;
  switch (plan.way) {
    case Way::plain:
    case Way::vex:
      return !plan.count_in_cl && !plan.result_in_rcx && !plan.exchanges_pair &&
             !(is_high_byte_reg(plan, insn) && insn.reg == kCh) &&
             !(is_high_byte_rm(plan, insn) && insn.rm == kCh);
    case Way::nothing:
    case Way::lea:
    case Way::jump_relative:
    case Way::jump_if:
      return true;
    default:
      return false;
  }
}

}  // namespace

// A loop is what lies between a part and one that leads back to it.
void BlockEmitter::find_loops() {
  for (size_t i = 0; i < parts_.size(); ++i) {
    const auto [next, jump] = std::pair(parts_[i].next, parts_[i].jump);
    if (next && *next != i + 1) parts_[*next].jumped_to = true;
    // Also if it is what comes next: loops that are done several times (repeat_loop()) jump there, too.
    if (jump) parts_[*jump].jumped_to = true;
    for (const auto& target : {next, jump}) {
      if (!target || *target > i) continue;
      const auto body = std::span(parts_).subspan(*target, i + 1 - *target);
      const bool stays = std::ranges::all_of(body, [this](const Part& part) {
        const auto [on, away] = successors_of(*part.block);
        if (!on && !away) return false;
        for (size_t n = 0; n < part.block->count; ++n)
          if (!usable(plan_of(*part.insn(n).row), part.insn(n))) return false;
        return true;
      });
      if (stays)
        for (Part& part : body) part.in_loop = true;
    }
  }
}

void BlockEmitter::choose_swaps() {
  std::array<unsigned, 18> uses{};  // With kNoRegister and kRipRegister; in kLessAsBase-th parts.
  bool all_named = true;
  for (const Part& part : parts_) {
    const unsigned weight = kLessAsBase * (part.in_loop ? kLoopWeight : 1);
    for (size_t i = 0; i < part.block->count; ++i) {
      const Insn& insn = part.insn(i);
      const Plan& plan = plan_of(*insn.row);
      if (!usable(plan, insn)) continue;  // Handlers find all registers in Cpu.
      all_named &= names_registers(plan, insn);
      const bool special = plan.way != Way::plain && plan.way != Way::vex;
      if (plan.vvvv == Role::general) uses[insn.vvvv] += weight;
      if (special || plan.reg == Role::general) uses[insn.reg] += weight;
      if (insn.is_register && (special || plan.rm == Role::general)) uses[insn.rm] += weight;
      uses[insn.base] += in_window() && insn.index == kNoRegister ? weight / kLessAsBase : weight;
      uses[insn.index] += weight;
    }
  }
  const auto may_go = std::span(kMayGo).first(all_named ? std::size(kMayGo) : kAlwaysMayGo);
  for (uint8_t guest = 0; guest < kHostOf.size(); ++guest) {
    if (kHostOf[guest] != kNoHostRegister || uses[guest] == 0) continue;
    const auto least = std::ranges::min_element(
        may_go, {}, [&](uint8_t other) { return hosts_[other] == kNoHostRegister ? ~0u : uses[other]; });
    if (hosts_[*least] == kNoHostRegister || 2 * uses[guest] < 2 * kLessAsBase * kWorthIt + 3 * uses[*least])
      continue;
    hosts_[guest] = kHostOf[*least];
    hosts_[*least] = kNoHostRegister;
    swaps_.push_back({.in = guest, .out = *least});
  }
  // In loops a register that nothing uses is better than memory for what all addresses need.
  const auto looks_up = [](const Part& part) {
    const Insn* const begin = part.block->instructions();
    return part.in_loop && std::any_of(begin, begin + part.block->count, uses_memory);
  };
  if (!in_window() || std::ranges::none_of(parts_, looks_up)) return;
  const auto unused = std::ranges::find_if(
      may_go, [&](uint8_t guest) { return hosts_[guest] != kNoHostRegister && uses[guest] == 0; });
  if (unused == may_go.end()) return;
  window_mask_ = kHostOf[*unused];
  hosts_[*unused] = kNoHostRegister;
  swaps_.push_back({.in = kWindowMask, .out = *unused});
}

void BlockEmitter::swap_in() {
  for (const Swap& swap : swaps_) {
    a_.store(gpr_slot(swap.out), kHostOf[swap.out]);
    a_.load(kHostOf[swap.out], swap.in == kWindowMask ? ALCOVE_TRANSLATED(window) : gpr_slot(swap.in));
  }
}

void BlockEmitter::swap_out() {
  for (const Swap& swap : swaps_) {
    if (swap.in != kWindowMask) a_.store(gpr_slot(swap.in), kHostOf[swap.out]);
    a_.load(kHostOf[swap.out], gpr_slot(swap.out));
  }
}

}  // namespace alcove::cpu::soft
