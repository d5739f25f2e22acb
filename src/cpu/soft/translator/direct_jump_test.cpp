// Code that is made for where its page is, for windows and the kernel's: jumps to other pages, data relative
// to RIP.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "cpu/soft/testing/flat_engine.h"
#include "cpu/soft/x86/engine_services.h"

namespace alcove::cpu::soft::testing {
namespace {

constexpr uint64_t kBase = 0x100'0000;
constexpr uint64_t kP = 1, kW = 2, kU = 4;
constexpr uint64_t kTables = kBase + 0x10'0000;
constexpr uint64_t kPcide = 1 << 17;
constexpr uint8_t kEnd = 0x06;  // No instruction in 64-bit mode.

constexpr uint64_t kUpper = 0xffff'8000'0000'0000;

// By whether of the kernel, in the upper half; otherwise of CPL 3, for a window. Addresses count from there.
struct DirectJumps : ::testing::TestWithParam<bool> {
  void SetUp() override {
    if (!engine.enable_translator()) GTEST_SKIP() << "this host can't run translated code";
    engine.open_windows();
    cpu.cpl = of_kernel ? 0 : 3;
    make_tables(kTables, kBase);
    page_with(kTables);
  }
  void TearDown() override {
    if (!IsSkipped() && !of_kernel) {
      EXPECT_TRUE(engine.engine().translator()->window()) << "they were to be tested";
    }
  }

  void put(uint64_t address, const std::vector<uint8_t>& bytes) { engine.write(address, bytes); }
  void put64(uint64_t address, uint64_t value) {
    engine.write(address, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }
  // Runs to the instruction that is none; AL.
  unsigned run(uint64_t rip) {
    cpu.rip = origin + rip;
    cpu.gpr[rax] = 0;
    cpu.gpr[rsp] = origin + 0x8000;
    const auto outcome = engine.run_translated();
    EXPECT_TRUE(outcome.fault);
    if (outcome.fault) {
      EXPECT_EQ(outcome.fault->vector, kInvalidOpcode);
    }
    return cpu.gpr[rax] & 0xff;
  }
  // One table of each level: the first 64 pages are at `pages`.
  void make_tables(uint64_t tables, uint64_t pages) {
    const uint64_t bits = user_bits();
    put64(tables + (of_kernel ? 256 * 8 : 0), (tables + 0x1000) | bits);
    put64(tables + 0x1000, (tables + 0x2000) | bits);
    put64(tables + 0x2000, (tables + 0x3000) | bits);
    for (uint64_t i = 0; i < 64; ++i) put64(tables + 0x3000 + i * 8, (pages + i * 0x1000) | bits);
  }
  void map(uint64_t tables, uint64_t address, uint64_t physical) {
    put64(tables + 0x3000 + address / 0x1000 * 8, physical | user_bits());
  }
  void flush(uint64_t address) { flush_page(cpu, origin + address); }
  uint64_t user_bits() const { return of_kernel ? kP | kW : kP | kW | kU; }
  void page_with(uint64_t cr3) {
    cpu.cr3 = cr3 & ~(uint64_t{1} << 63);
    cpu.cr0 |= 0x8001'0000;
    cpu.cr4 |= 0x80;
    switch_address_space(cpu, cr3 >> 63);
    update_mode(cpu);
  }
  // At 0: a jump, a conditional jump, or a call of what is at 0x1000; that says which it is.
  std::vector<std::vector<uint8_t>> ways() const {
    return {{0xe9, 0xfb, 0x0f, 0, 0}, {0x38, 0xc0, 0x0f, 0x84, 0xf8, 0x0f, 0, 0}, {0xe8, 0xfb, 0x0f, 0, 0}};
  }
  static std::vector<uint8_t> says(uint8_t number) { return {0xb0, number, kEnd}; }

  const bool of_kernel = GetParam();
  const uint64_t origin = of_kernel ? kUpper : 0;
  FlatEngine engine{kBase, 0x40'0000};
  Cpu& cpu = engine.cpu();
};

INSTANTIATE_TEST_SUITE_P(OfWindows, DirectJumps, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(OfTheKernel, DirectJumps, ::testing::Values(true));

TEST_P(DirectJumps, FollowTheMapping) {
  put(kBase + 0x2000, says(2));
  put(kBase + 0x1000, says(1));
  for (const auto& way : ways()) {
    put(kBase, way);
    for (int i = 0; i < 8; ++i) {
      const bool second = i % 2;
      map(kTables, 0x1000, kBase + (second ? 0x2000 : 0x1000));
      if (i < 4)
        flush(0x1000);
      else
        flush_tlb(cpu, true);
      for (int again = 0; again < 3; ++again) EXPECT_EQ(run(0), second ? 2u : 1u);
    }
  }
}

TEST_P(DirectJumps, FollowChangesOfCode) {
  for (const auto& way : ways()) {
    put(kBase, way);
    for (uint8_t i = 0; i < 40; ++i) {  // More often than a jump is made direct.
      put(kBase + 0x1000, says(i));
      for (int again = 0; again < 3; ++again) EXPECT_EQ(run(0), i);
    }
  }
}

TEST_P(DirectJumps, AreOfOneAddressSpace) {
  // More address spaces than there are windows. The caller's page is the same in all.
  constexpr unsigned kSpaces = 5;
  for (const bool pcid : {false, true}) {
    cpu.cr4 = pcid ? cpu.cr4 | kPcide : cpu.cr4 & ~kPcide;
    for (unsigned i = 0; i < kSpaces; ++i) {
      const uint64_t tables = kTables + i * 0x1'0000;
      make_tables(tables, kBase);
      map(tables, 0x1000, kBase + 0x1'0000 + i * 0x1000);
      put(kBase + 0x1'0000 + i * 0x1000, says(static_cast<uint8_t>(i + 1)));
    }
    for (const auto& way : ways()) {
      put(kBase, way);
      for (unsigned i = 0; i < 4 * kSpaces; ++i) {
        const unsigned space = i * 3 % kSpaces;
        page_with((kTables + space * 0x1'0000) | (pcid ? (space + 1) | uint64_t{1} << 63 : 0));
        for (int again = 0; again < 4; ++again) EXPECT_EQ(run(0), space + 1);
      }
    }
  }
  page_with(kTables);
  run(0);
  run(0);
}

// The same page at two places, where different ones follow: each is right however often they take turns.
TEST_P(DirectJumps, PagesAreWhereTheyAreEntered) {
  put(kBase + 0x1000, says(1));
  put(kBase + 0x6000, says(2));
  put(kBase + 0x1100, {0x11});
  put(kBase + 0x6100, {0x22});
  map(kTables, 0x5000, kBase);
  flush(0x5000);
  for (const auto& way : ways()) {
    std::vector<uint8_t> code{0x8a, 0x0d, 0xfa, 0x10, 0, 0};  // mov cl, [rip + 0x10fa]
    auto jump = way;
    jump[jump.size() - 4] = static_cast<uint8_t>(jump[jump.size() - 4] - 6);
    code.insert(code.end(), jump.begin(), jump.end());
    put(kBase, code);
    for (int i = 0; i < 24; ++i) {
      const bool second = i / (i < 12 ? 1 : 3) % 2;
      EXPECT_EQ(run(second ? 0x5000 : 0), second ? 2u : 1u);
      EXPECT_EQ(cpu.gpr[rcx] & 0xff, second ? 0x22u : 0x11u);
    }
  }
}

// jmp to the last byte of the page, where an instruction begins that ends in the next one.
TEST_P(DirectJumps, LeadToInstructionsInTwoPages) {
  put(kBase, {0xe9, 0xfa, 0x0f, 0, 0});
  put(kBase + 0xfff, {0xb0});
  put(kBase + 0x1000, {1, kEnd});
  put(kBase + 0x2000, {2, kEnd});
  for (int i = 0; i < 6; ++i) {
    map(kTables, 0x1000, kBase + (i % 2 ? 0x2000 : 0x1000));
    flush(0x1000);
    for (int again = 0; again < 4; ++again) EXPECT_EQ(run(0), i % 2 ? 2u : 1u);
  }
  for (uint8_t i = 10; i < 40; ++i) {
    put(kBase + 0x2000, {i});
    for (int again = 0; again < 4; ++again) EXPECT_EQ(run(0), i);
  }
}

TEST_P(DirectJumps, ReturnsFollowTheMapping) {
  // call 0x2000; mov al, 1 (or 2 in another page); there: ret
  put(kBase, {0xe8, 0xfb, 0x1f, 0, 0, 0xb0, 1, kEnd});
  put(kBase + 0x3000, {0xe8, 0xfb, 0x1f, 0, 0, 0xb0, 2, kEnd});
  put(kBase + 0x2000, {0x90, 0xc3});
  for (int i = 0; i < 8; ++i) {
    map(kTables, 0, kBase + (i % 2 ? 0x3000 : 0));
    flush(0);
    for (int again = 0; again < 3; ++again) EXPECT_EQ(run(0), i % 2 ? 2u : 1u);
  }
}

// The same page at more and more places: it is translated for any in the end.
TEST_P(DirectJumps, ReturnsOfPagesThatMoveOften) {
  put(kBase, {0xe8, 0xfb, 0x1f, 0, 0, 0xb0, 1, kEnd});  // call what is 0x2000 further on; mov al, 1
  for (const uint64_t page : {0x2000, 0x8000, 0x9000, 0xa000}) put(kBase + page, {0x90, 0xc3});  // nop; ret
  for (int i = 0; i < 40; ++i) {
    const uint64_t place = 0x1000 * static_cast<uint64_t>(i % 4);
    for (const uint64_t page : {place, place + 0x2000}) {
      map(kTables, page, kBase + (page == place ? 0 : 0x2000));
      flush(page);
    }
    for (int again = 0; again < 3; ++again) EXPECT_EQ(run(place), 1u) << i;
  }
}

}  // namespace
}  // namespace alcove::cpu::soft::testing
