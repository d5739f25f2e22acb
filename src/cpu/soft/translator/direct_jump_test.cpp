// Code for windows, which is made for where its page is: jumps to other pages, data relative to RIP.
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

struct DirectJumps : ::testing::Test {
  void SetUp() override {
    if (!engine.enable_translator()) GTEST_SKIP() << "this host can't run translated code";
    engine.open_windows();
    cpu.cpl = 3;
    make_tables(kTables, kBase);
    page_with(kTables);
  }
  void TearDown() override {
    if (!IsSkipped()) {
      EXPECT_TRUE(engine.engine().translator()->window()) << "they were to be tested";
    }
  }

  void put(uint64_t address, const std::vector<uint8_t>& bytes) { engine.write(address, bytes); }
  void put64(uint64_t address, uint64_t value) {
    engine.write(address, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }
  // Runs to the instruction that is none; AL.
  unsigned run(uint64_t rip) {
    cpu.rip = rip;
    cpu.gpr[rax] = 0;
    cpu.gpr[rsp] = 0x8000;
    const auto outcome = engine.run_translated();
    EXPECT_TRUE(outcome.fault);
    if (outcome.fault) {
      EXPECT_EQ(outcome.fault->vector, kInvalidOpcode);
    }
    return cpu.gpr[rax] & 0xff;
  }
  // One table of each level: the first 64 pages are at `pages`.
  void make_tables(uint64_t tables, uint64_t pages) {
    constexpr uint64_t kBits = kP | kW | kU;
    put64(tables, (tables + 0x1000) | kBits);
    put64(tables + 0x1000, (tables + 0x2000) | kBits);
    put64(tables + 0x2000, (tables + 0x3000) | kBits);
    for (uint64_t i = 0; i < 64; ++i) put64(tables + 0x3000 + i * 8, (pages + i * 0x1000) | kBits);
  }
  void map(uint64_t tables, uint64_t address, uint64_t physical) {
    put64(tables + 0x3000 + address / 0x1000 * 8, physical | kP | kW | kU);
  }
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

  FlatEngine engine{kBase, 0x40'0000};
  Cpu& cpu = engine.cpu();
};

TEST_F(DirectJumps, FollowTheMapping) {
  put(kBase + 0x2000, says(2));
  put(kBase + 0x1000, says(1));
  for (const auto& way : ways()) {
    put(kBase, way);
    for (int i = 0; i < 8; ++i) {
      const bool second = i % 2;
      map(kTables, 0x1000, kBase + (second ? 0x2000 : 0x1000));
      if (i < 4)
        flush_page(cpu, 0x1000);
      else
        flush_tlb(cpu, true);
      for (int again = 0; again < 3; ++again) EXPECT_EQ(run(0), second ? 2u : 1u);
    }
  }
}

TEST_F(DirectJumps, FollowChangesOfCode) {
  for (const auto& way : ways()) {
    put(kBase, way);
    for (uint8_t i = 0; i < 40; ++i) {  // More often than a jump is made direct.
      put(kBase + 0x1000, says(i));
      for (int again = 0; again < 3; ++again) EXPECT_EQ(run(0), i);
    }
  }
}

TEST_F(DirectJumps, AreOfOneAddressSpace) {
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
TEST_F(DirectJumps, PagesAreWhereTheyAreEntered) {
  put(kBase + 0x1000, says(1));
  put(kBase + 0x6000, says(2));
  put(kBase + 0x1100, {0x11});
  put(kBase + 0x6100, {0x22});
  map(kTables, 0x5000, kBase);
  flush_page(cpu, 0x5000);
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
TEST_F(DirectJumps, LeadToInstructionsInTwoPages) {
  put(kBase, {0xe9, 0xfa, 0x0f, 0, 0});
  put(kBase + 0xfff, {0xb0});
  put(kBase + 0x1000, {1, kEnd});
  put(kBase + 0x2000, {2, kEnd});
  for (int i = 0; i < 6; ++i) {
    map(kTables, 0x1000, kBase + (i % 2 ? 0x2000 : 0x1000));
    flush_page(cpu, 0x1000);
    for (int again = 0; again < 4; ++again) EXPECT_EQ(run(0), i % 2 ? 2u : 1u);
  }
  for (uint8_t i = 10; i < 40; ++i) {
    put(kBase + 0x2000, {i});
    for (int again = 0; again < 4; ++again) EXPECT_EQ(run(0), i);
  }
}

TEST_F(DirectJumps, ReturnsFollowTheMapping) {
  // call 0x2000; mov al, 1 (or 2 in another page); there: ret
  put(kBase, {0xe8, 0xfb, 0x1f, 0, 0, 0xb0, 1, kEnd});
  put(kBase + 0x3000, {0xe8, 0xfb, 0x1f, 0, 0, 0xb0, 2, kEnd});
  put(kBase + 0x2000, {0x90, 0xc3});
  for (int i = 0; i < 8; ++i) {
    map(kTables, 0, kBase + (i % 2 ? 0x3000 : 0));
    flush_page(cpu, 0);
    for (int again = 0; again < 3; ++again) EXPECT_EQ(run(0), i % 2 ? 2u : 1u);
  }
}

}  // namespace
}  // namespace alcove::cpu::soft::testing
