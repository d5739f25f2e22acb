// What windows and the view of the kernel's memory can't tell apart.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "cpu/soft/testing/flat_engine.h"
#include "cpu/soft/x86/engine_services.h"

namespace alcove::cpu::soft::testing {
namespace {

constexpr uint64_t kBase = 0x100'0000;
constexpr uint64_t kBits = 0x67;  // Present, writable, user's, accessed, dirty.
constexpr uint64_t kTables = kBase + 0x10'0000, kFrames = kBase + 0x20'0000;
constexpr uint64_t kPart = uint64_t{1} << 39;
constexpr uint8_t kEnd = 0x06;  // No instruction in 64-bit mode.

struct WindowParts : ::testing::Test {
  void SetUp() override {
    if (!engine.enable_translator()) GTEST_SKIP() << "this host can't run translated code";
    engine.open_windows();
    // mov [rbx], al; mov [rcx], dl; mov rsi, [rbx]; mov rdi, [rcx]
    engine.write(kBase,
                 std::vector<uint8_t>{0x88, 0x03, 0x88, 0x11, 0x48, 0x8b, 0x33, 0x48, 0x8b, 0x39, kEnd});
    engine.write(kBase + 0x20, std::vector<uint8_t>{0x90, kEnd});
    use_part(0, kBase);
    cpu.cr3 = kTables;
    cpu.cr0 |= 0x8001'0000;
    cpu.cr4 |= 0x80;
    switch_address_space(cpu, false);
  }
  void put64(uint64_t address, uint64_t value) {
    engine.write(address, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }
  // The part's first page is that of memory from now on.
  void use_part(unsigned part, uint64_t page) {
    const uint64_t tables = kTables + 0x1000 + tables_++ * 0x3000;
    put64(tables, (tables + 0x1000) | kBits);
    put64(tables + 0x1000, (tables + 0x2000) | kBits);
    put64(tables + 0x2000, page | kBits);
    put64(kTables + part * 8, tables | kBits);
  }
  // Stores to both addresses, often enough for all to be shown, and sees that each has its own.
  void expect_apart(uint64_t one, uint64_t other) {
    for (unsigned i = 0; i < 4; ++i) {
      cpu.gpr[rbx] = one;
      cpu.gpr[rcx] = other;
      cpu.gpr[rax] = 2 * i + 1;
      cpu.gpr[rdx] = 2 * i + 2;
      run(3, 0);
      run(0, 0x20);  // Programs earn their windows when they have left.
      EXPECT_EQ(cpu.gpr[rsi] & 0xff, 2 * i + 1);
      EXPECT_EQ(cpu.gpr[rdi] & 0xff, 2 * i + 2);
    }
  }
  void run(uint8_t cpl, uint64_t rip) {
    cpu.cpl = cpl;
    update_mode(cpu);
    cpu.rip = rip;
    const auto outcome = engine.run_translated();
    ASSERT_TRUE(outcome.fault);
    EXPECT_EQ(outcome.fault->vector, kInvalidOpcode);
  }
  bool has_window() { return engine.engine().translator()->window(); }

  FlatEngine engine{kBase, 0x40'0000};
  Cpu& cpu = engine.cpu();

 private:
  unsigned tables_ = 0;
};

TEST_F(WindowParts, AreShownTogetherWhereTheyAreApart) {
  use_part(1, kFrames);
  use_part(254, kFrames + 0x1000);
  expect_apart(kPart, 254 * kPart);
  EXPECT_TRUE(has_window());
}

TEST_F(WindowParts, WithTheSamePlacesAreNotShown) {
  use_part(1, kFrames);
  use_part(33, kFrames + 0x1000);
  expect_apart(kPart, 33 * kPart);
  EXPECT_FALSE(has_window());
}

TEST_F(WindowParts, ThatCollideTakeTheWindowAway) {
  use_part(3, kFrames);
  expect_apart(3 * kPart, 3 * kPart + 8);
  ASSERT_TRUE(has_window());
  use_part(5, kFrames + 0x1000);
  expect_apart(3 * kPart, 5 * kPart);
  EXPECT_TRUE(has_window());
  use_part(67, kFrames + 0x2000);
  expect_apart(3 * kPart, 67 * kPart);
  EXPECT_FALSE(has_window());
  put64(kTables + 3 * 8, 0);
  flush_tlb(cpu, true);
  expect_apart(5 * kPart, 67 * kPart);
  EXPECT_FALSE(has_window()) << "the one is beside the other's places";
  put64(kTables + 5 * 8, 0);
  flush_tlb(cpu, true);
  expect_apart(67 * kPart, 67 * kPart + 8);
  EXPECT_TRUE(has_window());
}

TEST_F(WindowParts, AreFew) {
  for (unsigned part = 1; part < Window::kMostParts; ++part) use_part(part, kFrames + part * 0x1000);
  expect_apart(kPart, 2 * kPart);
  EXPECT_TRUE(has_window());
  use_part(Window::kMostParts, kFrames);
  expect_apart(kPart, 2 * kPart);
  EXPECT_FALSE(has_window());
}

TEST_F(WindowParts, OfAnotherAddressSpaceTakeItsWindowAway) {
  use_part(1, kFrames);
  expect_apart(kPart, kPart + 8);
  ASSERT_TRUE(has_window());
  constexpr uint64_t kOther = kTables + 0x8'0000;
  put64(kOther, engine.engine().mmu().memory().memory().load<uint64_t>(kTables).value());
  cpu.cr3 = kOther;
  switch_address_space(cpu, false);
  use_part(33, kFrames + 0x1000);
  run(0, 0x20);
  cpu.cr3 = kTables;
  switch_address_space(cpu, false);
  EXPECT_FALSE(has_window());
  expect_apart(kPart, 33 * kPart);
}

// It is used for the first time by a read, of what seems to be shown.
TEST_F(WindowParts, OfTheKernelAreSeenInItsTables) {
  constexpr uint64_t kUpper = 0xffff'8080'0000'0000, kOther = kUpper + UpperView::kSize;
  const auto frame = [](unsigned number) { return kFrames + number * 0x1000; };
  engine.write(frame(0), std::vector<uint8_t>{0x48, 0x8b, 0x33, kEnd});  // mov rsi, [rbx]
  put64(frame(1), 1);
  put64(frame(2), 2);
  use_part(257, frame(0));
  put64(kTables + 0x6000 + 8, frame(1) | kBits);
  use_part(273, 0);
  const uint64_t part = kTables + 0x7000;
  put64(part, 0);
  put64(part + 0x2000 + 8, frame(2) | kBits);
  flush_tlb(cpu, true);
  const auto read = [&](uint64_t address) {
    cpu.gpr[rbx] = address;
    run(0, kUpper);
    return cpu.gpr[rsi];
  };
  for (int i = 0; i < 4; ++i) EXPECT_EQ(read(kUpper + 0x1000), 1u);
  if (!engine.engine().translator()->upper_view()) GTEST_SKIP() << "this host has no room for views";
  put64(part, (part + 0x1000) | kBits);
  EXPECT_EQ(read(kOther + 0x1000), 2u);
  EXPECT_EQ(read(kUpper + 0x1000), 1u);
  EXPECT_FALSE(engine.engine().translator()->upper_view());
}

}  // namespace
}  // namespace alcove::cpu::soft::testing
