#pragma once

#include <pthread.h>

#include <atomic>
#include <vector>

#include "cpu/hypervisor.h"
#include "cpu/kvm/kvm_api.h"
#include "support/unique_fd.h"

namespace alcove::cpu::kvm {

// What KVM supports of CPUID.
using CpuidTable = WithEntries<kvm_cpuid2, kvm_cpuid_entry2>;
Result<CpuidTable> supported_cpuid(int kvm);

class KvmVcpu final : public Vcpu {
 public:
  static Result<std::unique_ptr<KvmVcpu>> create(int kvm, int vm, unsigned index, const VmOptions& options);
  ~KvmVcpu() override;

  Exit run() override;
  void kick() override;
  X86State state() const override;
  Result<> set_state(const X86State& state) override;
  void reset() override;
  void note_pause() override;
  Error error() const override { return error_; }
  uint64_t tsc_khz() const;

 private:
  KvmVcpu(unsigned index, const VmOptions& options)
      : index_(index), io_(*options.io), memory_(*options.memory) {}
  Result<> set_cpuid(int kvm, const VmOptions& options);
  Result<> keep_power_on_state();
  void port_access();
  void memory_access();
  bool mend_windows(unsigned failures);
  Exit fail_with(std::string what, std::string hint = {});

  const unsigned index_;
  IoHandler& io_;
  memory::GuestMemory& memory_;
  UniqueFd fd_;
  kvm_run* run_ = nullptr;
  size_t run_size_ = 0;

  // As KVM made the processor; reset() puts it back.
  kvm_regs power_on_regs_{};
  kvm_sregs power_on_sregs_{};
  kvm_fpu power_on_fpu_{};
  kvm_lapic_state power_on_lapic_{};
  kvm_mp_state power_on_mp_{};
  kvm_vcpu_events power_on_events_{};

  std::atomic<bool> kicked_ = false;
  std::atomic<pthread_t> thread_ = 0;  // That is in run(), or 0.
  Error error_;
};

// The signal that makes KVM_RUN return; its handler does nothing.
int kick_signal();

}  // namespace alcove::cpu::kvm
