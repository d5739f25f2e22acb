#include "cpu/kvm/kvm_vcpu.h"

#include <sys/mman.h>
#include <algorithm>

#include <csignal>
#include <span>

#include "cpu/copy_registers.h"
#include "cpu/cpu_features.h"

namespace alcove::cpu::kvm {

namespace {

constexpr uint32_t kMaximumCpuidEntries = 256;

// In the order of Gpr and SegmentIndex.
constexpr __u64 kvm_regs::* kGpr[] = {&kvm_regs::rax, &kvm_regs::rcx, &kvm_regs::rdx, &kvm_regs::rbx,
                                      &kvm_regs::rsp, &kvm_regs::rbp, &kvm_regs::rsi, &kvm_regs::rdi,
                                      &kvm_regs::r8,  &kvm_regs::r9,  &kvm_regs::r10, &kvm_regs::r11,
                                      &kvm_regs::r12, &kvm_regs::r13, &kvm_regs::r14, &kvm_regs::r15};
constexpr kvm_segment kvm_sregs::* kSegments[] = {&kvm_sregs::es, &kvm_sregs::cs, &kvm_sregs::ss,
                                                  &kvm_sregs::ds, &kvm_sregs::fs, &kvm_sregs::gs};

kvm_segment to_kvm(const SegmentRegister& segment) {
  kvm_segment out{};
  out.base = segment.base;
  out.limit = segment.limit;
  out.selector = segment.selector;
  out.type = segment.access & 0xf;
  out.s = segment.access >> 4 & 1;
  out.dpl = segment.access >> 5 & 3;
  out.present = segment.access >> 7 & 1;
  out.avl = segment.access >> 12 & 1;
  out.l = segment.access >> 13 & 1;
  out.db = segment.access >> 14 & 1;
  out.g = segment.access >> 15 & 1;
  out.unusable = !out.present;
  return out;
}

SegmentRegister from_kvm(const kvm_segment& segment) {
  SegmentRegister out;
  out.base = segment.base;
  out.limit = segment.limit;
  out.selector = segment.selector;
  out.access =
      static_cast<uint16_t>(segment.type | segment.s << 4 | segment.dpl << 5 | segment.present << 7 |
                            segment.avl << 12 | segment.l << 13 | segment.db << 14 | segment.g << 15);
  return out;
}

}  // namespace

int kick_signal() {
  static const int signal = [] {
    struct sigaction action{};
    action.sa_handler = [](int) {};
    sigaction(SIGRTMIN + 1, &action, nullptr);
    return SIGRTMIN + 1;
  }();
  return signal;
}

Result<std::unique_ptr<KvmVcpu>> KvmVcpu::create(int kvm, int vm, unsigned index, const VmOptions& options) {
  kick_signal();
  std::unique_ptr<KvmVcpu> vcpu(new KvmVcpu(index, options));
  auto fd = ALCOVE_KVM(vm, KVM_CREATE_VCPU, static_cast<unsigned long>(index));
  if (!fd) return std::unexpected(fd.error());
  vcpu->fd_ = UniqueFd(*fd);
  auto size = ALCOVE_KVM(kvm, KVM_GET_VCPU_MMAP_SIZE, 0ul);
  if (!size) return std::unexpected(size.error());
  vcpu->run_size_ = static_cast<size_t>(*size);
  void* run = mmap(nullptr, vcpu->run_size_, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd_.get(), 0);
  if (run == MAP_FAILED)
    return fail(ErrorCode::internal, "hypervisor.kvm", "the virtual CPU's page cannot be mapped");
  vcpu->run_ = static_cast<kvm_run*>(run);
  if (auto done = vcpu->set_cpuid(kvm, options); !done) return std::unexpected(done.error());
  if (auto done = vcpu->keep_power_on_state(); !done) return std::unexpected(done.error());
  return vcpu;
}

KvmVcpu::~KvmVcpu() {
  if (run_) munmap(run_, run_size_);
}

Result<CpuidTable> supported_cpuid(int kvm) {
  CpuidTable table(kMaximumCpuidEntries);
  table->nent = kMaximumCpuidEntries;
  if (auto done = ALCOVE_KVM(kvm, KVM_GET_SUPPORTED_CPUID, table.get()); !done)
    return std::unexpected(done.error());
  return table;
}

void KvmVcpu::note_pause() {
  (void)ioctl(fd_.get(), KVM_KVMCLOCK_CTRL, 0);  // Fails for guests that don't use that clock.
}

uint64_t KvmVcpu::tsc_khz() const {
  return static_cast<uint64_t>(std::max(ioctl(fd_.get(), KVM_GET_TSC_KHZ, 0), 0));
}

// What KVM can give, as far as the model has it, with this processor's place in the topology: one package,
// one thread a core.
Result<> KvmVcpu::set_cpuid(int kvm, const VmOptions& options) {
  const unsigned cpu_count = options.cpu_count;
  auto supported = supported_cpuid(kvm);
  if (!supported) return std::unexpected(supported.error());
  CpuidTable& table = *supported;
  constexpr uint32_t kHypervisor = 1u << 31, kTscDeadline = 1u << 24, kX2Apic = 1u << 21;
  const bool tsc_deadline = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
  for (uint32_t i = 0; i < table->nent; ++i) {
    kvm_cpuid_entry2& entry = table->entries[i];
    switch (entry.function) {
      case 1:
        entry.ebx = (entry.ebx & 0xff00) | index_ << 24 | cpu_count << 16;
        entry.ecx |= kHypervisor | kX2Apic | (tsc_deadline ? kTscDeadline : 0);
        entry.edx = cpu_count > 1 ? entry.edx | 1u << 28 : entry.edx & ~(1u << 28);
        break;
      case 0xb:
      case 0x1f:
        entry.edx = index_;
        entry.eax = entry.index == 0   ? 0
                    : entry.index == 1 ? static_cast<uint32_t>(std::bit_width(cpu_count - 1))
                                       : 0;
        entry.ebx = entry.index == 0 ? 1 : entry.index == 1 ? cpu_count : 0;
        entry.ecx = entry.index | (entry.index < 2 ? (entry.index + 1) << 8 : 0);
        break;
      default:
        break;
    }
  }
  const std::span entries(table->entries, table->nent);
  const auto found = [&](uint32_t leaf, uint32_t subleaf) -> CpuidWords {
    for (const kvm_cpuid_entry2& entry : entries)
      if (entry.function == leaf && entry.index == subleaf)
        return {entry.eax, entry.ebx, entry.ecx, entry.edx};
    return {};
  };
  if (auto done = check_cpu_model(options.cpu_model, found); !done) return done;
  const CpuidFilter filter(options.cpu_model, false);
  for (kvm_cpuid_entry2& entry : entries) {
    CpuidWords words{entry.eax, entry.ebx, entry.ecx, entry.edx};
    filter.apply(entry.function, entry.index, words);
    entry.eax = words.eax;
    entry.ebx = words.ebx;
    entry.ecx = words.ecx;
    entry.edx = words.edx;
  }
  if (auto done = ALCOVE_KVM(fd_.get(), KVM_SET_CPUID2, table.get()); !done)
    return std::unexpected(done.error());
  return {};
}

Result<> KvmVcpu::keep_power_on_state() {
  for (auto done : {ALCOVE_KVM(fd_.get(), KVM_GET_REGS, &power_on_regs_),
                    ALCOVE_KVM(fd_.get(), KVM_GET_SREGS, &power_on_sregs_),
                    ALCOVE_KVM(fd_.get(), KVM_GET_FPU, &power_on_fpu_),
                    ALCOVE_KVM(fd_.get(), KVM_GET_LAPIC, &power_on_lapic_),
                    ALCOVE_KVM(fd_.get(), KVM_GET_MP_STATE, &power_on_mp_),
                    ALCOVE_KVM(fd_.get(), KVM_GET_VCPU_EVENTS, &power_on_events_)}) {
    if (!done) return std::unexpected(done.error());
  }
  return {};
}

void KvmVcpu::reset() {
  WithEntries<kvm_msrs, kvm_msr_entry> msrs(4);
  constexpr uint32_t kTscDeadlineMsr = 0x6e0, kKvmWallClock = 0x4b564d00, kKvmSystemTime = 0x4b564d01,
                     kKvmEoi = 0x4b564d04;
  for (uint32_t msr : {kTscDeadlineMsr, kKvmWallClock, kKvmSystemTime, kKvmEoi})
    msrs->entries[msrs->nmsrs++].index = msr;
  // Each of these was read from this same descriptor; a KVM that refuses one leaves the rest as good as it
  // gets.
  ioctl(fd_.get(), KVM_SET_MSRS, msrs.get());
  ioctl(fd_.get(), KVM_SET_SREGS, &power_on_sregs_);
  ioctl(fd_.get(), KVM_SET_REGS, &power_on_regs_);
  ioctl(fd_.get(), KVM_SET_FPU, &power_on_fpu_);
  ioctl(fd_.get(), KVM_SET_LAPIC, &power_on_lapic_);
  ioctl(fd_.get(), KVM_SET_VCPU_EVENTS, &power_on_events_);
  ioctl(fd_.get(), KVM_SET_MP_STATE, &power_on_mp_);
}

X86State KvmVcpu::state() const {
  kvm_regs regs{};
  kvm_sregs sregs{};
  X86State state;
  if (ioctl(fd_.get(), KVM_GET_REGS, &regs) != 0 || ioctl(fd_.get(), KVM_GET_SREGS, &sregs) != 0)
    return state;
  for (size_t i = 0; i < state.gpr.size(); ++i) state.gpr[i] = regs.*kGpr[i];
  state.rip = regs.rip;
  state.rflags = regs.rflags;
  for (size_t i = 0; i < state.segments.size(); ++i) state.segments[i] = from_kvm(sregs.*kSegments[i]);
  state.tr = from_kvm(sregs.tr);
  state.ldtr = from_kvm(sregs.ldt);
  copy_descriptor_table(state.gdtr, sregs.gdt);
  copy_descriptor_table(state.idtr, sregs.idt);
  copy_control_registers(state, sregs);
  state.cr8 = sregs.cr8;
  state.apic_base = sregs.apic_base;
  return state;
}

Result<> KvmVcpu::set_state(const X86State& state) {
  kvm_regs regs{};
  for (size_t i = 0; i < state.gpr.size(); ++i) regs.*kGpr[i] = state.gpr[i];
  regs.rip = state.rip;
  regs.rflags = state.rflags;

  kvm_sregs sregs = power_on_sregs_;  // Keeps what X86State does not hold.
  for (size_t i = 0; i < state.segments.size(); ++i) sregs.*kSegments[i] = to_kvm(state.segments[i]);
  sregs.tr = to_kvm(state.tr);
  sregs.ldt = to_kvm(state.ldtr);
  copy_descriptor_table(sregs.gdt, state.gdtr);
  copy_descriptor_table(sregs.idt, state.idtr);
  copy_control_registers(sregs, state);
  sregs.cr8 = state.cr8;
  sregs.apic_base = state.apic_base;
  if (auto done = ALCOVE_KVM(fd_.get(), KVM_SET_SREGS, &sregs); !done) return std::unexpected(done.error());
  if (auto done = ALCOVE_KVM(fd_.get(), KVM_SET_REGS, &regs); !done) return std::unexpected(done.error());
  return {};
}

void KvmVcpu::kick() {
  kicked_ = true;
  __atomic_store_n(&run_->immediate_exit, 1, __ATOMIC_SEQ_CST);
  if (const pthread_t thread = thread_) pthread_kill(thread, kick_signal());
}

Exit KvmVcpu::fail_with(std::string what, std::string hint) {
  error_ = {ErrorCode::internal, fmt::format("processors[{}]", index_), std::move(what), std::move(hint)};
  return Exit::error;
}

// The host has no page where the guest uses one, behind the end of a file in a window, or no room for what it
// writes. KVM does not tell where; and another may have seen to it meanwhile.
bool KvmVcpu::mend_windows(unsigned failures) {
  constexpr unsigned kMost = 8;
  if (memory_.windows().empty() || failures > kMost) return false;
  for (const auto& window : memory_.windows()) window->fill_holes(failures > 1);
  return true;
}

// An access that KVM left to us is completed by the next KVM_RUN, so a kick must not end run() before that:
// it sets immediate_exit, with which KVM_RUN completes the access and returns EINTR.
Exit KvmVcpu::run() {
  struct ThreadMark {
    explicit ThreadMark(std::atomic<pthread_t>& thread) : thread_(thread) { thread_ = pthread_self(); }
    ~ThreadMark() { thread_ = 0; }
    std::atomic<pthread_t>& thread_;
  } mark(thread_);

  unsigned failures = 0;
  while (true) {
    if (ioctl(fd_.get(), KVM_RUN, 0) != 0) {
      if (errno == EFAULT && mend_windows(++failures)) continue;
      if (errno != EINTR && errno != EAGAIN)
        return fail_with(fmt::format("KVM_RUN failed: {}", strerror(errno)));
      __atomic_store_n(&run_->immediate_exit, 0, __ATOMIC_SEQ_CST);
      if (kicked_.exchange(false)) return Exit::kicked;
      continue;
    }
    failures = 0;
    switch (run_->exit_reason) {
      case KVM_EXIT_IO:
        port_access();
        break;
      case KVM_EXIT_MMIO:
        memory_access();
        break;
      case KVM_EXIT_IOAPIC_EOI:
        io_.end_of_interrupt(run_->eoi.vector);
        break;
      case KVM_EXIT_INTR:
      case KVM_EXIT_HLT:
        break;
      case KVM_EXIT_SHUTDOWN:
        return Exit::shutdown;
      case KVM_EXIT_FAIL_ENTRY:
        return fail_with(fmt::format("the host's processor refused the guest's state (reason {:#x})",
                                     run_->fail_entry.hardware_entry_failure_reason));
      case KVM_EXIT_INTERNAL_ERROR: {
        std::string what = fmt::format("KVM gave up (suberror {})", run_->internal.suberror);
        if (run_->internal.suberror == KVM_INTERNAL_ERROR_EMULATION) {
          what = fmt::format("KVM cannot execute the instruction at {:#x}", state().rip);
          const auto& failure = run_->emulation_failure;
          if (failure.ndata >= 3 && failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
            what += ":";
            for (int i = 0; i < failure.insn_size; ++i) what += fmt::format(" {:02x}", failure.insn_bytes[i]);
          }
        }
        return fail_with(std::move(what), "choose the software engine: --hypervisor soft");
      }
      default:
        return fail_with(fmt::format("KVM returned for an unknown reason ({})", run_->exit_reason));
    }
  }
}

void KvmVcpu::port_access() {
  const auto& io = run_->io;
  std::byte* data = reinterpret_cast<std::byte*>(run_) + io.data_offset;
  for (uint32_t i = 0; i < io.count; ++i, data += io.size) {
    if (io.direction == KVM_EXIT_IO_IN) {
      io_.port_read(io.port, {data, io.size});
    } else {
      io_.port_write(io.port, {data, io.size});
    }
  }
}

void KvmVcpu::memory_access() {
  auto& mmio = run_->mmio;
  const std::span data(reinterpret_cast<std::byte*>(mmio.data), mmio.len);
  if (mmio.is_write) {
    io_.memory_write(mmio.phys_addr, data);
  } else {
    io_.memory_read(mmio.phys_addr, data);
  }
}

}  // namespace alcove::cpu::kvm
