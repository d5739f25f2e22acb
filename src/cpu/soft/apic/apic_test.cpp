// Local APICs, their timers, and interrupts between processors, seen by small guests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "cpu/soft/testing/guest_machine.h"
#include "cpu/soft/testing/guest_macros.h"

namespace alcove::cpu::soft::testing {
namespace {

using ::testing::ElementsAre;

asm(R"(
  .macro x2apic_on
    mov $0x1b, %ecx
    rdmsr
    or $0xc00, %eax
    wrmsr
    mov $0x1ff, %eax
    xor %edx, %edx
    mov $0x80f, %ecx
    wrmsr
  .endm
  .macro wr number, value
    mov $\number, %ecx
    mov $\value, %eax
    xor %edx, %edx
    wrmsr
  .endm
  .macro eoi
    wr 0x80b, 0
  .endm
)");

ALCOVE_GUEST(timer, R"(
  .code64
  x2apic_on
  wr 0x83e, 0xb                   # divide by 1
  wr 0x832, 0x40                  # one-shot
  rdtsc
  mov %eax, %esi
  wr 0x838, 5000000               # 5 ms
  sti
  hlt
  cli
  rdtsc
  sub %esi, %eax
  mov %eax, %esi
  mov $0x839, %ecx
  rdmsr
  out %eax, $0xe9                 # It stands at 0.
  mov %esi, %eax
  out %eax, $0xe9
  wr 0x832, 0x20040               # periodic
  wr 0x838, 1000000
  sti
1: hlt
  cmpl $6, count - timer + 0x10000
  jb 1b
  cli
  wr 0x838, 0
  wr 0x832, 0x40041               # TSC deadline
  rdtsc
  shl $32, %rdx
  or %rdx, %rax
  add $10000000, %rax
  mov %rax, %rdx
  shr $32, %rdx
  mov $0x6e0, %ecx
  wrmsr
  sti
  hlt
  mov $0x6e0, %ecx
  rdmsr
  out %eax, $0xe9
  mov count - timer + 0x10000, %eax
  out %eax, $0xe9
  done
  .org timer + 0x180
  push %rax
  push %rcx
  push %rdx
  incl count - timer + 0x10000
  eoi
  pop %rdx
  pop %rcx
  pop %rax
  iretq
  .org timer + 0x200
  say $0x41
  eoi
  iretq
count: .long 0
)");

TEST(Apic, TimersEndHalts) {
  GuestMachine machine;
  machine.start_long(timer(), {{0x40, 0x180}, {0x41, 0x200}});
  const std::vector<uint32_t> output = machine.run_to_end();
  ASSERT_EQ(output.size(), 5u);
  EXPECT_EQ(output[0], 0u);
  EXPECT_GT(output[1], 4'000'000u);  // TSC ticks: no host has less than 0.8 GHz.
  EXPECT_EQ(output[2], 0x41u);
  EXPECT_EQ(output[3], 0u);
  EXPECT_GE(output[4], 6u);
}

ALCOVE_GUEST(priorities, R"(
  .code64
  x2apic_on
  wr 0x830, 0x00040050            # self: 0x50
  wr 0x83f, 0x61                  # self IPI register
  wr 0x83f, 0x32
  wr 0x808, 0x50                  # TPR: class 5 and below wait.
  sti
  nop
  cli
  say $1
  xor %eax, %eax
  mov %rax, %cr8
  sti
  nop
  cli
  mov $0x10, %ecx
  say $2
  wr 0x83f, 5                     # illegal vector
  mov $0x828, %ecx
  xor %eax, %eax
  xor %edx, %edx
  wrmsr
  rdmsr
  out %eax, $0xe9
  done
  .org priorities + 0x100
  say $0x32
  eoi
  iretq
  .org priorities + 0x140
  say $0x50
  eoi
  iretq
  .org priorities + 0x180
  say $0x61
  eoi
  iretq
)");

TEST(Apic, PrioritiesDecideWhatIsTaken) {
  GuestMachine machine;
  machine.start_long(priorities(), {{0x32, 0x100}, {0x50, 0x140}, {0x61, 0x180}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0x61, 1, 0x50, 0x32, 2, 1 << 5));
}

ALCOVE_GUEST(message, R"(
  .code64
  mov $0xfee00000, %rbx
  movl $0x1ff, 0xf0(%rbx)
  movl $0x01000000, 0xd0(%rbx)    # logical ID 1, flat
  say $1
  sti
1: hlt
  jmp 1b
  .org message + 0x100
  say $0x70
  movl $0, 0xb0(%rbx)
  iretq
  .org message + 0x140
  mov 0x20(%rbx), %eax
  out %eax, $0xe9
  movl $0, 0xb0(%rbx)
  done
)");

TEST(Apic, MessagesArriveAndLevelTriggeredOnesAreEnded) {
  GuestMachine machine;
  machine.start_long(message(), {{0x70, 0x100}, {0x71, 0x140}});
  const uint64_t level[4] = {0, uint64_t{1} << (0x70 - 64), 0, 0};
  machine.vm().set_level_triggered_vectors(level);
  std::thread sender([&] {
    while (machine.output().empty()) std::this_thread::yield();
    machine.vm().send({.address = 0xfee00000, .data = 0x70});
    while (machine.output().size() < 2) std::this_thread::yield();
    machine.vm().send({.address = 0xfee01000, .data = 0x71});  // Nobody's
    machine.vm().send({.address = 0xfee0100c, .data = 0x71});  // Logical, lowest priority
  });
  EXPECT_EQ(machine.run(), Exit::kicked);
  sender.join();
  EXPECT_THAT(machine.output(), ElementsAre(1, 0x70, 0));
  EXPECT_THAT(machine.ended_interrupts(), ElementsAre(0x70));
}

ALCOVE_GUEST(two_processors, R"(
  .code64
  x2apic_on
  mov $0x830, %ecx
  mov $1, %edx
  mov $0x4500, %eax               # INIT
  wrmsr
  mov $0x4610, %eax               # SIPI: page 0x10
  mov $1, %edx
  lea ap_entry(%rip), %rbx
  movb $0xe9, 0x10000             # jmp to ap_entry, over what was executed here
  lea -3(%rbx), %rbx
  sub $0x10000, %rbx
  mov %bx, 0x10001
  wrmsr
1: pause
  cmpl $0, flag - two_processors + 0x10000
  je 1b
  sti
  mov $0x830, %ecx
  mov $1, %edx
  mov $0x4400, %eax               # NMI
  wrmsr
2: hlt
  jmp 2b

  .code16
ap_entry:
  cli
  lgdtl %cs:(ap_gdt - two_processors)
  mov $0x6a0, %eax
  mov %eax, %cr4
  mov $0x8000, %eax
  mov %eax, %cr3
  mov $0xc0000080, %ecx
  mov $0x900, %eax
  xor %edx, %edx
  wrmsr
  mov $0x80000011, %eax
  mov %eax, %cr0
  ljmpl $0x08, $(ap_long - two_processors + 0x10000)
ap_gdt:
  .word 0x7f
  .long 0x1000
ap_idt:
  .word 0xfff
  .quad 0x2000
  .code64
ap_long:
  lidt ap_idt(%rip)
  mov $0x70000, %rsp
  x2apic_on
  mov $0x802, %ecx
  rdmsr
  out %eax, $0xe9
  incl flag - two_processors + 0x10000
3: hlt
  jmp 3b
flag: .long 0
  .org two_processors + 0x180     # NMI on the second
  say $2
  mov $0x830, %ecx                # a fixed interrupt to all others
  xor %edx, %edx
  mov $0xc4042, %eax
  wrmsr
4: hlt
  jmp 4b
  .org two_processors + 0x1c0     # 0x42 on the first
  mov $0x802, %ecx
  rdmsr
  out %eax, $0xe9
  done
)");

TEST(Apic, ProcessorsStartAndInterruptEachOther) {
  GuestMachine machine(2);
  machine.start_long(two_processors(), {{2, 0x180}, {0x42, 0x1c0}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(1, 2, 0));
}

ALCOVE_GUEST(nmi_blocking, R"(
  .code64
  x2apic_on
  wr 0x830, 0x44400               # NMI to itself
  nop
  say $9
  done
  .org nmi_blocking + 0x100
  incl nmi_count - nmi_blocking + 0x10000
  mov nmi_count - nmi_blocking + 0x10000, %eax
  out %eax, $0xe9
  cmpl $1, nmi_count - nmi_blocking + 0x10000
  jne 1f
  wr 0x830, 0x44400               # Waits for IRET.
  nop
  say $0x55
1: iretq
nmi_count: .long 0
)");

TEST(Apic, NmiWaitsUntilTheHandlerReturns) {
  GuestMachine machine;
  machine.start_long(nmi_blocking(), {{2, 0x100}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(1, 0x55, 2, 9));
}

// The handler's IRET faults, yet a second NMI comes.
ALCOVE_GUEST(nmi_after_fault, R"(
  .code64
  x2apic_on
  wr 0x830, 0x44400               # NMI to itself
  nop
  jmp .
  .org nmi_after_fault + 0x100
  incl nmi_faults - nmi_after_fault + 0x10000
  mov nmi_faults - nmi_after_fault + 0x10000, %eax
  out %eax, $0xe9
  cmp $2, %eax
  je 1f
  movl $0x7c, 8(%rsp)             # A selector beyond the table
  iretq
1:done
  .org nmi_after_fault + 0x200    # #GP
  say $13
  wr 0x830, 0x44400
  nop
  jmp .
nmi_faults: .long 0
)");

TEST(Apic, NmiComesAfterAnIretThatFaulted) {
  GuestMachine machine;
  machine.start_long(nmi_after_fault(), {{2, 0x100}, {13, 0x200}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(1, 13, 2));
}

ALCOVE_GUEST(base_register, R"(
  .code64
  mov $0x1b, %ecx
  rdmsr
  out %eax, $0xe9
  mov $0x800, %ecx                # x2APIC MSRs before x2APIC mode: #GP
  add $2, %ecx
  rdmsr
  x2apic_on
  mov $0x1b, %ecx
  mov $0xfee00900, %eax           # Straight back: #GP
  wrmsr
  mov $0x1b, %ecx
  mov $0xfee00100, %eax           # By way of disabled
  wrmsr
  mov $0xfee00900, %eax
  wrmsr
  say 0xfee00030                  # version
  done
  .org base_register + 0x100
  say $13
  addq $2, 8(%rsp)
  add $8, %rsp
  iretq
)");

TEST(Apic, ModeChangesAsTheArchitectureAllows) {
  GuestMachine machine;
  machine.start_long(base_register(), {{13, 0x100}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0xfee00900, 13, 13, 0x50014));
}

ALCOVE_GUEST(timer_modes, R"(
  .code64
  x2apic_on
  wr 0x832, 0x40040               # TSC deadline
  mov $0x6e0, %ecx
  mov $1, %eax                    # Long ago
  xor %edx, %edx
  wrmsr
  sti
  nop
  cli
  wr 0x832, 0x00041               # One-shot, then periodic: the count goes on.
  wr 0x838, 0xf0000000
  wr 0x832, 0x20041
  mov $0x839, %ecx
  rdmsr
  shr $28, %eax
  out %eax, $0xe9
  wr 0x832, 0x40041               # TSC-deadline mode ends it.
  wr 0x832, 0x00041
  mov $0x839, %ecx
  rdmsr
  out %eax, $0xe9
  wr 0x838, 0
  mov $0x1b, %ecx
  mov $0x10000, %edx              # Beyond the physical addresses: #GP
  mov $0xfee00d00, %eax
  wrmsr
  done
  .org timer_modes + 0x200
  say $0x40
  eoi
  iretq
  .org timer_modes + 0x300
  say $13
  addq $2, 8(%rsp)
  add $8, %rsp
  iretq
)");

ALCOVE_GUEST(far_deadlines, R"(
  .code64
  x2apic_on
  wr 0x832, 0x40040               # TSC deadline
  mov $0x6e0, %ecx
  mov $-1, %eax                   # Never
  mov $-1, %edx
  wrmsr
  sti
  rdtsc
  lea 10000000(%rax), %esi
1:rdtsc
  cmp %esi, %eax
  js 1b
  cli
  mov $0x6e0, %ecx
  rdmsr
  out %eax, $0xe9
  out %eax, $0xe9
  xor %eax, %eax                  # In some days, but the TSC jumps there.
  mov $0x100000, %edx
  wrmsr
  mov $0x3b, %ecx
  mov $0x200000, %edx
  wrmsr
  sti
  hlt
  mov $0x6e0, %ecx
  rdmsr
  mov %edx, %eax
  out %eax, $0xe9
  done
  .org far_deadlines + 0x200
  say $0x40
  eoi
  iretq
)");

TEST(Apic, FarDeadlinesAreInTheFuture) {
  GuestMachine machine;
  machine.start_long(far_deadlines(), {{0x40, 0x200}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0xffffffff, 0xffffffff, 0x40, 0));
}

TEST(Apic, TimerModesChange) {
  GuestMachine machine;
  machine.start_long(timer_modes(), {{0x40, 0x200}, {13, 0x300}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0x40, 14, 0, 13));
}

}  // namespace
}  // namespace alcove::cpu::soft::testing
