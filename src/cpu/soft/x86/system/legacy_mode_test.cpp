// Real, protected and virtual-8086 mode, the ways between them and into long mode, and task gates.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cpu/soft/testing/guest_machine.h"
#include "cpu/soft/testing/guest_macros.h"

namespace alcove::cpu::soft::testing {
namespace {

using ::testing::ElementsAre;

ALCOVE_GUEST(through_modes, R"(
  .code16
  mov $0x1234, %ax
  mov %ax, %ds
  mov %ds, %bx
  movzwl %bx, %eax
  out %eax, $0xe9
  int $0x21                       # IVT
  xor %ax, %ax
  mov %ax, %ds
  cli
  lgdtl %cs:(gdt_pointer - through_modes)
  mov %cr0, %eax
  or $1, %al
  mov %eax, %cr0
  ljmpl $0x18, $(in_protected - through_modes + 0x10000)
gdt_pointer:
  .word 0x7f
  .long 0x1000
  .code32
in_protected:
  mov $0x10, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  mov $0x80000, %esp
  say $32
  mov %cr4, %eax
  or $0x20, %eax                  # PAE
  mov %eax, %cr4
  mov $0x8000, %eax
  mov %eax, %cr3
  mov $0xc0000080, %ecx
  rdmsr
  or $0x100, %eax                 # LME
  wrmsr
  mov %cr0, %eax
  or $0x80000000, %eax
  mov %eax, %cr0
  ljmp $0x08, $(in_long - through_modes + 0x10000)
  .code64
in_long:
  mov $0xc0000080, %ecx
  rdmsr
  out %eax, $0xe9                 # LMA
  pushq $0x18
  pushq $(in_compatibility - through_modes + 0x10000)
  lretq
  .code32
in_compatibility:
  mov %cr0, %eax
  and $0x7fffffff, %eax
  mov %eax, %cr0
  mov $0xc0000080, %ecx
  rdmsr
  out %eax, $0xe9
  ljmp $0x48, $(in_16 - through_modes)
  .code16
in_16:
  mov $0x50, %ax
  mov %ax, %ss
  mov %ax, %ds
  mov %cr0, %eax
  and $0xfe, %al
  mov %eax, %cr0
  ljmp $0x1000, $(in_real - through_modes)
in_real:
  xor %ax, %ax
  mov %ax, %ss
  mov $0x8000, %sp
  mov %cs, %ax
  movzwl %ax, %eax
  out %eax, $0xe9
  done
  .org through_modes + 0x100
  pushf
  pop %ax
  movzwl %ax, %eax
  out %eax, $0xe9
  iret
)");

TEST(LegacyMode, RealProtectedLongAndBack) {
  GuestMachine machine;
  machine.start_real(through_modes());
  machine.set_descriptor(GuestMachine::kCode16, 0x00009b010000ffff);  // Base 0x10000.
  machine.store<uint32_t>(4 * 0x21, 0x10000100);
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0x1234, 2, 32, 0x500, 0x100, 0x1000));
}

ALCOVE_GUEST(rings, R"(
  .code32
  push $0x2b
  push $0x90000
  push $0x3202
  push $0x23
  push $(ring3 - rings + 0x10000)
  iret
ring3:
  mov $0x2b, %eax
  mov %eax, %ds
  mov %eax, %es
  push $0x1111
  push $0x2222
  lcall $0x5b, $0
  mov %cs, %eax
  out %eax, $0xe9
  mov %esp, %eax
  out %eax, $0xe9
  mov $0x10, %eax
  mov %eax, %ds                   # #GP(0x10): of ring 0
  .org rings + 0x100              # The gate's target, with two parameters
  mov %cs, %eax
  out %eax, $0xe9
  mov 8(%esp), %eax
  out %eax, $0xe9
  mov 12(%esp), %eax
  out %eax, $0xe9
  mov %esp, %eax
  out %eax, $0xe9
  mov $0x10, %eax
  mov %eax, %es
  lret $8
  .org rings + 0x200
  pop %eax
  out %eax, $0xe9
  mov %es, %eax                   # Null since the return
  out %eax, $0xe9
  mov 8(%esp), %eax
  shr $12, %eax                   # IOPL, and RF for a fault
  out %eax, $0xe9
  done
)");

TEST(LegacyMode, CallGateCopiesParametersAndReturnsToRing3) {
  GuestMachine machine;
  machine.start_protected(rings(), {{13, 0x200}});
  machine.set_descriptor(GuestMachine::kGate, 0x0001'ec02'0018'0100);
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0x18, 0x2222, 0x1111, GuestMachine::kStack - 24, 0x23,
                                                GuestMachine::kUserStack, 0x10, 0, 0x13));
}

ALCOVE_GUEST(task_gate, R"(
  .code32
  mov $0xdead0000, %ecx
  mov $0x30, %esp                 # Too low for any frame: limits make it a stack fault
  mov $0x68, %eax
  lldt %bx
  int $0x40                       # No gate: #GP, whose gate is missing too: #DF by task
  .org task_gate + 0x100
  pop %eax
  out %eax, $0xe9
  str %ax
  movzwl %ax, %eax
  out %eax, $0xe9
  pushf
  pop %eax
  and $0x4000, %eax               # NT
  out %eax, $0xe9
  mov 0x7044, %eax                # EDI of the old task
  mov 0x702c, %eax                # ECX of the old task
  out %eax, $0xe9
  mov 0x7100, %eax                # Link
  out %eax, $0xe9
  mov %cr0, %eax
  and $8, %eax                    # TS
  out %eax, $0xe9
  movl $(resumed - task_gate + 0x10000), 0x7020
  iret
resumed:
  mov %ecx, %eax
  out %eax, $0xe9
  str %ax
  movzwl %ax, %eax
  out %eax, $0xe9
  done
)");

TEST(LegacyMode, DoubleFaultThroughATaskGate) {
  GuestMachine machine;
  machine.start_protected(task_gate());
  machine.set_gate32(8, 0, GuestMachine::kTssB, 0x85);
  const uint64_t tss = GuestMachine::kTss32 + 0x100;
  machine.store<uint32_t>(tss + 0x20, GuestMachine::kCode + 0x100);
  machine.store<uint32_t>(tss + 0x24, 2);
  machine.store<uint32_t>(tss + 0x38, GuestMachine::kIstStack);
  for (unsigned i = 0; i < 6; ++i)
    machine.store<uint32_t>(tss + 0x48 + 4 * i, i == cs ? GuestMachine::kCode32 : GuestMachine::kData);
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0, GuestMachine::kTssB, 0x4000, 0xdead0000,
                                                GuestMachine::kTssA, 8, 0xdead0000, GuestMachine::kTssA));
}

ALCOVE_GUEST(virtual_8086, R"(
  .code32
  push $0                         # GS
  push $0
  push $0x1234                    # DS
  push $0
  push $0x2000                    # SS
  push $0x1000                    # ESP
  push $0x23202                   # VM, IOPL 3
  push $0x1000                    # CS
  push $(in_8086 - virtual_8086)
  iret
  .code16
in_8086:
  mov %ds, %ax
  movzwl %ax, %eax
  out %eax, $0xe9                 # The bitmap decides, not IOPL: #GP
  int $0x40
  .org virtual_8086 + 0x100
  .code32
  pop %eax                        # #GP: error code, DS now null
  mov %ds, %eax
  push $0x10
  pop %ds
  out %eax, $0xe9
  mov (%esp), %eax
  sub $(in_8086 - virtual_8086), %eax
  out %eax, $0xe9
  mov 24(%esp), %eax              # DS in the frame
  out %eax, $0xe9
  addl $2, (%esp)                 # out has two bytes and a prefix
  addl $1, (%esp)
  iret
  .org virtual_8086 + 0x200
  mov 8(%esp), %eax
  and $0x20000, %eax              # VM in the frame
  out %eax, $0xe9
  done
)");

TEST(LegacyMode, Virtual8086) {
  GuestMachine machine;
  machine.start_protected(virtual_8086(), {{13, 0x100}, {0x40, 0x200, 0xee}});
  machine.store<uint16_t>(GuestMachine::kTss32 + 0x66, 0x68);  // No I/O bitmap.
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0, 6, 0x1234, 0x20000));
}

ALCOVE_GUEST(real_segments_in_protected_mode, R"(
  .code16
  mov $0x1234, %ax
  mov %ax, (0x500)
  mov %cr0, %eax
  or $1, %al
  mov %eax, %cr0
  movzwl (0x500), %eax            # DS is as real mode left it, though its selector is null.
  out %eax, $0xe9
  done
)");

TEST(LegacyMode, RealSegmentsServeInProtectedMode) {
  GuestMachine machine;
  machine.start_real(real_segments_in_protected_mode());
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0x1234));
}

}  // namespace
}  // namespace alcove::cpu::soft::testing
