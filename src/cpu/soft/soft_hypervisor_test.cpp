// Guests of a few instructions, run as a machine would run them.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "cpu/soft/testing/bare_machine.h"
#include "cpu/soft/testing/guest_macros.h"

namespace alcove::cpu::soft {
namespace {

using testing::BareMachine;

// The machine jumps to 0:7c00 and collects letters.
asm(R"(
  .macro letter character
    mov $\character, %al
    out %al, $0xe9
  .endm
  # From real mode to flat 32-bit segments. Selector 0x18 is 64-bit code.
  .macro enter_protected_mode guest
    .code16
    cli
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x7000, %sp
    lgdtl gdt_pointer\@ - \guest + 0x7c00
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $8, $(protected\@ - \guest + 0x7c00)
  gdt\@:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
  gdt_pointer\@:
    .word 31
    .long gdt\@ - \guest + 0x7c00
    .code32
  protected\@:
    mov $0x10, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
  .endm
)");

ALCOVE_GUEST(modes, R"(
  .code16
  letter 'R'
  enter_protected_mode modes
  letter 'P'
  movl $0x11003, 0x10000          # Page tables: the first 2 MiB
  movl $0x12003, 0x11000
  movl $0x00083, 0x12000
  mov $0x10000, %eax
  mov %eax, %cr3
  mov %cr4, %eax
  or $0x20, %al                   # PAE
  mov %eax, %cr4
  mov $0xc0000080, %ecx
  rdmsr
  or $0x100, %eax                 # LME
  wrmsr
  mov %cr0, %eax
  or $0x80000000, %eax
  mov %eax, %cr0
  ljmpl $0x18, $(long_mode - modes + 0x7c00)
  .code64
long_mode:
  letter 'L'
  mov $0x13000, %edi              # The IDT
  mov $(invalid - modes + 0x7c00), %eax
  mov %ax, 0x60(%rdi)
  movl $0x8e000018, 0x62(%rdi)
  mov $(system - modes + 0x7c00), %eax
  mov %ax, 0x800(%rdi)
  movl $0x8e000018, 0x802(%rdi)
  lidt idt_pointer(%rip)
  int $0x80
  ud2
  letter 'E'
1: cli
  hlt
  jmp 1b
invalid:
  addq $2, (%rsp)
  letter 'U'
  iretq
system:
  letter 'I'
  iretq
idt_pointer:
  .word 0xfff
  .quad 0x13000
)");

// Self- and cross-modifying code, atomic operations, start-up and NMI.
ALCOVE_GUEST(first_processor, R"(
  enter_protected_mode first_processor
  movb $'S', same - first_processor + 0x7c01  # Self-modifying: the very next instruction
same:
  mov $'x', %al
  out %al, $0xe9
  movl $0xc4500, 0xfee00300       # To the other: INIT,
  movl $0xc4608, 0xfee00300       # then SIPI with vector 8
  mov $20000, %ecx
1: lock incl 0x20000              # aligned
  lock incl 0x2003e               # crossing a line
  dec %ecx
  jnz 1b
  mov $2000, %ecx
1: lock incl 0x20ffe              # crossing a page
  dec %ecx
  jnz 1b
2: pause
  cmpb $1, 0x500
  jne 2b
  movb $'C', 0x9001               # The other one now calls this again and again.
3: mov 0x501, %al
  cmp $'C', %al
  jne 3b
  out %al, $0xe9
  movb $1, 0x502                  # It halts when told so; an NMI wakes it.
4: cmpb $1, 0x503
  jne 4b
  movl $0xc4400, 0xfee00300
5: cmpb $2, 0x503
  jne 5b
  letter 'E'
6: cli
  hlt
  jmp 6b
)");

// At 0x8000.
ALCOVE_GUEST(second_processor, R"(
  .code16
  cli
  xor %ax, %ax
  mov %ax, %ds
  mov $0x2000, %ax
  mov %ax, %es
  xor %ax, %ax
  mov %ax, %ss
  mov $0x6000, %sp
  movw $(nmi - second_processor + 0x8000), 8
  movw $0, 10
  mov $20000, %cx
1: lock incl %es:0
  lock incl %es:0x3e
  dec %cx
  jnz 1b
  mov $2000, %cx
1: lock incl %es:0xffe
  dec %cx
  jnz 1b
  movb $1, 0x500
2: mov $0x1000, %bx
  call *%bx
  mov %al, 0x501
  cmpb $1, 0x502
  jne 2b
  movb $1, 0x503
  hlt
3: hlt
  jmp 3b
nmi:
  movb $2, 0x503
  iret
)");

TEST(SoftHypervisor, RealProtectedAndLongModeWithInterrupts) {
  BareMachine machine(1);
  machine.write(0x7c00, modes());
  machine.start();
  EXPECT_TRUE(machine.wait_for('E'));
  EXPECT_EQ(machine.stop(), std::vector{Exit::kicked});
  EXPECT_EQ(machine.output(), "RPLIUE");
  const X86State state = machine.vm().vcpu(0).state();
  EXPECT_EQ(state.segments[cs].selector, 0x18);
  EXPECT_TRUE(state.efer & 0x400);
  EXPECT_EQ(state.rflags & 0x200, 0u);
}

TEST(SoftHypervisor, TwoProcessors) {
  BareMachine machine(2);
  machine.write(0x7c00, first_processor());
  machine.write(0x8000, second_processor());
  machine.write(0x9000, std::array<uint8_t, 3>{0xb0, 'x', 0xc3});  // mov al, 'x'; ret
  machine.start();
  EXPECT_TRUE(machine.wait_for('E'));
  EXPECT_EQ(machine.stop(), std::vector(2, Exit::kicked));
  EXPECT_EQ(machine.output(), "SCE");
  EXPECT_EQ(machine.read32(0x20000), 40'000u) << "aligned";
  EXPECT_EQ(machine.read32(0x2003e), 40'000u) << "crossing a cache line";
  EXPECT_EQ(machine.read32(0x20ffe), 4'000u) << "crossing a page";
}

TEST(SoftHypervisor, TripleFaultIsShutdown) {
  BareMachine machine(1);
  // lidt [0x7000] (limit 0); ud2
  machine.write(0x7c00, std::array<uint8_t, 7>{0x0f, 0x01, 0x1e, 0x00, 0x70, 0x0f, 0x0b});
  machine.start();
  EXPECT_FALSE(machine.wait_for('E'));
  EXPECT_EQ(machine.stop(), std::vector{Exit::shutdown});
}

TEST(SoftHypervisor, KicksEndLoopsAndWaits) {
  for (const uint8_t second : {0xfe, 0xfd}) {
    BareMachine machine(2);  // The second waits for its start-up.
    // jmp to itself, or: hlt; jmp to the hlt
    if (second == 0xfe) {
      machine.write(0x7c00, std::array<uint8_t, 6>{0xb0, 'E', 0xe6, 0xe9, 0xeb, 0xfe});
    } else {
      machine.write(0x7c00, std::array<uint8_t, 7>{0xb0, 'E', 0xe6, 0xe9, 0xf4, 0xeb, 0xfd});
    }
    machine.start();
    EXPECT_TRUE(machine.wait_for('E'));
    EXPECT_EQ(machine.stop(), std::vector(2, Exit::kicked));
    // Once more: nothing was lost.
    machine.start();
    EXPECT_EQ(machine.stop(), std::vector(2, Exit::kicked));
    EXPECT_EQ(machine.output(), "E");
  }
}

TEST(SoftHypervisor, ExecutionRunsOutOfMemoryWithoutHarm) {
  BareMachine machine(1);
  // jmp 0xf000:0xff00, where neither RAM nor a device is: reads as ones, which is an invalid opcode.
  machine.write(0x7c00, std::array<uint8_t, 5>{0xea, 0x10, 0x00, 0xff, 0xff});
  machine.write(6 * 4, std::array<uint8_t, 4>{0x00, 0x7d, 0x00, 0x00});  // #UD: 0:7d00
  machine.write(0x7d00, std::array<uint8_t, 6>{0xb0, 'E', 0xe6, 0xe9, 0xeb, 0xfe});
  machine.start();
  EXPECT_TRUE(machine.wait_for('E'));
}

TEST(SoftHypervisor, DirtyLogNamesWrittenPages) {
  BareMachine machine(1);
  std::array<uint64_t, 4> log{};
  ASSERT_TRUE(machine.vm().fetch_dirty_log(0, log));
  machine.write(0x7c00, modes());
  machine.start();
  EXPECT_TRUE(machine.wait_for('E'));
  machine.stop();
  ASSERT_TRUE(machine.vm().fetch_dirty_log(0, log));
  const auto dirty = [&](uint64_t address) { return log[address >> 18] >> (address >> 12 & 63) & 1; };
  EXPECT_TRUE(dirty(0x7000)) << "loaded code";
  EXPECT_TRUE(dirty(0x6000)) << "stack";
  EXPECT_TRUE(dirty(0x10000)) << "page tables";
  EXPECT_TRUE(dirty(0x13000));
  EXPECT_FALSE(dirty(0x14000));
  EXPECT_FALSE(dirty(0x5000));
  ASSERT_TRUE(machine.vm().fetch_dirty_log(0, log));
  EXPECT_FALSE(dirty(0x10000)) << "nothing ran since";
  EXPECT_FALSE(machine.vm().fetch_dirty_log(0x1000, log));
}

}  // namespace
}  // namespace alcove::cpu::soft
