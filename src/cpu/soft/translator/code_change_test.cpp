// Translated code whose bytes, place or permission to run change, and what stops it.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

#include "cpu/soft/engine_attention.h"
#include "cpu/soft/testing/flat_engine.h"
#include "cpu/soft/x86/engine_services.h"

namespace alcove::cpu::soft::testing {
namespace {

constexpr uint64_t kBase = 0x100'0000;
constexpr uint64_t kP = 1, kW = 2, kU = 4, kG = 0x100;
constexpr uint64_t kUpper = 0xffff'8000'0000'0000;
constexpr uint64_t kTables = kBase + 0x10'0000, kOtherTables = kTables + 0x1'0000;
constexpr uint8_t kEnd = 0x06;  // No instruction in 64-bit mode.

struct CodeChange : ::testing::Test {
  void SetUp() override {
    if (!engine.enable_translator()) GTEST_SKIP() << "this host can't run translated code";
  }

  void put(uint64_t address, const std::vector<uint8_t>& bytes) { engine.write(address, bytes); }
  void put64(uint64_t address, uint64_t value) {
    std::vector<uint8_t> bytes(8);
    std::memcpy(bytes.data(), &value, 8);
    put(address, bytes);
  }
  // Runs to the instruction that is none; where that was.
  uint64_t run(uint64_t rip) {
    cpu.rip = rip;
    const auto outcome = engine.run_translated();
    EXPECT_TRUE(outcome.fault);
    if (outcome.fault) {
      EXPECT_EQ(outcome.fault->vector, kInvalidOpcode);
    }
    return cpu.rip;
  }
  // One table of each level: the first 2 MiB of both halves are at `pages`, page by page.
  void make_tables(uint64_t tables, uint64_t pages, uint64_t bits) {
    put64(tables, (tables + 0x1000) | kP | kW | kU);
    put64(tables + 256 * 8, (tables + 0x1000) | kP | kW | kU);
    put64(tables + 0x1000, (tables + 0x2000) | kP | kW | kU);
    put64(tables + 0x2000, (tables + 0x3000) | kP | kW | kU);
    for (uint64_t i = 0; i < 64; ++i) put64(tables + 0x3000 + i * 8, (pages + i * 0x1000) | bits);
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

TEST_F(CodeChange, OfTheFollowingInstruction) {
  // mov byte [rip + 1], 0x42; mov al, 1 (its operand is what changes)
  const std::vector<uint8_t> code{0xc6, 0x05, 0x01, 0, 0, 0, 0x42, 0xb0, 0x01, kEnd};
  put(kBase, code);
  for (int i = 0; i < 3; ++i) {
    cpu.gpr[rax] = 0;
    EXPECT_EQ(run(kBase), kBase + 9);
    EXPECT_EQ(cpu.gpr[rax], 0x42u);
    put(kBase, code);
  }
}

TEST_F(CodeChange, OverAndOverBesideData) {
  constexpr uint64_t kChanged = kBase + 0x1000, kData = kBase + 0x1800;
  // mov [kChanged + 1], cl; jmp kChanged
  put(kBase, {0x88, 0x0d, 0xfb, 0x0f, 0, 0, 0xe9, 0xf5, 0x0f, 0, 0});
  // mov al, 0; mov [kData], rbx
  put(kChanged, {0xb0, 0, 0x48, 0x89, 0x1d, 0xf7, 0x07, 0, 0, kEnd});
  uint64_t count = 0;
  const auto run_from = [&](uint64_t place) {
    cpu.gpr[rbx] = ++count;
    cpu.gpr[rax] = 0;
    EXPECT_EQ(run(place), kChanged + 9);
    uint64_t data = 0;
    std::memcpy(&data, &engine.memory()[kData - kBase], sizeof data);
    EXPECT_EQ(data, count);
  };
  for (unsigned round = 0; round < 3; ++round) {
    for (uint64_t i = 0; i < 100; ++i) {
      cpu.gpr[rcx] = i + round;
      run_from(kBase);
      EXPECT_EQ(cpu.gpr[rax], i + round);
    }
    // So often that it is taken to be data again.
    for (int i = 0; i < 600; ++i) {
      run_from(kChanged);
      EXPECT_EQ(cpu.gpr[rax], 99 + round);
    }
  }
}

TEST_F(CodeChange, ByPushAndCall) {
  // push rax; nop...: the pushed bytes are the code that follows.
  cpu.gpr[rax] = 0x0606060606'42b0'90;  // nop; mov al, 0x42; end
  put(kBase, {0x50, 0xb0, 0x01, 0xb0, 0x02, 0xb0, 0x03, 0xb0, 0x04, kEnd});
  cpu.gpr[rsp] = kBase + 9;
  EXPECT_EQ(run(kBase), kBase + 4);
  EXPECT_EQ(cpu.gpr[rax] & 0xff, 0x42u);
  // A call whose return address overwrites its target.
  put(kBase + 0x100, {0xe8, 0x0b, 0, 0, 0});
  put(kBase + 0x110, {0xb0, 0x11, 0xb0, 0x12, 0xb0, 0x13, 0xb0, 0x14, kEnd});
  put(kBase + 0x119, std::vector<uint8_t>(32, kEnd));
  cpu.gpr[rsp] = kBase + 0x118;
  cpu.rip = kBase + 0x100;
  const auto outcome = engine.run_translated();  // 05 01 00 01: add eax, 0x10001 and so on, somewhere.
  EXPECT_TRUE(outcome.fault);
  EXPECT_EQ(engine.memory()[0x110], std::byte{0x05});
  EXPECT_NE(cpu.gpr[rax] & 0xff, 0x11u);
}

TEST_F(CodeChange, OfOtherPagesAndByDevices) {
  const uint64_t other = kBase + 0x3000;
  put(other, {0xb0, 0x00, 0xc3});               // mov al, 0; ret
  put(kBase, {0xe8, 0xfb, 0x2f, 0, 0, kEnd});   // call other
  put(kBase + 0x40, {0x88, 0x0b, 0xeb, 0xbc});  // mov [rbx], cl; jmp to the call
  for (uint8_t i = 0; i < 20; ++i) {
    run(kBase);
    EXPECT_EQ(cpu.gpr[rax] & 0xff, i);
    cpu.gpr[rbx] = other + 1;
    cpu.gpr[rcx] = i + 100u;
    EXPECT_EQ(run(kBase + 0x40), kBase + 5);
    EXPECT_EQ(cpu.gpr[rax] & 0xff, i + 100u);
    put(other + 1, {static_cast<uint8_t>(i + 1)});
  }
}

TEST_F(CodeChange, DataBesideCodeIsFree) {
  // A counter in the same page as the loop: add dword [rip + 0x3f6], 1; dec ecx; jnz
  put(kBase, {0x83, 0x05, 0xf9, 0x03, 0, 0, 0x01, 0xff, 0xc9, 0x75, 0xf5, kEnd});
  cpu.gpr[rcx] = 1000;
  EXPECT_EQ(run(kBase), kBase + 11);
  uint32_t count;
  std::memcpy(&count, engine.memory().data() + 0x400, sizeof count);
  EXPECT_EQ(count, 1000u);
}

TEST_F(CodeChange, AnotherAddressSpaceHasOtherCodeAtTheSamePlace) {
  // Supervisor code of the lower half, reached by jumps that are remembered by their address.
  put(kBase, {0x68, 0x00, 0x10, 0, 0, 0xc3});  // push 0x1000; ret
  put(kBase + 0x1000, {0xb0, 0x01, kEnd});     // mov al, 1
  put(kBase + 0x4'0000, {0x68, 0x00, 0x10, 0, 0, 0xc3});
  put(kBase + 0x4'1000, {0xb0, 0x02, kEnd});
  make_tables(kTables, kBase, kP | kW | kU);
  make_tables(kOtherTables, kBase + 0x4'0000, kP | kW | kU);
  cpu.gpr[rsp] = 0x8000;
  for (const uint8_t cpl : {0, 3}) {
    cpu.cpl = cpl;
    for (int i = 0; i < 6; ++i) {
      page_with(i % 2 ? kOtherTables : kTables);
      for (int again = 0; again < 3; ++again) {
        EXPECT_EQ(run(0), 0x1002u);
        EXPECT_EQ(cpu.gpr[rax] & 0xff, i % 2 ? 2u : 1u) << "CPL " << int{cpl};
        EXPECT_EQ(run(kUpper), 0x1002u);
      }
    }
  }
}

// What was run in one address space is found by its physical address in the others.
TEST_F(CodeChange, AnotherAddressSpaceRunsTheSamePages) {
  const auto returns = [&](uint64_t at, uint8_t value) { put(at, {0xb0, value, kEnd}); };  // mov al, value
  put(kBase, {0xff, 0xe3});                                                                // jmp rbx
  for (const uint64_t page : {0x1000, 0x2000})
    for (uint8_t i = 0; i < 4; ++i) returns(kBase + page + i * 0x40u, static_cast<uint8_t>(page >> 8 | i));
  make_tables(kTables, kBase, kP | kW | kU);
  make_tables(kOtherTables, kBase, kP | kW | kU);
  const auto expect = [&](uint64_t address, uint8_t value) {
    cpu.gpr[rbx] = address;
    EXPECT_EQ(run(0), address + 2);
    EXPECT_EQ(cpu.gpr[rax] & 0xff, value) << std::hex << address;
  };
  const auto expect_all = [&](uint64_t page, uint64_t holds) {
    for (uint8_t i = 0; i < 4; ++i) expect(page + i * 0x40u, static_cast<uint8_t>(holds >> 8 | i));
  };
  for (const uint8_t cpl : {0, 3}) {
    cpu.cpl = cpl;
    for (int again = 0; again < 3; ++again) {
      page_with(kTables);
      expect_all(0x1000, 0x1000);
      expect_all(0x2000, 0x2000);
    }
    page_with(kOtherTables);
    expect_all(0x1000, 0x1000);
    // Other code at the same place,
    returns(kBase + 0x1080, 0x55);
    expect(0x1080, 0x55);
    returns(kBase + 0x1080, 0x12);
    expect(0x1080, 0x12);
    // and the other page's.
    put64(kOtherTables + 0x3000 + 8, (kBase + 0x2000) | kP | kW | kU);
    flush_page(cpu, 0x1000);
    expect_all(0x1000, 0x2000);
    put64(kOtherTables + 0x3000 + 8, (kBase + 0x1000) | kP | kW | kU);
    flush_page(cpu, 0x1000);
    expect_all(0x1000, 0x1000);
  }
}

TEST_F(CodeChange, APageIsMappedElsewhereAfterInvlpg) {
  put(kBase, {0x68, 0x00, 0x10, 0, 0, 0xc3});
  put(kBase + 0x1000, {0xb0, 0x01, kEnd});
  put(kBase + 0x2000, {0xb0, 0x02, kEnd});
  make_tables(kTables, kBase, kP | kW | kU | kG);
  page_with(kTables);
  cpu.gpr[rsp] = 0x8000;
  for (int i = 0; i < 6; ++i) {
    put64(kTables + 0x3000 + 8, (kBase + (i % 2 ? 0x2000 : 0x1000)) | kP | kW | kU | kG);
    flush_page(cpu, 0x1000);
    for (int again = 0; again < 3; ++again) {
      run(0);
      EXPECT_EQ(cpu.gpr[rax] & 0xff, i % 2 ? 2u : 1u);
    }
  }
}

TEST_F(CodeChange, UsersDoNotRunTheKernelsPages) {
  put(kBase, {0x68, 0x00, 0x10, 0, 0, 0xc3});
  put(kBase + 0x1000, {0xb0, 0x01, kEnd});
  make_tables(kTables, kBase, kP | kW | kU);
  put64(kTables + 0x3000 + 8, (kBase + 0x1000) | kP | kW);
  page_with(kTables);
  for (int i = 0; i < 4; ++i) {
    cpu.cpl = 0;
    update_mode(cpu);
    cpu.gpr[rsp] = 0x8000;
    EXPECT_EQ(run(0), 0x1002u);
    cpu.cpl = 3;
    update_mode(cpu);
    cpu.gpr[rsp] = 0x8000;
    cpu.rip = 0;
    const auto outcome = engine.run_translated();
    ASSERT_TRUE(outcome.fault);
    EXPECT_EQ(outcome.fault->vector, kPageFault);
    EXPECT_EQ(cpu.rip, 0x1000u);
  }
}

// Loops of every kind end when something wants attention.
TEST_F(CodeChange, EveryLoopCanBeStopped) {
  const std::vector<std::vector<uint8_t>> loops = {
      {0xeb, 0xfe},                                            // jmp to itself
      {0xe9, 0xfb, 0xff, 0xff, 0xff},                          // the same
      {0x38, 0xc0, 0x74, 0xfc},                                // cmp al, al; je back
      {0x48, 0x83, 0xc4, 0x08, 0xe8, 0xf7, 0xff, 0xff, 0xff},  // add rsp, 8; call back
      {0x48, 0x83, 0xc4, 0x08, 0xff, 0xd3},                    // add rsp, 8; call rbx
      {0xff, 0xe3},                                            // jmp rbx
      {0x53, 0xc3},                                            // push rbx; ret
      {0x9c, 0x58, 0xff, 0xe6},                                // pushf; pop rax; jmp rsi
  };
  for (const auto& loop : loops) {
    for (const uint64_t offset : {0x1000, 0x1ffc}) {  // Also across pages.
      engine.reset();
      put(kBase + offset, loop);
      cpu.rip = cpu.gpr[rbx] = cpu.gpr[rsi] = kBase + offset;
      cpu.gpr[rsp] = kBase + 0x8000;
      std::thread kicker([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        cpu.attention.fetch_or(kKickAttention);
      });
      const auto outcome = engine.run_translated();
      kicker.join();
      EXPECT_FALSE(outcome.fault);
      put(kBase + offset, std::vector<uint8_t>(loop.size(), kEnd));
    }
  }
}

}  // namespace
}  // namespace alcove::cpu::soft::testing
