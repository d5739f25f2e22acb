// One virtual CPU of the software engine: its registers, and what handlers may do with it.
#pragma once

#include <array>
#include <atomic>
#include <csetjmp>
#include <cstddef>
#include <cstdint>

#include "cpu/soft/mmu/tlb.h"
#include "cpu/soft/translator/translated_state.h"
#include "cpu/soft/x86/flags.h"
#include "cpu/soft/x86/insn.h"
#include "cpu/soft/x86/system_registers.h"
#include "cpu/x86_state.h"

namespace alcove::cpu::soft {

class Apic;
class Engine;

enum Vector : uint8_t {
  kDivide = 0,
  kDebug = 1,
  kNmi = 2,
  kBreakpoint = 3,
  kOverflow = 4,
  kBound = 5,
  kInvalidOpcode = 6,
  kDeviceNotAvailable = 7,
  kDoubleFault = 8,
  kInvalidTss = 10,
  kSegmentNotPresent = 11,
  kStackFault = 12,
  kGeneralProtection = 13,
  kPageFault = 14,
  kX87Error = 16,
  kAlignmentCheck = 17,
  kMachineCheck = 18,
  kSimdError = 19,
};

// A segment register with its hidden part, as descriptor bits (x86_state.h).
struct Segment : SegmentRegister {
  bool present() const { return access & 0x80; }
  unsigned dpl() const { return access >> 5 & 3; }
  bool is_code() const { return (access & 0x18) == 0x18; }
  bool writable() const { return (access & 0x1a) == 0x12; }
  bool expands_down() const { return (access & 0x1c) == 0x14; }
  bool long_mode() const { return access & 0x2000; }
  bool big() const { return access & 0x4000; }  // D/B
};

// x87, MMX, SSE and AVX state. MMX registers are the significands of the physical x87 registers.
struct alignas(32) FpuState {
  struct alignas(32) Vector256 {
    std::array<uint64_t, 4> words;
  };
  // The low halves are the XMM registers. The upper ones count only if `upper_in_use`, else they are zero
  // (sse/upper_halves.h).
  std::array<Vector256, 16> ymm{};
  struct alignas(16) Register {
    uint64_t significand;
    uint16_t exponent;  // With the sign in bit 15.
  };
  std::array<Register, 8> physical{};  // R0-R7, not relative to the top of the stack.
  uint16_t control = 0x37f;
  uint16_t status = 0;    // TOP in bits 11-13, kept there.
  uint16_t tag = 0xffff;  // Two bits a physical register; 3 = empty.
  uint16_t last_opcode = 0;
  uint64_t last_instruction = 0;
  uint64_t last_data = 0;
  uint16_t last_instruction_selector = 0;
  uint16_t last_data_selector = 0;
  // Without the sticky flags that are still in the host's register: see sse/mxcsr.h.
  uint32_t mxcsr = 0x1f80;
  bool upper_in_use = false;
  bool mxcsr_resident = false;  // The host's MXCSR holds the guest's rounding, DAZ, FTZ and sticky flags.
};

// An exception on its way: what raise() leaves for deliver_fault() (exceptions.h).
struct Fault {
  uint8_t vector = 0;
  bool has_error_code = false;
  uint32_t error_code = 0;
  uint64_t address = 0;     // For CR2 if it is a page fault.
  uint64_t debug_bits = 0;  // For DR6 if it is a debug exception.
  bool is_trap = false;     // rip is behind the instruction that caused it: RF is not set.
};

// Bits of XCR0, and of the state components of XSAVE.
inline constexpr uint64_t kXcr0X87 = 1, kXcr0Sse = 2, kXcr0Upper = 4;
inline constexpr uint64_t kXcr0Avx = kXcr0Sse | kXcr0Upper;

// What event is being delivered, so that a fault on the way is combined with it (Intel SDM vol. 3, table
// 6-5).
enum class InDelivery : uint8_t {
  nothing,
  software,
  external,
  benign,
  contributory,
  page_fault,
  double_fault
};

// Bits of Cpu::attention. The local APIC sets the first four; deliver_events() (exceptions.h) serves them.
enum Attention : uint32_t {
  kInterruptAttention = 1u << 0,  // The APIC may have an interrupt that can be taken.
  kNmiAttention = 1u << 1,
  kInitAttention = 1u << 2,
  kStartupAttention = 1u << 3,  // SIPI
  kEndWaitAttention = 1u << 8,  // Another processor ends this one's HLT, or the next.
  kEngineAttention = ~0x10fu,   // The others belong to the engine.
};

// Code executes with this as its first parameter everywhere; members that the fast paths use come first.
struct Cpu {
  // gpr[0..15] as Gpr; [kNoRegister] is always zero; [kRipRegister] the block's first instruction's RIP.
  std::array<uint64_t, 18> gpr{};
  const Insn* insn = nullptr;  // Being executed.
  uint64_t rip = 0;            // Of the next instruction, valid between blocks and set by those that end one.
  Flags flags;

  // Data accesses of the present privilege level go through tlb (see mmu/tlb.h).
  Tlb* tlb = nullptr;
  std::array<uint64_t, 2> tlb_generation{};  // Of the lower and the upper half of the address space.
  std::array<uint64_t, 6> segment_base{};    // What memory operands add: 0 for ES, CS, SS, DS in 64-bit mode.
  bool flat = true;                          // No segment limit or type needs checking: 64-bit mode.
  uint8_t cpl = 0;
  uint8_t code_size = 2;   // Bytes: 2, 4 or 8 (64-bit mode).
  uint8_t stack_size = 2;  // Bytes of the stack pointer that count: 2, 4 or 8.

  std::array<Segment, 6> segments{};  // Indexed by SegmentIndex.
  Segment ldtr, tr;
  DescriptorTable gdtr, idtr;
  uint64_t cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0;
  uint64_t efer = 0;
  std::array<uint64_t, 8> dr{};
  // Model-specific registers (Intel SDM vol. 4).
  uint64_t star = 0, lstar = 0, cstar = 0, sfmask = 0, kernel_gs_base = 0;
  uint64_t sysenter_cs = 0, sysenter_esp = 0, sysenter_eip = 0;
  uint64_t pat = 0x0007040600070406;
  uint64_t tsc_aux = 0;
  uint64_t tsc_offset = 0;  // Guest TSC = host TSC + offset.
  uint64_t xcr0 = 1;
  FpuState fpu;

  // Set while the interrupt shadow of STI or MOV SS covers the next instruction.
  bool interrupt_shadow = false;
  bool debug_shadow = false;      // That shadow is MOV SS's or POP SS's: debug exceptions wait, too.
  bool halted = false;            // In HLT: deliver_events() ends it.
  bool wait_for_startup = false;  // After INIT, until SIPI.
  bool nmi_blocked = false;       // Until the next IRET.
  uint8_t nmi_pending = 0;        // Arrived, not yet delivered.
  // Instructions must be run one at a time, between before_instruction() and after_instruction() (debug.h):
  // RFLAGS.TF or a breakpoint. Kept by update_debug_mode().
  bool single_step = false;
  uint32_t pending_debug = 0;  // DR6 bits of the traps to take after this instruction.
  InDelivery in_delivery = InDelivery::nothing;
  Fault fault;
  SystemRegisters system;

  // Something other than the next block wants attention: an interrupt, a kick, a TLB or code flush asked for
  // by another processor. Checked between blocks; set from any thread (release), cleared by the owner.
  std::atomic<uint32_t> attention{0};
  std::atomic<uint32_t> nmi_requests{0};  // NMIs sent since kNmiAttention was last served.
  TranslatedState translated;

  Engine* engine = nullptr;  // The processor's run loop and everything shared with others.
  Apic* apic = nullptr;
  unsigned index = 0;
  jmp_buf fault_exit;  // Where raise() goes.

  bool long_mode() const { return efer & 0x400; }  // EFER.LMA
  bool in_64bit() const { return code_size == 8; }
  bool protected_mode() const { return cr0 & 1; }
  bool virtual_8086() const { return flags.test(kVm); }
  bool real_mode() const { return !protected_mode(); }

  // RIP of the instruction being executed, and of the one behind it.
  uint64_t this_rip() const { return gpr[kRipRegister] + insn->offset; }
  uint64_t next_rip() const { return this_rip() + insn->length; }
};

// Ends the current instruction with an exception; the state must be as it was before the instruction.
// Destructors on the way are not run: callers hold none.
[[noreturn]] void raise(Cpu& cpu, Vector vector);
[[noreturn]] void raise(Cpu& cpu, Vector vector, uint32_t error_code);
[[noreturn]] void raise_page_fault(Cpu& cpu, uint64_t address, uint32_t error_code);

// A register of T's size. 32-bit writes clear the upper half, smaller ones keep the rest.
template <class T>
T read_gpr(const Cpu& cpu, unsigned number) {
  return static_cast<T>(cpu.gpr[number]);
}
template <class T>
void write_gpr(Cpu& cpu, unsigned number, T value) {
  if constexpr (sizeof(T) == 8 || sizeof(T) == 4) {
    cpu.gpr[number] = value;
  } else {
    constexpr uint64_t mask = sizeof(T) == 1 ? 0xff : 0xffff;
    cpu.gpr[number] = (cpu.gpr[number] & ~mask) | value;
  }
}

}  // namespace alcove::cpu::soft
