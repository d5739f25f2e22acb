// Model-specific registers that no fast path looks at (Intel SDM vol. 4).
#pragma once

#include <array>
#include <cstdint>

namespace alcove::cpu::soft {

inline constexpr unsigned kVariableMtrrs = 8;
inline constexpr unsigned kMachineCheckBanks = 4;

// How the time that a processor is denied is found (x86/system/paravirtual.h); ns.
struct StealClock {
  uint64_t running_since = 0;  // Not waiting since then, but for `ran`, which is not accounted for yet.
  uint64_t ran = 0;
  uint64_t thread_time = 0;  // Of the host's thread, when it was last looked at.
  uint64_t told = 0;         // When.
  uint64_t stolen = 0;
};

struct SystemRegisters {
  std::array<uint64_t, kVariableMtrrs> mtrr_base{}, mtrr_mask{};
  std::array<uint64_t, 11> mtrr_fixed{};  // In the order of their numbers: 250, 258, 259, 268…26f.
  uint64_t mtrr_default_type = 0;

  uint64_t machine_check_status = 0;   // MCG_STATUS
  uint64_t machine_check_control = 0;  // MCG_CTL
  struct MachineCheckBank {
    uint64_t control = 0, status = 0, address = 0, misc = 0;
  };
  std::array<MachineCheckBank, kMachineCheckBanks> machine_check_banks{};

  uint64_t misc_enable = 1;  // Fast strings.
  uint64_t misc_features = 0;
  uint64_t microcode_revision = 0;
  uint64_t spec_control = 0;
  uint64_t tsc_adjust = 0;
  uint64_t debug_control = 0;

  uint64_t kvm_wall_clock = 0;  // As the guest wrote them.
  uint64_t kvm_system_time = 0;
  uint64_t kvm_steal_time = 0;
  uint64_t kvm_end_of_interrupt = 0;
  uint64_t kvm_poll_control = 1;
  bool kvm_end_offered = false;  // The guest may end its interrupt without the APIC.
  bool kvm_kicked = false;       // The next HLT does not wait.
  StealClock steal;
};

}  // namespace alcove::cpu::soft
