// Exceptions, privilege changes and fast calls in IA-32e mode, seen by small guests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <thread>

#include "cpu/soft/testing/guest_machine.h"
#include "cpu/soft/testing/guest_macros.h"

namespace alcove::cpu::soft::testing {
namespace {

using ::testing::ElementsAre;

ALCOVE_GUEST(faults, R"(
  .code64
  ud2                             # continued by the handler
  say $2
  mov $0x1234, %ax                # beyond the table
  mov %ax, %ds
  say $3
  mov $0x40000123, %rbx           # not mapped
  mov %eax, (%rbx)
  say $4
  mov $0x8000000000000000, %rbx   # not canonical
  mov (%rbx), %al
  say $5
  done

  .org faults + 0x100             # #UD: the instruction has two bytes
  addq $2, (%rsp)
  say $0x106
  iretq
  .org faults + 0x200             # #GP
  pop %rax
  out %eax, $0xe9
  cmpq $16, count - faults + 0x10000
  addq $2, (%rsp)
  iretq
  .org faults + 0x300             # #PF: error code and CR2
  pop %rax
  out %eax, $0xe9
  mov %cr2, %rax
  out %eax, $0xe9
  addq $2, (%rsp)
  iretq
count: .quad 0
)");

TEST(LongMode, FaultsReachTheirHandlersWithErrorCodes) {
  GuestMachine machine;
  machine.start_long(faults(), {{6, 0x100}, {13, 0x200}, {14, 0x300}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0x106, 2, 0x1234, 3, 2, 0x40000123, 4, 0, 5));
}

ALCOVE_GUEST(double_fault, R"(
  .code64
  mov $0x12345, %rsp
  ud2                             # its gate is not present, nor is the one for that
  .org double_fault + 0x100       # #DF on IST1
  mov %rsp, %rax
  out %eax, $0xe9
  pop %rax
  out %eax, $0xe9
  mov 24(%rsp), %rax              # The stack pointer before.
  out %eax, $0xe9
  done
)");

TEST(LongMode, FaultWhileDeliveringAFaultIsADoubleFaultOnItsOwnStack) {
  GuestMachine machine;
  machine.start_long(double_fault(), {{8, 0x100, 0x8e, 1}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(GuestMachine::kIstStack - 48, 0, 0x12345));
}

TEST(LongMode, FaultWhileDeliveringADoubleFaultShutsDown) {
  GuestMachine machine;
  machine.start_long(double_fault());
  EXPECT_EQ(machine.run(), Exit::shutdown);
}

ALCOVE_GUEST(user, R"(
  .code64
  pushq $0x2b                     # user data
  pushq $0x90000
  pushq $0x202
  pushq $0x33                     # user code
  lea in_user(%rip), %rax
  push %rax
  iretq
in_user:
  mov %cs, %eax
  int $0x80
  mov %rsp, %rax
  int $0x80
  hlt                             # #GP
  cli                             # #GP
  out %al, $0x10                  # #GP: not in the bitmap
  mov $0x77, %eax
  int $0x80
  in $0x12, %al                   # allowed by the bitmap
  movzbl %al, %eax
  int $0x80
  int $0x81                       # #GP: gate of DPL 0
  ud2

  .org user + 0x100               # int $0x80
  out %eax, $0xe9
  mov 8(%rsp), %rbx
  mov 24(%rsp), %rcx
  iretq
  .org user + 0x200               # #GP
  mov (%rsp), %rax
  out %eax, $0xe9
  mov 8(%rsp), %rbx
  movzbl (%rbx), %ecx
  addq $1, 8(%rsp)
  cmp $0xe6, %cl
  jne 2f
  addq $1, 8(%rsp)
2: cmp $0xcd, %cl
  jne 3f
  addq $1, 8(%rsp)
3: add $8, %rsp
  iretq
  .org user + 0x300               # #UD
  mov %rsp, %rax
  out %eax, $0xe9
  done
)");

TEST(LongMode, UserCodeIsHeldByItsPrivilege) {
  GuestMachine machine;
  machine.start_long(user(), {{0x80, 0x100, 0xee}, {0x81, 0x100}, {13, 0x200}, {6, 0x300}});
  machine.store<uint8_t>(GuestMachine::kTss + 0x68 + 2, 0xfb);  // Port 0x12.
  EXPECT_THAT(machine.run_to_end(),
              ElementsAre(0x33, 0x90000, 0, 0, 0, 0x77, 0x12, 0x81 * 8 + 2, GuestMachine::kStack - 40));
}

ALCOVE_GUEST(fast_calls, R"(
  .code64
  mov $0xc0000081, %ecx           # STAR
  xor %eax, %eax
  mov $0x00200008, %edx
  wrmsr
  inc %ecx                        # LSTAR
  lea entry(%rip), %rax
  xor %edx, %edx
  wrmsr
  add $2, %ecx                    # SFMASK
  mov $0x200, %eax
  wrmsr
  lea in_ring3(%rip), %rcx
  mov $0x202, %r11
  mov $0x90000, %rsp
  sysretq
in_ring3:
  mov %cs, %eax
  mov $1, %ebx
  syscall
  pushfq
  pop %rax
  mov $2, %ebx
  syscall
  mov %ss, %eax
  mov $3, %ebx
  syscall
  mov $9, %ebx
  syscall
  ud2
entry:
  out %eax, $0xe9
  mov %cs, %eax
  out %eax, $0xe9
  cmp $9, %ebx
  je 1f
  sysretq
1: mov $0x8000000000001000, %rcx
  mov $0x80000, %rsp
  sysretq                         # #GP in ring 0
  .org fast_calls + 0x200         # #GP
  mov 16(%rsp), %rax              # CS
  out %eax, $0xe9
  done
)");

TEST(LongMode, SyscallAndSysret) {
  GuestMachine machine;
  machine.start_long(fast_calls(), {{13, 0x200}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0x33, 8, 0x202, 8, 0x2b, 8, 8, 8, 8));
}

// Calls until they are translated: flags and registers that they carry, and the level that others see.
ALCOVE_GUEST(many_calls, R"(
  .code64
  mov $0xc0000080, %ecx           # EFER.SCE
  rdmsr
  or $1, %eax
  wrmsr
  mov $0xc0000081, %ecx           # STAR: kernel 0x08/0x10, user 0x20+16/0x20+8
  xor %eax, %eax
  mov $0x00200008, %edx
  wrmsr
  mov $0xc0000082, %ecx           # LSTAR
  lea many_entry(%rip), %rax
  xor %edx, %edx
  wrmsr
  mov $0xc0000084, %ecx           # SFMASK
  mov $0x47fd5, %eax
  xor %edx, %edx
  wrmsr
  lea many_user(%rip), %rcx
  mov $0x3002, %r11d              # IOPL 3, for ports
  mov $0x90000, %rsp
  xor %r12d, %r12d                # What is wrong.
  xor %r13d, %r13d                # Selectors that the kernel saw.
  mov $3000, %ebp
  sysretq
many_user:
  mov %ebp, %eax
  and $7, %eax
  add $0x7ffffffc, %eax           # Flags that differ.
  pushfq
  pop %r14
  lea many_back(%rip), %r15
  add $0, %rbx
  push %r14
  popfq
  syscall
many_back:
  pushfq
  pop %rdx
  xor %r14, %rdx                  # SYSRET brings all back.
  or %rdx, %r12
  mov %r11, %rdx
  xor %r14, %rdx                  # R11 has them, too.
  or %rdx, %r12
  mov %rcx, %rdx
  xor %r15, %rdx
  or %rdx, %r12
  mov %cs, %edx
  xor $0x33, %edx
  or %rdx, %r12
  mov %ss, %edx
  xor $0x2b, %edx
  or %rdx, %r12
  dec %ebp
  jnz many_user
  mov $0x600d, %eax
  test %r12, %r12
  jz 1f
  mov %r12d, %eax
1:out %eax, $0xe9
  mov %r13d, %eax
  out %eax, $0xe9
  hlt
many_entry:
  pushfq
  pop %rdx
  and $0x47fd5, %edx
  or %rdx, %r12
  mov %cs, %edx
  shl $16, %edx
  mov %ss, %r13d
  or %edx, %r13d
  test $0x3f, %ebp                # Now and then through the interpreter.
  jnz 1f
  sldt %edx
1:sysretq
  .org many_calls + 0x200         # #GP of the HLT
  mov 16(%rsp), %rax              # CS
  out %eax, $0xe9
  done
)");

TEST(LongMode, SyscallAndSysretManyTimes) {
  GuestMachine machine;
  machine.start_long(many_calls(), {{13, 0x200}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0x600d, 0x80010, 0x33));
}

// Nothing else is executed.
ALCOVE_GUEST(calls_for_ever, R"(
  .code64
  mov $0xc0000081, %ecx           # STAR: kernel 0x08/0x10, user 0x20+16/0x20+8
  xor %eax, %eax
  mov $0x00200008, %edx
  wrmsr
  mov $0xc0000082, %ecx           # LSTAR
  lea 2f(%rip), %rax
  xor %edx, %edx
  wrmsr
  mov $0xc0000084, %ecx           # SFMASK
  mov $0x47fd5, %eax
  wrmsr
  lea 1f(%rip), %rcx
  mov $2, %r11d
  sysretq
1:syscall
2:sub $2, %rcx
  sysretq
)");

TEST(LongMode, AKickEndsCallsForEver) {
  GuestMachine machine;
  machine.start_long(calls_for_ever());
  auto exit = std::async(std::launch::async, [&] { return machine.vm().vcpu(0).run(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  machine.vm().vcpu(0).kick();
  EXPECT_EQ(exit.get(), Exit::kicked);
}

// Jumps to where nothing can be fetched: R12 gets what CR2 has wrong, R13 the error codes.
ALCOVE_GUEST(fetch_faults, R"(
  .code64
  xor %r12d, %r12d
  xor %r13d, %r13d
  mov $300, %ebp
1:mov $0x40000123, %ebx           # not mapped
  mov %ebx, %ecx
  lea 2f(%rip), %r15
  jmp *%rcx
2:mov $0x40000000, %ebx           # An instruction that begins in the page before
  mov $0x3fffffff, %ecx
  lea 3f(%rip), %r15
  jmp *%rcx
3:dec %ebp
  jnz 1b
  mov %r12d, %eax
  out %eax, $0xe9
  mov %r13d, %eax
  out %eax, $0xe9
  done
  .org fetch_faults + 0x300
  pop %rax
  or %rax, %r13
  mov %cr2, %rax
  xor %rbx, %rax
  or %rax, %r12
  cmp %rcx, (%rsp)                # RIP is the instruction's.
  mov $0x55, %eax
  cmovne %rax, %r12
  mov %r15, (%rsp)
  iretq
)");

TEST(LongMode, FetchFaultsTellTheAddress) {
  GuestMachine machine;
  machine.start_long(fetch_faults(), {{14, 0x300}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0, 0x10));
}

ALCOVE_GUEST(refused, R"(
  .code64
  mov $0x00af9b000000ffff, %rax   # Code, but of the null selector
  mov %rax, 0x1000
  lea 1f(%rip), %rbx
  mov %rsp, %rbp
  pushq $0x10
  push %rbp
  pushq $2
  pushq $8
  push %rbx
  iretq
1:lea 2f(%rip), %r15
  pushq $0x10
  push %rbp
  pushq $2
  pushq $0
  push %rbx
  iretq
2:say $1
  lea 3f(%rip), %r15
  mov %cr3, %rax                  # CR4.PCIDE is off.
  bts $63, %rax
  mov %rax, %cr3
3:say $2
  done
  .org refused + 0x200            # #GP
  pop %rax
  out %eax, $0xe9
  mov %r15, (%rsp)
  iretq
)");

TEST(LongMode, NullCodeSegmentsAndReservedBitsOfCr3AreRefused) {
  GuestMachine machine;
  machine.start_long(refused(), {{13, 0x200}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0, 1, 0, 2));
}

// What each round writes into the instruction behind SERIALIZE, it executes: from decoded, then translated
// code.
ALCOVE_GUEST(serialized_changes, R"(
  .code64
  mov $1000, %ebp
  xor %r12d, %r12d
1:mov %ebp, 2f + 1(%rip)
  .byte 0x0f, 0x01, 0xe8          # SERIALIZE
2:mov $0, %eax
  xor %ebp, %eax
  or %eax, %r12d
  dec %ebp
  jnz 1b
  mov %r12d, %eax
  out %eax, $0xe9
  .byte 0x66, 0x0f, 0x01, 0xe8    # undefined with prefixes
  done
  .org serialized_changes + 0x100 # #UD
  addq $4, (%rsp)
  say $0x106
  iretq
)");

TEST(LongMode, SerializeComesBetweenAChangeOfCodeAndTheCode) {
  GuestMachine machine;
  machine.start_long(serialized_changes(), {{6, 0x100}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0, 0x106));
}

// Often enough that it is translated: whatever is wrong, or got lost, ends up in R12.
ALCOVE_GUEST(many_faults, R"(
  .code64
  mov $1000, %ebp
  xor %r12d, %r12d
  xor %r13d, %r13d
  xor %r14d, %r14d
  mov $0x40000123, %ebx           # not mapped
  pushq $0x2b
  pushq $0x90000
  pushq $0x202
  pushq $0x33
  lea 1f(%rip), %rax
  push %rax
  iretq
1:mov %ebp, %eax
  cmp %ebp, %eax
  mov %eax, (%rbx)
  setne %dl
  movzbl %dl, %edx
  or %rdx, %r12
  mov (%rbx), %ecx
  xor %ebp, %eax
  or %rax, %r12
  dec %ebp
  jnz 1b
  hlt
  .org many_faults + 0x200        # #GP of the HLT
  mov %r12d, %eax
  out %eax, $0xe9
  mov %r13d, %eax
  out %eax, $0xe9
  mov %r14d, %eax
  out %eax, $0xe9
  done
  .org many_faults + 0x300        # #PF
  pop %rdx
  add %edx, %r14d
  inc %r13d
  mov %cr2, %rdx
  xor %rbx, %rdx
  or %rdx, %r12
  mov 8(%rsp), %rdx               # CS
  xor $0x33, %rdx
  or %rdx, %r12
  mov 16(%rsp), %rdx              # RFLAGS: IF, and RF of a fault
  and $0x10200, %edx
  xor $0x10200, %edx
  or %rdx, %r12
  mov 24(%rsp), %rdx
  xor $0x90000, %rdx
  or %rdx, %r12
  mov 32(%rsp), %rdx              # SS
  xor $0x2b, %rdx
  or %rdx, %r12
  mov %ss, %edx
  or %rdx, %r12
  addq $2, (%rsp)
  iretq
)");

TEST(LongMode, FaultsAndReturnsManyTimes) {
  GuestMachine machine;
  machine.start_long(many_faults(), {{13, 0x200}, {14, 0x300}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0, 2000, 1000 * (6 + 4)));
}

ALCOVE_GUEST(last_fault, R"(
  .code64
  mov $100, %ebp
  mov $0x40000123, %ebx           # not mapped
1:mov %eax, (%rbx)
  jmp 1b
  .org last_fault + 0x300         # #PF
  dec %ebp
  jnz 1f
  push $0
  push $0
  lidt (%rsp)                     # That was the last.
  add $16, %rsp
1:add $8, %rsp
  addq $2, (%rsp)
  iretq
)");

TEST(LongMode, FaultOfTranslatedCodeThatCannotBeDeliveredShutsDown) {
  GuestMachine machine;
  machine.start_long(last_fault(), {{14, 0x300}});
  EXPECT_EQ(machine.run(), Exit::shutdown);
}

ALCOVE_GUEST(compatibility, R"(
  .code64
  pushq $0x18
  lea in_32(%rip), %rax
  push %rax
  lretq
  .code32
in_32:
  mov $0x10, %eax
  mov %ax, %ss
  mov %ax, %ds
  xor %eax, %eax
  dec %eax                        # 0x48: REX.W in 64-bit mode
  out %eax, $0xe9
  int $0x80                       # 64-bit handler, and back
  ljmp $0x08, $(in_64 - compatibility + 0x10000)
  .code64
in_64:
  mov $-1, %rax
  shr $60, %rax
  out %eax, $0xe9
  done
  .org compatibility + 0x100
  mov %rsp, %rcx
  mov 32(%rsp), %rax              # SS is pushed always.
  out %eax, $0xe9
  iretq
)");

TEST(LongMode, CompatibilityModeAndBack) {
  GuestMachine machine;
  machine.start_long(compatibility(), {{0x80, 0x100}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0xffffffff, 0x10, 15));
}

ALCOVE_GUEST(call_gate, R"(
  .code64
  pushq $0x2b
  pushq $0x90000
  pushq $0x3002                   # IOPL 3
  pushq $0x33
  lea gate_user(%rip), %rax
  push %rax
  iretq
gate_pointer:
  .long 0
  .word 0x5b
gate_user:
  lcall *gate_pointer(%rip)
  mov %cs, %eax
  out %eax, $0xe9
  done
  .org call_gate + 0x100
  mov %cs, %eax
  out %eax, $0xe9
  mov %rsp, %rax
  out %eax, $0xe9
  mov %ss, %eax
  out %eax, $0xe9
  lretq
)");

TEST(LongMode, CallGateToTheKernel) {
  GuestMachine machine;
  machine.start_long(call_gate());
  machine.set_descriptor(GuestMachine::kGate, 0x0001'ec00'0008'0100, 0);
  machine.store<uint64_t>(GuestMachine::kGdt + 0x60, 0);
  EXPECT_THAT(machine.run_to_end(), ElementsAre(8, GuestMachine::kStack - 32, 0, 0x33));
}

ALCOVE_GUEST(debugging, R"(
  .code64
  pushfq
  orq $0x100, (%rsp)
  popfq                           # Single steps begin behind the next instruction.
  nop
  nop
  pushfq
  andq $~0x100, (%rsp)
  popfq
  lea watched(%rip), %rax
  mov %rax, %dr0
  mov $0x000d0001, %eax           # writes of 4 bytes at DR0
  mov %rax, %dr7
  movl $5, watched(%rip)
  nop
  lea breakpoint(%rip), %rax
  mov %rax, %dr0
  mov $1, %eax
  mov %rax, %dr7
breakpoint:
  say $0x55
  done
watched: .long 0
  .org debugging + 0x200
  push %rax
  mov %dr6, %rax
  and $0x600f, %eax
  out %eax, $0xe9
  xor %eax, %eax
  mov %rax, %dr6
  mov 8(%rsp), %rax               # RIP
  sub $0x10000, %eax
  out %eax, $0xe9
  orl $0x10000, 24(%rsp)          # RF
  pop %rax
  iretq
)");

TEST(LongMode, SingleStepsAndBreakpoints) {
  GuestMachine machine;
  machine.start_long(debugging(), {{1, 0x200}});
  const std::vector<uint32_t> output = machine.run_to_end();
  ASSERT_EQ(output.size(), 15u);
  for (size_t i = 0; i < 10; i += 2) EXPECT_EQ(output[i], 0x4000u);
  EXPECT_EQ(output[1] + 1, output[3]);
  EXPECT_EQ(output[3] + 1, output[5]);
  EXPECT_EQ(output[10], 1u);
  EXPECT_EQ(output[12], 1u);
  EXPECT_EQ(output[14], 0x55u);
}

ALCOVE_GUEST(breakpoint_at_repetition, R"(
  .code64
  lea 1f(%rip), %rax
  mov %rax, %dr0
  mov $1, %eax
  mov %rax, %dr7
  mov $5, %ecx
  mov $0x5000, %edi
  mov $0x77, %al
1:rep stosb
  mov 0x5001, %eax
  out %eax, $0xe9
  done
  .org breakpoint_at_repetition + 0x200
  push %rax
  mov %ecx, %eax
  out %eax, $0xe9
  orl $0x10000, 24(%rsp)          # RF
  pop %rax
  iretq
)");

TEST(LongMode, ABreakpointAtARepetitionHitsOnce) {
  GuestMachine machine;
  machine.start_long(breakpoint_at_repetition(), {{1, 0x200}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(5, 0x77777777));
}

ALCOVE_GUEST(stepping_over_mov_ss, R"(
  .code64
  mov %ss, %ecx
  pushfq
  pop %rax
  mov %eax, %ebx
  or $0x100, %eax
  push %rax
  popfq
  mov %ecx, %ss                   # No step here, nor before the next instruction.
  nop
first:
  hlt                             # The step ends it.
second:
  push %rbx
  popfq
  done
  .org stepping_over_mov_ss + 0x100
  push %rax
  mov 8(%rsp), %rax
  sub $(first - stepping_over_mov_ss + 0x10000), %eax
  out %eax, $0xe9
  pop %rax
  iretq
)");

TEST(LongMode, MovSsHoldsSingleStepsBack) {
  GuestMachine machine;
  machine.start_long(stepping_over_mov_ss(), {{1, 0x100}});
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0, 1, 2, 3));
}

ALCOVE_GUEST(base_behind_null, R"(
  .code64
  mov $0x10, %eax
  mov %eax, %gs                   # Not for user code: IRET makes it null.
  mov $0xc0000101, %ecx
  mov $0x500, %eax
  xor %edx, %edx
  wrmsr
  movl $0x77, 0x508
  pushq $0x2b
  pushq $0x90000
  pushq $0x3002                   # IOPL 3
  pushq $0x33
  pushq $(base_behind_null_user - base_behind_null + 0x10000)
  iretq
base_behind_null_user:
  mov %gs, %eax
  out %eax, $0xe9
  mov %gs:8, %eax
  out %eax, $0xe9
  done
)");

TEST(LongMode, NullingASegmentKeepsItsBase) {
  GuestMachine machine;
  machine.start_long(base_behind_null());
  EXPECT_THAT(machine.run_to_end(), ElementsAre(0, 0x77));
}

}  // namespace
}  // namespace alcove::cpu::soft::testing
