#include "cpu/soft/x86/testing/host_cpu.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <asm/ldt.h>
#endif

#include <algorithm>
#include <cstdlib>

#include "cpu/soft/x86/testing/layout.h"

namespace alcove::cpu::soft::testing {

#if defined(__x86_64__)
namespace {

constexpr size_t kSignalStackSize = 64 << 10;
constexpr int kSignals[] = {SIGTRAP, SIGSEGV, SIGFPE, SIGILL, SIGBUS};
constexpr size_t kXstateHeader = 512;  // XSTATE_BV follows the legacy area of XSAVE.
constexpr size_t kUpperHalves = 576;
constexpr uint64_t kUpperComponent = 4;
constexpr size_t kSoftwareBytes = 464, kFeatures = kSoftwareBytes + 8;
constexpr uint32_t kXsaveMagic = 0x46505853;  // FP_XSTATE_MAGIC1 of <asm/sigcontext.h>
// Linux' selectors for 32-bit code and for data.
constexpr uint16_t kCompatibilityCode = 0x23, kFlatData = 0x2b;
// Of our own in the local table.
constexpr uint16_t kCode16 = 0x07, kData16 = 0x0f;
constexpr int kBreakpointTrap = 3, kPageFaultTrap = 14;
constexpr uint32_t kFetchError = 1 << 4, kWriteError = 1 << 1;

// Of gregs, in the order of instruction encodings.
constexpr int kGregs[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                          REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

enum class Phase { idle, entering, inside };
volatile Phase phase = Phase::idle;
const CpuState* entry_state;
Result* result;
gregset_t own_registers;
FxArea own_fx;
std::array<std::array<uint64_t, 2>, 16> own_upper;
struct sigaction old_actions[std::size(kSignals)];

// Whether the frame has room for the upper halves (<asm/sigcontext.h>: _fpx_sw_bytes).
bool has_upper(const std::byte* bytes) {
  uint32_t magic;
  uint64_t features;
  std::memcpy(&magic, bytes + kSoftwareBytes, sizeof magic);
  std::memcpy(&features, bytes + kFeatures, sizeof features);
  return magic == kXsaveMagic && (features & kUpperComponent);
}

using Upper = std::array<std::array<uint64_t, 2>, 16>;

void write_fx(mcontext_t& context, const FxArea& area, const Upper& upper) {
  auto* bytes = reinterpret_cast<std::byte*>(context.fpregs);
  std::copy_n(area.bytes.data(), kSoftwareBytes, bytes);
  uint32_t magic;
  std::memcpy(&magic, bytes + kSoftwareBytes, sizeof magic);
  if (magic == kXsaveMagic) {
    uint64_t present;
    std::memcpy(&present, bytes + kXstateHeader, sizeof present);
    present |= 3;  // x87 and SSE are to be loaded.
    if (has_upper(bytes)) {
      present |= kUpperComponent;
      std::memcpy(bytes + kUpperHalves, &upper, sizeof upper);
    }
    std::memcpy(bytes + kXstateHeader, &present, sizeof present);
  }
}

void read_fx(const mcontext_t& context, FxArea& area, Upper& upper) {
  const auto* bytes = reinterpret_cast<const std::byte*>(context.fpregs);
  std::copy_n(bytes, kSoftwareBytes, area.bytes.data());
  upper = {};
  if (!has_upper(bytes)) return;
  uint64_t present;
  std::memcpy(&present, bytes + kXstateHeader, sizeof present);
  if (present & kUpperComponent) std::memcpy(&upper, bytes + kUpperHalves, sizeof upper);
}

void set_selectors(mcontext_t& context, uint16_t code) {
  auto selectors = static_cast<uint64_t>(context.gregs[REG_CSGSFS]);
  selectors = (selectors & ~uint64_t{0xffff}) | code;
  context.gregs[REG_CSGSFS] = static_cast<greg_t>(selectors);
}

// Not ours: for whoever was there before, or to happen again with its usual effect.
void pass_on(int number, siginfo_t* info, void* opaque) {
  const auto i = static_cast<size_t>(std::ranges::find(kSignals, number) - std::begin(kSignals));
  if (old_actions[i].sa_flags & SA_SIGINFO) {
    old_actions[i].sa_sigaction(number, info, opaque);
  } else {
    for (const int signal_number : kSignals) signal(signal_number, SIG_DFL);
  }
}

void handle(int number, siginfo_t* info, void* opaque) {
  mcontext_t& context = static_cast<ucontext_t*>(opaque)->uc_mcontext;
  if (phase == Phase::idle) {
    pass_on(number, info, opaque);
    return;
  }
  if (phase == Phase::entering) {
    std::memcpy(own_registers, context.gregs, sizeof own_registers);
    read_fx(context, own_fx, own_upper);
    for (unsigned i = 0; i < 16; ++i) context.gregs[kGregs[i]] = static_cast<greg_t>(entry_state->gpr[i]);
    context.gregs[REG_RIP] = static_cast<greg_t>(entry_state->rip);
    context.gregs[REG_EFL] = entry_state->flags;
    if (entry_state->code_size != 8)
      set_selectors(context, entry_state->code_size == 4 ? kCompatibilityCode : kCode16);
    write_fx(context, entry_state->fx, entry_state->upper);
    phase = Phase::inside;
    return;
  }

  for (unsigned i = 0; i < 16; ++i) result->state.gpr[i] = static_cast<uint64_t>(context.gregs[kGregs[i]]);
  result->state.rip = static_cast<uint64_t>(context.gregs[REG_RIP]);
  result->state.flags = static_cast<uint32_t>(context.gregs[REG_EFL]);
  read_fx(context, result->state.fx, result->state.upper);
  const auto trap = context.gregs[REG_TRAPNO];
  const auto error = static_cast<uint32_t>(context.gregs[REG_ERR]);
  if (trap == kBreakpointTrap) {
    --result->state.rip;
  } else if (trap != kPageFaultTrap) {
    result->fault = FaultKind{.vector = static_cast<uint8_t>(trap)};
  } else if (!(error & kFetchError)) {
    result->fault = FaultKind{.vector = kPageFaultTrap,
                              .error_code = error & kWriteError,
                              .address = static_cast<uint64_t>(context.gregs[REG_CR2])};
  }
  std::memcpy(context.gregs, own_registers, sizeof own_registers);
  write_fx(context, own_fx, own_upper);
  phase = Phase::idle;
}

// A call of its own, so that the compiler keeps nothing in the registers that only the caller saves.
[[gnu::noipa]] void enter() {
  asm volatile("int3" ::: "memory");
}

bool map(uint64_t address, uint64_t size, int protection, int file) {
  void* place = mmap(reinterpret_cast<void*>(address), size, protection, MAP_SHARED | MAP_FIXED_NOREPLACE,
                     file, static_cast<off_t>(address - kBase));
  return place == reinterpret_cast<void*>(address);
}

// Entries 0 (code) and 1 (data) of the process's local descriptor table: 16 bits, from kBase to its end.
bool make_segments16() {
  user_desc descriptor{};
  descriptor.base_addr = static_cast<unsigned>(kBase);
  descriptor.limit = kSize - 1;
  descriptor.contents = MODIFY_LDT_CONTENTS_CODE;
  constexpr int kWrite = 0x11;
  if (syscall(SYS_modify_ldt, kWrite, &descriptor, sizeof descriptor) != 0) return false;
  descriptor.entry_number = 1;
  descriptor.contents = MODIFY_LDT_CONTENTS_DATA;
  return syscall(SYS_modify_ldt, kWrite, &descriptor, sizeof descriptor) == 0;
}

// VERR
bool is_readable(uint16_t selector) {
  bool readable;
  asm("verr %1" : "=@ccz"(readable) : "r"(selector));
  return readable;
}

}  // namespace

std::unique_ptr<HostCpu> HostCpu::create(unsigned code_size, const char*& reason) {
  std::unique_ptr<HostCpu> host(new HostCpu);
  host->file_ = memfd_create("alcove-host-cpu", MFD_CLOEXEC);
  if (host->file_ < 0 || ftruncate(host->file_, kSize) != 0) {
    reason = "no memory file";
    return nullptr;
  }
  void* alias = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, host->file_, 0);
  if (alias == MAP_FAILED || !map(kCode, kPage, PROT_READ | PROT_EXEC, host->file_) ||
      !map(kData, kDataSize, PROT_READ | PROT_WRITE, host->file_) ||
      !map(kReadOnly, kPage, PROT_READ, host->file_) ||
      !map(kStack, kPage, PROT_READ | PROT_WRITE, host->file_)) {
    reason = "the test's addresses are taken, or executable mappings are forbidden";
    return nullptr;
  }
  host->memory_ = static_cast<std::byte*>(alias);
  host->memory_address_ = kBase;
  // Data accesses in compatibility mode go through DS and ES, which are null in 64-bit processes.
  if (code_size == 2 && !make_segments16()) {
    reason = "this host has no 16-bit segments (modify_ldt)";
    return nullptr;
  }
  const uint16_t data = code_size == 2 ? kData16 : kFlatData;
  if (!is_readable(data)) {
    reason = "this host gives its processes no such segments";
    return nullptr;
  }
  asm volatile("mov %0, %%ds; mov %0, %%es" : : "r"(data));
  host->signal_stack_ = std::make_unique<std::byte[]>(kSignalStackSize);
  const stack_t stack{.ss_sp = host->signal_stack_.get(), .ss_flags = 0, .ss_size = kSignalStackSize};
  sigaltstack(&stack, &host->former_stack_);
  struct sigaction action{};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &action, &old_actions[i]);
  CpuState plain{.rip = kStart - code_base(code_size), .code_size = static_cast<uint8_t>(code_size)};
  plain.gpr[rsp] = kStack + kPage / 2;
  plain.fx.set<uint16_t>(FxArea::kControl, 0x37f);
  plain.fx.set<uint32_t>(FxArea::kMxcsr, 0x1f80);
  if (!host->can_begin(plain)) {
    reason = "this host runs no code of that size in its processes";
    return nullptr;
  }
  return host;
}

HostCpu::~HostCpu() {
  if (signal_stack_) {
    for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &old_actions[i], nullptr);
    sigaltstack(&former_stack_, nullptr);
  }
  for (const uint64_t address : {kCode, kReadOnly, kStack}) munmap(reinterpret_cast<void*>(address), kPage);
  munmap(reinterpret_cast<void*>(kData), kDataSize);
  if (memory_) munmap(memory_, kSize);
  if (file_ >= 0) close(file_);
}

void HostCpu::set_code(std::span<const uint8_t> code) {
  std::fill_n(memory(kCode), kPage, std::byte{0xcc});
  std::copy_n(reinterpret_cast<const std::byte*>(code.data()), code.size(), memory(kStart));
}

Result HostCpu::run(const CpuState& before) {
  Result outcome{.state = before};
  entry_state = &before;
  result = &outcome;
  phase = Phase::entering;
  enter();
  return outcome;
}

bool HostCpu::can_begin(const CpuState& before) {
  constexpr uint8_t kNop = 0x90;
  set_code({&kNop, 1});
  return !run(before).fault;
}

#else

std::unique_ptr<HostCpu> HostCpu::create(unsigned, const char*& reason) {
  reason = "the host is not an x86-64 machine";
  return nullptr;
}
HostCpu::~HostCpu() = default;
void HostCpu::set_code(std::span<const uint8_t>) {}
Result HostCpu::run(const CpuState&) {
  return {};
}
bool HostCpu::can_begin(const CpuState&) {
  return false;
}

#endif

}  // namespace alcove::cpu::soft::testing
