// Where translated code keeps the guest's registers: most in the host's registers, of which some have other
// numbers, the others in Cpu. The arithmetic flags are in the host's RFLAGS, XMM registers in XMM registers,
// GS is the FlatMap's base, RSP a stack of the host's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cpu/soft/mmu/flat_map.h"
#include "cpu/soft/translator/assembler.h"
#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {

// RBP has the address of a memory operand or of where to go, RCX the word for its page. Both are among the
// registers that instructions without REX prefix can use, as AH to BH can only be used by those.
inline constexpr HostRegister kAddress = kHostRbp, kWord = kHostRcx;

// By the guest's numbers. Those left out are the ones that compilers use least.
inline constexpr std::array<HostRegister, 16> kHostOf = {
    kHostRax, kHostR9,         kHostRdx,        kHostRbx,        kHostR11, kHostR10, kHostRsi, kHostRdi,
    kHostR8,  kNoHostRegister, kNoHostRegister, kNoHostRegister, kHostR12, kHostR13, kHostR14, kHostR15};

inline constexpr HostRegister kGuestRsp = kHostR11, kGuestRbp = kHostR10, kGuestRcx = kHostR9;

// Members of Cpu, as gs:[displacement].
#define ALCOVE_CPU_MEMBER(member) gs_memory(static_cast<int32_t>(offsetof(Cpu, member)))

inline HostMemory gpr_slot(unsigned number) {
  return gs_memory(static_cast<int32_t>(offsetof(Cpu, gpr) + 8 * number));
}
// Of RFLAGS, what is not arithmetic.
inline HostMemory system_flags() {
  return gs_memory(static_cast<int32_t>(offsetof(Cpu, flags) + Flags::system_offset()));
}
inline HostMemory translated_slot(size_t member) {
  return gs_memory(static_cast<int32_t>(offsetof(Cpu, translated) + member));
}
#define ALCOVE_TRANSLATED(member) translated_slot(offsetof(TranslatedState, member))

}  // namespace alcove::cpu::soft
