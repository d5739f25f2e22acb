#include <array>
#include <chrono>

#include "cpu/kvm/kvm_hypervisor.h"
#include "cpu/kvm/kvm_vm.h"
#include "cpu/kvm/long_mode.h"

namespace alcove::cpu::kvm {

namespace {

class NoDevices final : public IoHandler {
 public:
  void port_read(uint16_t, std::span<std::byte>) override {}
  void port_write(uint16_t, std::span<const std::byte>) override { vcpu->kick(); }
  void memory_read(uint64_t, std::span<std::byte>) override {}
  void memory_write(uint64_t, std::span<const std::byte>) override {}
  void end_of_interrupt(uint8_t) override {}
  Vcpu* vcpu = nullptr;
};

constexpr unsigned kIterations = 20'000;

// mov ecx, kIterations; 1: dec ecx; jnz 1b; lock cmpxchg16b [rsp]; out 0x80, al; hlt
constexpr std::array<uint8_t, 18> kLoop = {0xb9,
                                           kIterations & 0xff,
                                           kIterations >> 8,
                                           0,
                                           0,
                                           0xff,
                                           0xc9,
                                           0x75,
                                           0xfc,
                                           0xf0,
                                           0x48,
                                           0x0f,
                                           0xc7,
                                           0x0c,
                                           0x24,
                                           0xe6,
                                           0x80,
                                           0xf4};

}  // namespace

Assessment assess(int kvm) {
  Assessment result;
  result.cure = "use the software engine (auto does), or a host with hardware virtualization";
  auto hypervisor = create_hypervisor(UniqueFd(dup(kvm)));
  if (!hypervisor) {
    result.finding = hypervisor.error().what;
    return result;
  }
  const memory::RegionSpec region{.guest_address = 0, .size = 1 << 20};
  auto memory = memory::GuestMemory::create({&region, 1});
  NoDevices devices;
  auto vm = memory ? (*hypervisor)->create_vm({.cpu_count = 1, .memory = &*memory, .io = &devices})
                   : std::unexpected(memory.error());
  if (!vm) {
    result.finding = vm.error().message();
    result.cure = "see the kernel's log for why KVM refuses machines; the software engine works without it";
    return result;
  }
  Vcpu& vcpu = (*vm)->vcpu(0);
  devices.vcpu = &vcpu;
  constexpr uint64_t kCode = 0x8000, kStack = 0x10000;
  if (!memory->write(kCode, std::as_bytes(std::span(kLoop))) || !write_identity_tables(*memory) ||
      !vcpu.set_state(long_mode_state(vcpu.state(), kCode, kStack))) {
    result.finding = "KVM refuses a 64-bit processor state";
    return result;
  }
  result.usable = true;

  // Once to have memory and page tables in place, once for the clock.
  Exit exit = vcpu.run();
  if (exit == Exit::kicked && !vcpu.set_state(long_mode_state(vcpu.state(), kCode, kStack)))
    exit = Exit::error;
  const auto start = std::chrono::steady_clock::now();
  if (exit == Exit::kicked) exit = vcpu.run();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  result.kernel_instructions_per_second = 2 * kIterations / took.count();
  // Hardware runs the loop at a billion instructions a second; entering and leaving the guest once leaves
  // this bound well above what any instruction emulator reaches.
  constexpr double kSlowest = 50e6;
  result.hardware_assisted = exit == Exit::kicked && result.kernel_instructions_per_second >= kSlowest;
  if (result.hardware_assisted) {
    result.finding = "KVM is hardware-assisted";
    result.cure.clear();
  } else if (exit != Exit::kicked) {
    result.finding =
        "KVM emulates guest kernels instruction by instruction and lacks instructions that stock kernels use";
  } else {
    result.finding =
        fmt::format("KVM emulates guest kernels instruction by instruction ({:.1f} million a second)",
                    result.kernel_instructions_per_second / 1e6);
  }
  return result;
}

}  // namespace alcove::cpu::kvm
