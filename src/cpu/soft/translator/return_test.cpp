// Returns that lead elsewhere than calls suggest (mmu/return_stack.h), and those whose target is not what it
// was.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "cpu/soft/testing/flat_engine.h"
#include "cpu/soft/testing/guest_macros.h"
#include "cpu/soft/x86/engine_services.h"

namespace alcove::cpu::soft::testing {
namespace {

constexpr uint64_t kBase = 0x100'0000;
constexpr uint64_t kP = 1, kW = 2, kU = 4, kG = 0x100;
constexpr uint64_t kUpper = 0xffff'8000'0000'0000;
constexpr uint64_t kTables = kBase + 0x10'0000, kOtherTables = kTables + 0x1'0000;

// In each, 0x06 (no instruction in 64-bit mode) ends the run.
struct Returns : ::testing::Test {
  void SetUp() override {
    if (!engine.enable_translator()) GTEST_SKIP() << "this host can't run translated code";
  }

  void put64(uint64_t address, uint64_t value) {
    engine.write(address, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }
  void run(uint64_t rip) {
    cpu.rip = rip;
    const auto outcome = engine.run_translated();
    ASSERT_TRUE(outcome.fault);
    ASSERT_EQ(outcome.fault->vector, kInvalidOpcode) << std::hex << cpu.rip;
  }
  // The code at kBase, with a stack of its own, as often as translations need to be linked, and then some.
  void run_often(std::span<const uint8_t> code, const std::function<void()>& check) {
    engine.write(kBase, code);
    for (const uint8_t cpl : {0, 3}) {
      cpu.cpl = cpl;
      update_mode(cpu);
      for (int i = 0; i < 5; ++i) {
        cpu.gpr[rax] = cpu.gpr[rbx] = cpu.gpr[rcx] = 0;
        cpu.gpr[rsp] = kBase + 0x20'0000;
        run(kBase);
        check();
      }
    }
  }
  // One table of each level: the first 64 pages of both halves are at `pages`.
  void make_tables(uint64_t tables, uint64_t pages) {
    constexpr uint64_t kBits = kP | kW | kU;
    put64(tables, (tables + 0x1000) | kBits);
    put64(tables + 256 * 8, (tables + 0x1000) | kBits);
    put64(tables + 0x1000, (tables + 0x2000) | kBits);
    put64(tables + 0x2000, (tables + 0x3000) | kBits);
    for (uint64_t i = 0; i < 64; ++i) put64(tables + 0x3000 + i * 8, (pages + i * 0x1000) | kBits);
  }
  void page_with(uint64_t tables) {
    cpu.cr3 = tables;
    cpu.cr0 |= 0x8001'0000;
    cpu.cr4 |= 0x80;
    switch_address_space(cpu, false);
    update_mode(cpu);
  }

  FlatEngine engine{kBase, 0x40'0000};
  Cpu& cpu = engine.cpu();
};

// Each way back is another one than the call's.
ALCOVE_GUEST(elsewhere, R"(
  mov $1000, %ecx
1:
  call 5f
  add $1, %rax                    # Never
2:
  add $0x100, %rax
  call 6f
  add $2, %rax                    # Never
  .skip 0x1000
3:
  add $0x10000, %rax
  dec %ecx
  jnz 1b
  .byte 0x06
  .skip 0x1000
5:
  lea 2b(%rip), %rdx
  mov %rdx, (%rsp)
  ret
6:
  lea 3b(%rip), %rdx
  push %rdx
  ret $8
)");

TEST_F(Returns, LeadWhereTheStackSays) {
  run_often(elsewhere(), [&] {
    EXPECT_EQ(cpu.gpr[rax], 1000u * 0x10100);
    EXPECT_EQ(cpu.gpr[rsp], kBase + 0x20'0000);
  });
}

// Frames are left without returns, and entered without calls.
ALCOVE_GUEST(long_jumps, R"(
  mov $1000, %ecx
1:
  call 2f
  add $1, %rax
  dec %ecx
  jnz 1b
  .byte 0x06
2:
  mov %rsp, %rbx
  call 3f
  add $0x100, %rax                # Never
  ret
3:
  call 4f
  add $0x1000, %rax               # Never
4:
  test $1, %ecx
  jz 5f
  mov %rbx, %rsp
  ret
5:
  mov %rbx, %rsp
  lea 6f(%rip), %rdx
  push %rdx
  ret
6:
  add $0x10000, %rax
  ret
)");

TEST_F(Returns, AreRightAfterLongJumps) {
  run_often(long_jumps(), [&] { EXPECT_EQ(cpu.gpr[rax], 1000u + 500 * 0x10000); });
}

// 10,000 calls within each other, in different pages, time and again.
ALCOVE_GUEST(recursion, R"(
  mov $4, %ebx
1:
  mov $10000, %ecx
  call 2f
  add $0x10000000, %rax
  dec %ebx
  jnz 1b
  .byte 0x06
2:
  dec %ecx
  jz 3f
  call 4f
  add $1, %rax
3:
  ret
  .skip 0x1000
4:
  dec %ecx
  jz 5f
  call 2b
  add $1, %rax
5:
  ret
)");

TEST_F(Returns, ComeBackFromDeepRecursion) {
  run_often(recursion(), [&] {
    EXPECT_EQ(cpu.gpr[rax], 4u * (9999 + 0x10000000));
    EXPECT_EQ(cpu.gpr[rsp], kBase + 0x20'0000);
  });
}

// Calls that are never returned from, far more than there is room for.
ALCOVE_GUEST(no_returns, R"(
  mov $20000, %ecx
1:
  call 2f
2:
  pop %rdx
  add $1, %rax
  call 3f
  dec %ecx
  jnz 1b
  .byte 0x06
3:
  ret
)");

TEST_F(Returns, AreRightBesideCallsWithoutAny) {
  run_often(no_returns(), [&] { EXPECT_EQ(cpu.gpr[rax], 20000u); });
}

// Two stacks that hand over to each other from different depths.
ALCOVE_GUEST(stacks, R"(
  lea -0x8000(%rsp), %rbx
  lea 5f(%rip), %rdx
  sub $8, %rbx
  mov %rdx, (%rbx)
  mov $1000, %ecx
1:
  call 2f
  dec %ecx
  jnz 1b
  .byte 0x06
2:
  call 3f
  add $1, %rax
  ret
3:
  xchg %rsp, %rbx
  ret
4:
  call 3b
  add $0x10000, %rax
  ret
5:
  call 4b
  jmp 5b
)");

TEST_F(Returns, FollowTheStack) {
  run_often(stacks(), [&] { EXPECT_EQ(cpu.gpr[rax], 1000u + 999 * 0x10000); });
}

// What is called changes what it returns to: the operand of an ADD. From another page and from the same.
ALCOVE_GUEST(changes, R"(
1:
  call 3f
2:
  add $1, %rax
  call 4f
5:
  add $2, %rax
  .byte 0x06
4:
  incb 5b+3(%rip)
  ret
  .skip 0x1000
3:
  incb 2b+3(%rip)
  ret
)");

TEST_F(Returns, FindCodeThatHasChangedMeanwhile) {
  unsigned expected = 1 + 2;
  bool first_level = true;
  run_often(changes(), [&] {
    if (first_level || expected != 0) expected += 2;
    EXPECT_EQ(cpu.gpr[rax], expected);
    first_level = false;
  });
}

// What is called maps another page where it returns to.
ALCOVE_GUEST(maps_another, R"(
  call 0x1000+maps_another
  mov $1, %al
  .byte 0x06
  .skip 0xff0
  .org maps_another + 0x1000
  mov %rbx, (%rsi)
  invlpg (%rdi)
  ret
  .org maps_another + 0x2000
  .skip 5
  mov $2, %al
  .byte 0x06
)");

TEST_F(Returns, FindThePageThatIsMappedNow) {
  engine.write(kBase, maps_another());
  make_tables(kTables, kBase);
  put64(kTables + 0x3000 + 0x30 * 8, (kTables + 0x3000) | kP | kW);
  page_with(kTables);
  for (const uint64_t half : {uint64_t{0}, kUpper}) {
    for (int i = 0; i < 6; ++i) {
      for (const uint64_t page : {kBase + 0x2000, kBase}) {
        put64(kTables + 0x3000, kBase | kP | kW | kG);
        flush_page(cpu, half);
        cpu.gpr[rax] = 0;
        cpu.gpr[rbx] = page | kP | kW | kG;
        cpu.gpr[rsi] = half + 0x3'0000;
        cpu.gpr[rdi] = half;
        cpu.gpr[rsp] = half + 0x8000;
        run(half);
        EXPECT_EQ(cpu.gpr[rax], page == kBase ? 1u : 2u) << std::hex << half;
      }
    }
  }
}

// What is called changes the address space and is itself in both.
ALCOVE_GUEST(switches_space, R"(
  call 0x1000+switches_space
  mov $1, %al
  .byte 0x06
  .org switches_space + 0x1000
  mov %rbx, %cr3
  call 1f
  ret
1:
  ret
)");
ALCOVE_GUEST(in_the_other_space, R"(
  call 0x1000+in_the_other_space
  mov $2, %al
  .byte 0x06
)");

TEST_F(Returns, FindThePresentAddressSpacesCode) {
  make_tables(kTables, kBase);
  make_tables(kOtherTables, kBase + 0x4'0000);
  for (const bool pcid : {false, true}) {
    for (const uint64_t half : {uint64_t{0}, kUpper}) {
      engine.write(kBase, switches_space());
      engine.write(kBase + 0x4'0000, switches_space());
      engine.write(kBase + 0x4'0000, in_the_other_space());
      cpu.cr4 = pcid ? cpu.cr4 | 0x2'0000 : cpu.cr4 & ~uint64_t{0x2'0000};
      page_with(kTables);
      const uint64_t keep = pcid ? uint64_t{1} << 63 : 0;
      for (int i = 0; i < 12; ++i) {
        const bool other = i % 3 != 0;
        const uint64_t target = other ? kOtherTables | (pcid ? 1 : 0) : kTables;
        cpu.gpr[rax] = 0;
        cpu.gpr[rbx] = target | keep;
        cpu.gpr[rsp] = half + 0x8000;
        run(half);
        EXPECT_EQ(cpu.gpr[rax], other ? 2u : 1u);
      }
    }
  }
}

// A call that user code waits for to come back from is no way into user code for the kernel, nor the reverse.
ALCOVE_GUEST(two_levels, R"(
  call 0x1000+two_levels
  mov %cr3, %rax
  .byte 0x06
  .org two_levels + 0x1000
  .byte 0x06
  ret
)");

TEST_F(Returns, OfOneLevelAreNotTheOthers) {
  engine.write(kBase, two_levels());
  make_tables(kTables, kBase);
  page_with(kTables);
  const auto at_level = [&](uint8_t cpl, uint64_t rip) {
    cpu.cpl = cpl;
    update_mode(cpu);
    cpu.rip = rip;
    const auto outcome = engine.run_translated();
    EXPECT_TRUE(outcome.fault);
    return outcome.fault ? outcome.fault->vector : 0u;
  };
  for (int i = 0; i < 6; ++i) {
    for (const uint8_t caller : {0, 3}) {
      cpu.gpr[rsp] = 0x8000;
      EXPECT_EQ(at_level(caller, 0), kInvalidOpcode);
      EXPECT_EQ(cpu.rip, 0x1000u);
      const uint8_t other = 3 - caller;
      EXPECT_EQ(at_level(other, 0x1001), other == 0 ? kInvalidOpcode : kGeneralProtection);
      EXPECT_EQ(cpu.rip, other == 0 ? 8u : 5u);
    }
  }
}

// The address is not canonical: the RET faults itself.
ALCOVE_GUEST(not_canonical, R"(
  mov $1, %r12d
  shl $60, %r12
  call 1f
  .byte 0x06
1:
  mov %r12, (%rsp)
  ret $16
)");

TEST_F(Returns, FaultThemselvesIfTheAddressIsNotCanonical) {
  engine.write(kBase, not_canonical());
  make_tables(kTables, kBase);
  page_with(kTables);
  for (int i = 0; i < 4; ++i) {
    cpu.rip = 0;
    cpu.gpr[rsp] = 0x8000;
    const auto outcome = engine.run_translated();
    ASSERT_TRUE(outcome.fault);
    EXPECT_EQ(outcome.fault->vector, kGeneralProtection);
    EXPECT_EQ(cpu.rip, not_canonical().size() - 3);
    EXPECT_EQ(cpu.gpr[rsp], 0x7ff8u);
  }
}

// With windows, too, which have jump caches of their own.
TEST_F(Returns, AreRightInWindows) {
  engine.open_windows();
  run_often(recursion(), [&] { EXPECT_EQ(cpu.gpr[rax], 4u * (9999 + 0x10000000)); });
  run_often(long_jumps(), [&] { EXPECT_EQ(cpu.gpr[rax], 1000u + 500 * 0x10000); });
  run_often(elsewhere(), [&] { EXPECT_EQ(cpu.gpr[rax], 1000u * 0x10100); });
}

}  // namespace
}  // namespace alcove::cpu::soft::testing
