#include "cpu/kvm/kvm_hypervisor.h"

#include <algorithm>
#include <span>

#include "cpu/cpu_features.h"
#include "cpu/kvm/kvm_vcpu.h"
#include "cpu/kvm/kvm_vm.h"

namespace alcove::cpu::kvm {

namespace {

class KvmHypervisor final : public Hypervisor {
 public:
  KvmHypervisor(UniqueFd kvm, unsigned address_bits) : kvm_(std::move(kvm)), address_bits_(address_bits) {}

  std::string_view name() const override { return "kvm"; }
  unsigned maximum_cpu_count() const override {
    // APIC identifiers up to 254: all interrupts reach them without interrupt remapping.
    return static_cast<unsigned>(
        std::clamp(ioctl(kvm_.get(), KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS), 1, 254));
  }
  unsigned physical_address_bits() const override { return address_bits_; }
  Result<std::unique_ptr<Vm>> create_vm(const VmOptions& options) override {
    return KvmVm::create(kvm_.get(), options);
  }

 private:
  UniqueFd kvm_;
  unsigned address_bits_;
};

CpuidWords leaf_of(CpuidTable& table, uint32_t leaf) {
  for (const kvm_cpuid_entry2& entry : std::span(table->entries, table->nent))
    if (entry.function == leaf) return {entry.eax, entry.ebx, entry.ecx, entry.edx};
  return {};
}

}  // namespace

Result<std::unique_ptr<Hypervisor>> create_hypervisor(UniqueFd kvm) {
  constexpr int kVersion = 12;  // The only one since Linux 2.6.22.
  if (ioctl(kvm.get(), KVM_GET_API_VERSION, 0) != kVersion) {
    return fail(ErrorCode::not_supported, "hypervisor.kvm", "/dev/kvm does not answer as KVM does",
                "choose the software engine: --hypervisor soft");
  }
  struct Need {
    int capability;
    const char* name;
  };
  for (const Need& need :
       {Need{KVM_CAP_SPLIT_IRQCHIP, "a split interrupt controller"},
        Need{KVM_CAP_SIGNAL_MSI, "message interrupts"}, Need{KVM_CAP_IRQFD, "interrupts by eventfd"},
        Need{KVM_CAP_IOEVENTFD, "doorbells by eventfd"}, Need{KVM_CAP_IMMEDIATE_EXIT, "immediate exits"},
        Need{KVM_CAP_READONLY_MEM, "read-only memory"}}) {
    if (ioctl(kvm.get(), KVM_CHECK_EXTENSION, need.capability) <= 0) {
      return fail(ErrorCode::not_supported, "hypervisor.kvm",
                  fmt::format("the host's KVM has no {}", need.name),
                  "use Linux 4.11 or newer, or the software engine: --hypervisor soft");
    }
  }
  auto cpuid = supported_cpuid(kvm.get());
  if (!cpuid) return std::unexpected(cpuid.error());
  const unsigned address_bits = physical_address_bits(leaf_of(*cpuid, 0x80000008));
  return std::make_unique<KvmHypervisor>(std::move(kvm), address_bits);
}

}  // namespace alcove::cpu::kvm
