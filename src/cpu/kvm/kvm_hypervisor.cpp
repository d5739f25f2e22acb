#include "cpu/kvm/kvm_hypervisor.h"

#include <algorithm>

#include "cpu/kvm/kvm_vm.h"

namespace alcove::cpu::kvm {

namespace {

class KvmHypervisor final : public Hypervisor {
 public:
  explicit KvmHypervisor(UniqueFd kvm) : kvm_(std::move(kvm)) {}

  std::string_view name() const override { return "kvm"; }
  unsigned maximum_cpu_count() const override {
    // APIC identifiers up to 254: all interrupts reach them without interrupt remapping.
    return static_cast<unsigned>(
        std::clamp(ioctl(kvm_.get(), KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS), 1, 254));
  }
  Result<std::unique_ptr<Vm>> create_vm(const VmOptions& options) override {
    return KvmVm::create(kvm_.get(), options);
  }

 private:
  UniqueFd kvm_;
};

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
  return std::make_unique<KvmHypervisor>(std::move(kvm));
}

}  // namespace alcove::cpu::kvm
