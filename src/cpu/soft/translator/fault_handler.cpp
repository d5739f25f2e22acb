#include "cpu/soft/translator/fault_handler.h"

#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/ucontext.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>

#include "cpu/soft/translator/translator.h"
#include "support/former_handler.h"

namespace alcove::cpu::soft {
namespace {

// An address that is not canonical gives SIGSEGV, or SIGBUS where RBP is its base.
constexpr std::array kSignals = {SIGSEGV, SIGBUS};
std::array<FormerHandler, kSignals.size()> former;
thread_local Translator* volatile running = nullptr;

// Translated code leaves no room for signals where RSP is (mmu/return_stack.h).
class SignalStack {
 public:
  SignalStack() {
    stack_t present{};
    if (sigaltstack(nullptr, &present) != 0 || !(present.ss_flags & SS_DISABLE)) return;
    size_ = std::max<size_t>(getauxval(AT_MINSIGSTKSZ), MINSIGSTKSZ) + (64 << 10);
    memory_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) std::abort();
    const stack_t stack{.ss_sp = memory_, .ss_flags = 0, .ss_size = size_};
    sigaltstack(&stack, nullptr);
  }
  ~SignalStack() {
    if (memory_ == MAP_FAILED) return;
    const stack_t none{.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
    sigaltstack(&none, nullptr);
    munmap(memory_, size_);
  }
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

 private:
  void* memory_ = MAP_FAILED;
  size_t size_ = 0;
};

void handle(int number, siginfo_t* info, void* opaque) {
  auto& registers = static_cast<ucontext_t*>(opaque)->uc_mcontext.gregs;
  Translator* const translator = running;
  if (translator) {
    const auto at = reinterpret_cast<const uint8_t*>(registers[REG_RIP]);
    auto rsp = static_cast<uint64_t>(registers[REG_RSP]);
    if (translator->make_room(at, reinterpret_cast<uint64_t>(info->si_addr), rsp)) {
      registers[REG_RSP] = static_cast<greg_t>(rsp);
      return;
    }
    if (const uint8_t* const instead = translator->instead_of(at)) {
      registers[REG_RIP] = static_cast<greg_t>(reinterpret_cast<uintptr_t>(instead));
      return;
    }
  }
  former[number == SIGBUS].pass_on(number, info, opaque);
}

}  // namespace

void install_fault_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (size_t i = 0; i < kSignals.size(); ++i) former[i].replace(kSignals[i], handle);
  });
}

void expect_faults(Translator& translator) {
  static thread_local const SignalStack stack;
  running = &translator;
}

}  // namespace alcove::cpu::soft
