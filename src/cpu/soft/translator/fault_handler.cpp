#include "cpu/soft/translator/fault_handler.h"

#include <signal.h>
#include <sys/ucontext.h>

#include <array>
#include <mutex>

#include "cpu/soft/translator/translator.h"

namespace alcove::cpu::soft {
namespace {

// An address that is not canonical gives SIGSEGV, or SIGBUS where RBP is its base.
constexpr std::array kSignals = {SIGSEGV, SIGBUS};
std::array<struct sigaction, kSignals.size()> former;
thread_local Translator* volatile running = nullptr;

void handle(int number, siginfo_t* info, void* opaque) {
  auto& registers = static_cast<ucontext_t*>(opaque)->uc_mcontext.gregs;
  Translator* const translator = running;
  if (translator) {
    const auto at = reinterpret_cast<const uint8_t*>(registers[REG_RIP]);
    if (const uint8_t* const instead = translator->instead_of(at)) {
      registers[REG_RIP] = static_cast<greg_t>(reinterpret_cast<uintptr_t>(instead));
      return;
    }
  }
  const struct sigaction& next = former[number == SIGBUS];
  if (next.sa_flags & SA_SIGINFO) {
    next.sa_sigaction(number, info, opaque);
  } else if (next.sa_handler != SIG_DFL && next.sa_handler != SIG_IGN) {
    next.sa_handler(number);
  } else {
    signal(number, SIG_DFL);  // The access is repeated and ends the process.
  }
}

}  // namespace

void install_fault_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (size_t i = 0; i < kSignals.size(); ++i) {
      struct sigaction action{};
      action.sa_sigaction = handle;
      action.sa_flags = SA_SIGINFO | SA_ONSTACK;
      sigaction(kSignals[i], &action, &former[i]);
    }
  });
}

void expect_faults(Translator& translator) {
  running = &translator;
}

}  // namespace alcove::cpu::soft
