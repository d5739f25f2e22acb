#include "cpu/soft/translator/gs_base.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <immintrin.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>

#include "cpu/soft/mmu/window.h"

namespace alcove::cpu::soft {
namespace {

// What translated code can form from the base: words for writing before it, a window behind it.
constexpr size_t kBefore = size_t{1} << 39, kBehind = Window::kOffset + Window::kSize + 2ul * Window::kReach;

struct Host {
  bool fits = false;
  uint64_t nowhere = 0;  // What the kernel is to give threads; 0: it keeps what they set.
};

volatile bool refused = false;
constexpr std::array<uint8_t, 5> kReadGsBase = {0xf3, 0x48, 0x0f, 0xae, 0xc8};  // RDGSBASE RAX

void skip_instruction(int, siginfo_t*, void* context) {
  refused = true;
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] += kReadGsBase.size();
}

// CPUID tells what the processor has; whether CR4.FSGSBASE is set only the instruction does.
bool instructions_work() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !(ebx & bit_FSGSBASE)) return false;
  struct sigaction action{}, former{};
  action.sa_sigaction = skip_instruction;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, &former);
  asm volatile(".byte 0xf3, 0x48, 0x0f, 0xae, 0xc8" : : : "rax", "memory");
  sigaction(SIGILL, &former, nullptr);
  return !refused;
}

Host look_at_host() {
  constexpr unsigned long kFsgsbaseEnabled = 1u << 1;  // HWCAP2_FSGSBASE
  if (getauxval(AT_HWCAP2) & kFsgsbaseEnabled) return {.fits = true};
  if (!instructions_work()) return {};
  void* const memory =
      mmap(nullptr, kBefore + kBehind, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return {};
  madvise(memory, kBefore + kBehind, MADV_DONTDUMP);
  return {.fits = true, .nowhere = reinterpret_cast<uint64_t>(memory) + kBefore};
}

const Host& host() {
  static const Host found = look_at_host();
  return found;
}

thread_local bool asked = false;

}  // namespace

bool can_set_gs_base() {
  return host().fits;
}

[[gnu::target("fsgsbase")]] void set_gs_base(uint64_t base) {
  if (!asked) {
    if (host().nowhere != 0) syscall(SYS_arch_prctl, ARCH_SET_GS, host().nowhere);
    asked = true;
  }
  if (_readgsbase_u64() != base) _writegsbase_u64(base);
}

[[gnu::target("fsgsbase")]] bool restore_gs_base(uint64_t base) {
  if (host().nowhere == 0 || _readgsbase_u64() == base) return false;
  _writegsbase_u64(base);
  return true;
}

}  // namespace alcove::cpu::soft
