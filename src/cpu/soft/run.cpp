// The outer loop: what happens between blocks.
#include "cpu/soft/apic/machine_clock.h"
#include "cpu/soft/engine.h"
#include "cpu/soft/x86/debug.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/exceptions.h"
#include "cpu/soft/x86/system/paravirtual.h"

namespace alcove::cpu::soft {
namespace {

// Between MOV SS and the next instruction there are no debug exceptions (Intel SDM vol. 3, 7.8.3): an
// instruction breakpoint and the single step are lost, a data breakpoint stays due.
bool holds_debug_back(const Cpu& cpu) {
  return cpu.interrupt_shadow && cpu.debug_shadow;
}

constexpr uint64_t kLongestPoll = 50'000, kShortestPoll = 5'000;  // ns

}  // namespace

Exit Engine::run() {
  Cpu& cpu = cpu_;
  enter();
  restart_steal_clock(cpu);
  if (translator_) translator_->deliver_faults();
  // No local variable is used on both sides of a jump back to here.
  const int jump = setjmp(cpu.fault_exit);
  if (jump != 0) after_jump();
  if (jump == kGiveUp) return outside(Exit::error);
  if (jump == kShutdown || (jump == kFault && !deliver_fault(cpu))) return outside(Exit::shutdown);
  for (;;) {
    if (cpu.attention.load(std::memory_order_acquire) != 0 || cpu.halted || cpu.wait_for_startup) {
      if (const auto exit = serve_attention()) return outside(*exit);
      if (!deliver_events(cpu)) {
        wait();
        continue;
      }
    }
    if (cpu.interrupt_shadow || cpu.single_step) {
      if (!run_shadowed()) step();
    } else {
      execute(UINT64_MAX);
    }
  }
}

Exit Engine::outside(Exit exit) {
  leave();
  return exit;
}

std::optional<Exit> Engine::serve_attention() {
  const uint32_t attention = cpu_.attention.load(std::memory_order_acquire) & kEngineAttention;
  if (attention == 0) return {};
  cpu_.attention.fetch_and(~attention, std::memory_order_acq_rel);
  if (attention & kCodeAttention) translator_->drop_changed();
  if (attention & kStopAttention) {
    leave();
    enter();
  }
  if (attention & kKickAttention) {
    // The debug trap stays due.
    if (cpu_.pending_debug) cpu_.attention.fetch_or(kDebugAttention, std::memory_order_relaxed);
    return Exit::kicked;
  }
  if (cpu_.pending_debug && !holds_debug_back(cpu_)) after_instruction(cpu_, false);
  return {};
}

// Translated code takes no interrupt before its first instruction either.
bool Engine::run_shadowed() {
  Cpu& cpu = cpu_;
  if (!translator_ || cpu.single_step || cpu.debug_shadow) return false;
  cpu.insn = nullptr;
  block_ = nullptr;
  Block& block = *code_.find(cpu);
  cpu.interrupt_shadow = false;
  if (run_translated(block)) return true;
  cpu.interrupt_shadow = true;
  return false;
}

void Engine::step() {
  const bool trap = cpu_.flags.test(kTf), resumed = cpu_.flags.test(kRf);
  const uint64_t begin = cpu_.rip;
  if (cpu_.single_step && !holds_debug_back(cpu_)) before_instruction(cpu_);
  cpu_.interrupt_shadow = false;
  const bool repeated = execute_one();
  // RF holds for all iterations (Intel SDM vol. 3, 18.3.1.1).
  if (resumed && repeated && cpu_.rip == begin) cpu_.flags.set(kRf, true);
  if ((trap || cpu_.pending_debug) && !holds_debug_back(cpu_)) after_instruction(cpu_, trap);
}

bool Engine::poll() {
  if (poll_time_ < kShortestPoll || !cpu_.system.kvm_poll_control) return false;
  const uint64_t end = MachineClock::now() + poll_time_;
  do {
    for (int i = 0; i < 20; ++i) {
      if (cpu_.attention.load(std::memory_order_acquire) != 0) return true;
      __builtin_ia32_pause();
    }
  } while (MachineClock::now() < end);
  return false;
}

void Engine::wait() {
  code_.idle();
  leave();
  const bool sleeps = !poll();
  if (sleeps) {
    tell_waiting(cpu_);
    const uint64_t begin = MachineClock::now();
    cpu_.attention.wait(0, std::memory_order_acquire);
    // What comes soon is worth looking out for, if it is often so.
    poll_time_ = MachineClock::now() - begin < kLongestPoll ? kLongestPoll : poll_time_ / 2;
  }
  enter();
  if (sleeps && tell_running(cpu_)) flush_tlb(cpu_, true);
}

}  // namespace alcove::cpu::soft
