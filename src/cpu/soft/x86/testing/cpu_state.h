// What an instruction may change, in a form that the host's processor and ours share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#include "cpu/x86_state.h"

namespace alcove::cpu::soft::testing {

// In the layout of FXSAVE (Intel SDM vol. 1, 10.5.1).
struct alignas(16) FxArea {
  std::array<std::byte, 512> bytes{};

  template <class T>
  T get(size_t offset) const {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
  }
  template <class T>
  void set(size_t offset, T value) {
    std::memcpy(bytes.data() + offset, &value, sizeof value);
  }

  static constexpr size_t kControl = 0, kStatus = 2, kTag = 4, kMxcsr = 24, kMxcsrMask = 28, kSt = 32,
                          kXmm = 160;
  static constexpr size_t st(unsigned number) { return kSt + 16 * number; }
  static constexpr size_t xmm(unsigned number) { return kXmm + 16 * number; }
};

struct CpuState {
  std::array<uint64_t, 16> gpr{};
  uint64_t rip = 0;  // Relative to CS.
  uint32_t flags = 2;
  uint8_t code_size = 8;  // As Cpu::code_size: 8, or 4 or 2 for compatibility mode.
  FxArea fx;
  std::array<std::array<uint64_t, 2>, 16> upper{};  // The upper halves of the YMM registers.
};

struct FaultKind {
  uint8_t vector = 0;
  uint32_t error_code =
      0;                 // Of page faults: whether it was a write. The host's page tables are its own affair.
  uint64_t address = 0;  // Of page faults.
  bool operator==(const FaultKind&) const = default;
};

struct Result {
  CpuState state;
  std::optional<FaultKind> fault;
};

}  // namespace alcove::cpu::soft::testing
