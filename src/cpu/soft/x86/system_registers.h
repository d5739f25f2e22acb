// Model-specific registers that no fast path looks at (Intel SDM vol. 4).
#pragma once

#include <array>
#include <cstdint>

namespace alcove::cpu::soft {

inline constexpr unsigned kVariableMtrrs = 8;
inline constexpr unsigned kMachineCheckBanks = 4;

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
  uint32_t kvm_clock_version = 0;
};

}  // namespace alcove::cpu::soft
