// What one processor does to code, translations and data that the other one uses at the same time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cpu/soft/testing/guest_machine.h"
#include "cpu/soft/testing/guest_macros.h"

namespace alcove::cpu::soft {
namespace {

using ::testing::ElementsAre;
using testing::GuestMachine;

// Around an interrupt's handler, which may change RAX, RCX and RDX; the end tells the x2APIC.
asm(R"(
  .macro begin_interrupt
    push %rax
    push %rcx
    push %rdx
  .endm
  .macro end_interrupt
    xor %eax, %eax
    xor %edx, %edx
    mov $0x80b, %ecx
    wrmsr
    pop %rdx
    pop %rcx
    pop %rax
    iretq
  .endm
)");

// Both processors go on behind this in 64-bit mode, R15 being their number. What follows finds its variables
// and the like by absolute addresses: `label - GUEST + 0x10000`. The pages at 0x40000000 are mapped one by
// one by the table at 0xb2000: to 0x100000, 0x102000 and so on, every other page of memory.
asm(R"(
  .macro both_processors guest
    .code64
    movq $0xb1007, 0x9008
    movq $0xb2007, 0xb1000
    xor %ecx, %ecx
    mov $0x100007, %eax
  1:
    mov %rax, 0xb2000(,%rcx,8)
    add $0x2000, %eax
    inc %ecx
    cmp $16, %ecx
    jb 1b
    mov $0x1b, %ecx                 # x2APIC, and a spurious vector
    rdmsr
    or $0xc00, %eax
    wrmsr
    mov $0x1ff, %eax
    xor %edx, %edx
    mov $0x80f, %ecx
    wrmsr
    mov $0x830, %ecx
    mov $1, %edx
    mov $0x4500, %eax               # INIT
    wrmsr
    mov $0x4611, %eax               # SIPI: page 0x11
    wrmsr
    xor %r15d, %r15d
    jmp both_\guest
    .org \guest + 0x1000
    .code16
    cli
    lgdtl %cs:(gdt_\guest - \guest - 0x1000)
    mov $0x6a0, %eax
    mov %eax, %cr4
    mov $0x8000, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    mov $0x900, %eax
    xor %edx, %edx
    wrmsr
    mov $0x80010011, %eax
    mov %eax, %cr0
    ljmpl $0x08, $(long_\guest - \guest + 0x10000)
  gdt_\guest:
    .word 0x7f
    .long 0x1000
  idt_\guest:
    .word 0xfff
    .quad 0x2000
    .code64
  long_\guest:
    lidt idt_\guest(%rip)
    mov $0x10, %eax
    mov %eax, %ss
    mov $0x70000, %rsp
    mov $0x1b, %ecx
    rdmsr
    or $0xc00, %eax
    wrmsr
    mov $0x1ff, %eax
    xor %edx, %edx
    mov $0x80f, %ecx
    wrmsr
    mov $1, %r15d
  both_\guest:
    lock incl started_\guest(%rip)
  2:
    pause
    cmpl $2, started_\guest(%rip)
    jne 2b
    jmp 3f
    .balign 8
  started_\guest:
    .long 0
  3:
  .endm
)");

// One counts in an instruction and then in a variable; the other reads the variable, serializes and runs the
// instruction, which must give that number or a later one.
ALCOVE_GUEST(serialized_changes, R"(
  both_processors serialized_changes
  test %r15d, %r15d
  jnz 3f
  mov $1, %esi
1:
  mov %esi, counting + 1 - serialized_changes + 0x10000
  mov %esi, count - serialized_changes + 0x10000
  mov %esi, %ecx                  # From none to 4095 pauses
  and $4095, %ecx
2:
  pause
  dec %ecx
  jg 2b
  inc %esi
  cmp $8000, %esi
  jbe 1b
  hlt

3:
  xor %ebp, %ebp
4:
  mov count - serialized_changes + 0x10000, %esi
  xor %eax, %eax
  cpuid
  call counting
  cmp %esi, %eax
  jb 6f
  mov $20, %edi                   # As long as the variable is the same, the instruction is at most one ahead.
5:
  call counting
  mov count - serialized_changes + 0x10000, %edx
  inc %edx
  cmp %edx, %eax
  ja 6f
  dec %edi
  jnz 5b
  cmp $8000, %esi
  jb 4b
  out %eax, $0xe9
  done
6:
  say $0xbad
  done

  .balign 64
count: .long 0
  .org serialized_changes + 0x4000
counting:
  mov $0, %eax
  ret
)");

TEST(TwoProcessors, ChangedCodeIsSeenAfterSerializing) {
  GuestMachine machine(2);
  machine.start_long(serialized_changes());
  EXPECT_THAT(machine.run_to_end(), ElementsAre(8000));
}

// One replaces an instruction by a jump of the same length and back with single stores; the other runs it all
// the while and must only ever get what one of the two leads to (Intel SDM vol. 3, 9.1.3, promises less for
// other changes). The code's page holds a counter that the changing processor increments, too.
ALCOVE_GUEST(unserialized_changes, R"(
  both_processors unserialized_changes
  test %r15d, %r15d
  jnz runner_of_both
  mov patched - unserialized_changes + 0x10000, %rax
  mov jump_to_other - unserialized_changes + 0x10000, %rdx
  mov $3000, %esi
1:
  xchg %rax, %rdx
  mov %rax, patched - unserialized_changes + 0x10000
  incl beside - unserialized_changes + 0x10000
  mov %esi, %ecx                  # From none to 2047 pauses
  and $2047, %ecx
2:
  pause
  dec %ecx
  jg 2b
  dec %esi
  jnz 1b
  movl $1, ended - unserialized_changes + 0x10000
3:
  hlt
  jmp 3b

runner_of_both:
  xor %ebx, %ebx
  xor %edi, %edi
4:
  call patched
  cmp $1, %eax
  je 5f
  cmp $2, %eax
  je 5f
  say %eax
  done
5:
  cmpl $0, ended - unserialized_changes + 0x10000
  je 4b
  xor %eax, %eax
  cpuid
  call patched
  out %eax, $0xe9
  say beside-unserialized_changes+0x10000
  done

  .balign 64
ended: .long 0
  .org unserialized_changes + 0x4000
patched:
  mov $1, %eax
  ret
  .balign 8
jump_to_other:
  .byte 0xe9
  .long other - patched - 5
  .balign 8
  .org unserialized_changes + 0x4100
other:
  mov $2, %eax
  ret
beside: .long 0
)");

TEST(TwoProcessors, ChangedCodeIsTheOldOrTheNew) {
  GuestMachine machine(2);
  machine.start_long(unserialized_changes());
  EXPECT_THAT(machine.run_to_end(), ElementsAre(1, 3000));
}

// One gives a page another frame, write-protects it or takes it away, and interrupts the other, which uses it
// all the while and says that it has flushed its translation. From then on it must not touch the frame any
// more.
ALCOVE_GUEST(shoot_downs, R"(
  both_processors shoot_downs
  test %r15d, %r15d
  jnz user
  mov $0x100000, %ebx             # The frame in use,
  mov $0x102000, %ebp             # and the other.
  xor %esi, %esi
1:
  inc %esi
  movl $0, 8(%rbp)
  movl $1, (%rbp)
  mov %esi, %eax
  xor %edx, %edx
  mov $3, %ecx
  div %ecx
  lea 7(%rbp), %rax               # The other frame,
  test %edx, %edx
  jz 2f
  lea 5(%rbx), %rax               # no writing,
  dec %edx
  jz 2f
  xor %eax, %eax                  # or no access.
2:
  mov %rax, 0xb2000
  mov $0x830, %ecx
  mov $1, %edx
  mov $0x4042, %eax
  wrmsr
3:
  pause
  cmp %esi, flushed - shoot_downs + 0x10000
  jne 3b
  movl $0, 8(%rbx)
  mov $50, %ecx
4:
  pause
  cmpl $0, 8(%rbx)
  jne 6f
  dec %ecx
  jnz 4b
  cmpl $0, 0xb2000
  je 5f
  testb $2, 0xb2000
  jz 7f
  movl $2, (%rbx)                 # Nobody reads the old frame now.
5:
  xchg %rbx, %rbp
7:
  lea 7(%rbx), %rax
  mov %rax, 0xb2000
  movl $1, (%rbx)
  cmp $25, %esi
  jb 1b
  say %esi
  done
6:
  say $0xbad0
  done

user:
  sti
  mov $0x40000000, %edi
  mov $1, %edx
8:
  mov (%rdi), %eax
  mov %edx, 8(%rdi)
  lock incl 16(%rdi)
  add 24(%rdi), %rax
  cmp $1, %eax
  je 8b
  cli
  say $0xbad1
  done

  .org shoot_downs + 0x3000       # The interrupt
  begin_interrupt
  invlpg 0x40000000
  incl flushed - shoot_downs + 0x10000
  end_interrupt
  .org shoot_downs + 0x3100       # The page fault: until the page is there and may be written
  add $8, %rsp
  sti
  pause
  iretq
  .balign 64
flushed: .long 0
)");

TEST(TwoProcessors, FlushedTranslationsAreNotUsed) {
  GuestMachine machine(2);
  machine.store<uint32_t>(0x100000, 1);
  machine.start_long(shoot_downs(), {{0x42, 0x3000}, {14, 0x3100}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(25));
}

// A user's program runs in a window, when the other processor brings memory into use that a window can't
// tell from what it shows.
ALCOVE_GUEST(same_places, R"(
  both_processors same_places
  test %r15d, %r15d
  jnz 2f
  movl $5, 0x100008               # At 0x40000000,
  movl $77, 0x120008              # and 16 TiB behind.
  movq $0xb4007, 0xb3008
  movq $0xb5007, 0xb4000
  movq $0x120007, 0xb5000
  mov $500, %ebx                  # Windows come when programs are interrupted,
1:
  mov $0x830, %ecx
  mov $1, %edx
  mov $0x4042, %eax
  wrmsr
6:
  pause
  cmp %ebx, interrupts - same_places + 0x10000
  jne 6b
  rdtsc
  mov %eax, %ecx
5:
  pause
  rdtsc
  sub %ecx, %eax
  cmp $1000000, %eax              # after 250 million ticks of theirs.
  jb 5b
  dec %ebx
  jnz 1b
  movq $0xb3007, 0x8100
  movl $1, 0x100000
  jmp .
2:
  andb $0xfd, 0x103d              # The other processor has made the TSS busy.
  mov $0x38, %eax
  ltr %ax
  pushq $0x2b
  pushq $0
  pushq $0x3202                   # With interrupts and ports
  pushq $0x33
  pushq $3f - same_places + 0x10000
  iretq
3:
  mov $0x40000000, %esi
  mov $0x40000000, %edi
  mov $0x100040000000, %rdx
4:
  mov 8(%rsi), %eax
  cmpl $0, (%rdi)
  je 4b
  out %eax, $0xe9
  cmp %rdx, %rsi
  mov %rdx, %rsi
  jne 4b                          # Once more, there
  done

  .balign 64
interrupts: .long 501

  .org same_places + 0x3000       # The interrupt
  begin_interrupt
  decl interrupts - same_places + 0x10000
  end_interrupt
)");

TEST(TwoProcessors, MemoryElsewhereIsNotWhatAWindowShows) {
  GuestMachine machine(2);
  machine.start_long(same_places(), {{0x42, 0x3000}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(5, 77));
}

// Locked instructions on operands that lie in two pages, against others that lie in either.
ALCOVE_GUEST(locked_across, R"(
  both_processors locked_across
  mov $0x40001000, %edi
  mov $3000, %esi
  mov $1, %r8d
  mov %r15d, %ecx
  shl $4, %ecx                    # CMPXCHG's part of a word for each
  mov $1, %r9d
  shl %cl, %r9d
1:
  lock incl -2(%rdi)
  mov %r8d, %eax
  lock xadd %eax, 0x1ffd(%rdi)
  mov 0x3ffc(%rdi), %eax
2:
  lea (%rax,%r9), %edx
  lock cmpxchg %edx, 0x3ffc(%rdi)
  jne 2b
  mov 0x5fff(%rdi), %eax
3:
  lea (%rax,%r9), %edx
  lock cmpxchg %edx, 0x5fff(%rdi)
  jne 3b
  mov 0x7ff9(%rdi), %rax
4:
  lea 1(%rax), %rdx
  lock cmpxchg %rdx, 0x7ff9(%rdi)
  jne 4b
  # One adds to eight bytes across the pages, the other to those of them that are in the second page.
  test %r15d, %r15d
  jnz 5f
  lock addq $1, 0x9ffc(%rdi)
  jmp 6f
5:
  lock addl $1, 0xa000(%rdi)
6:
  dec %esi
  jnz 1b
  lock incl ended_across(%rip)
  test %r15d, %r15d
  jnz 8f
7:
  pause
  cmpl $2, ended_across(%rip)
  jne 7b
  say -2(%rdi)
  say 0x1ffd(%rdi)
  say 0x3ffc(%rdi)
  say 0x5fff(%rdi)
  say 0x7ff9(%rdi)
  say 0x9ffc(%rdi)
  say 0xa000(%rdi)
  done
8:
  hlt
  jmp 8b
  .balign 64
ended_across: .long 0
)");

TEST(TwoProcessors, LockedInstructionsAcrossPagesAreAtomic) {
  GuestMachine machine(2);
  machine.start_long(locked_across());
  const uint32_t halves = 3000 << 16 | 3000;
  EXPECT_THAT(machine.run_to_end(), ElementsAre(6000, 6000, halves, halves, 6000, 3000, 3000));
}

// HLT with interrupts off, as a waiting lock's: until the other processor ends it by a hypercall, and not
// before. What the other has written by then is seen.
ALCOVE_GUEST(kicks, R"(
  both_processors kicks
  mov $1, %esi
  test %r15d, %r15d
  jnz 3f
1:
  cmp %esi, waiting - kicks + 0x10000
  jne 1b
  mov %esi, kicked - kicks + 0x10000
  mov $5, %eax
  xor %ebx, %ebx
  mov $1, %ecx
  vmcall
  inc %esi
  cmp $40, %esi
  jbe 1b
2:
  hlt
  jmp 2b

3:
  mov %esi, waiting - kicks + 0x10000
  call 5f
  cmp %esi, kicked - kicks + 0x10000
  jne 4f
  inc %esi
  cmp $40, %esi
  jbe 3b
4:
  say %esi
  done
5:
  hlt
  ret
  .balign 64
waiting: .long 0
  .balign 64
kicked: .long 0
)");

TEST(TwoProcessors, AnotherEndsHalts) {
  GuestMachine machine(2);
  machine.start_long(kicks());
  EXPECT_THAT(machine.run_to_end(), ElementsAre(41));
}

}  // namespace
}  // namespace alcove::cpu::soft
