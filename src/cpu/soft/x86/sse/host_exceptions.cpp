#include "cpu/soft/x86/sse/host_exceptions.h"

#include <signal.h>
#include <sys/ucontext.h>

#include <mutex>

#include "cpu/soft/x86/sse/mxcsr.h"

namespace alcove::cpu::soft {
namespace {

// Processors of one process take turns.
std::mutex mutex;
struct sigaction former_action;
thread_local volatile bool trapping = false;
thread_local volatile uint32_t trapped_flags = 0;

void handle(int number, siginfo_t*, void* opaque) {
  if (!trapping) {  // Another thread's, which nothing in this process expects.
    signal(number, SIG_DFL);
    return;
  }
  auto* registers = static_cast<ucontext_t*>(opaque)->uc_mcontext.fpregs;
  trapped_flags = registers->mxcsr & kMxcsrFlags;
  registers->mxcsr |= kMxcsrMasks;
}

void set_host_mxcsr(uint32_t value) {
  asm volatile("ldmxcsr %0" : : "m"(value));
}

}  // namespace

void begin_trapping(uint32_t mxcsr) {
  mutex.lock();
  struct sigaction action{};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGFPE, &action, &former_action);
  trapped_flags = 0;
  trapping = true;
  set_host_mxcsr(mxcsr);
}

uint32_t end_trapping() {
  set_host_mxcsr(kMxcsrDefault);
  trapping = false;
  sigaction(SIGFPE, &former_action, nullptr);
  mutex.unlock();
  return trapped_flags;
}

}  // namespace alcove::cpu::soft
