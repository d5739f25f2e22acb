// Translations of addresses as data accesses see them: those of the interpreter, and those of translated
// code.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "cpu/soft/mmu/access.h"
#include "cpu/soft/mmu/page_watch.h"
#include "cpu/soft/testing/flat_engine.h"
#include "cpu/soft/x86/engine_services.h"

namespace alcove::cpu::soft {
namespace {

constexpr uint64_t kBase = 0x100'0000;
constexpr uint64_t kP = 1, kW = 2, kU = 4, kA = 0x20, kD = 0x40, kLarge = 0x80, kG = 0x100;
constexpr uint64_t kCr0Paging = 0x80010033;  // With WP.
constexpr uint64_t kCr4Pcide = 1u << 17, kCr4Smap = 1u << 21;
constexpr uint64_t kKeep = true;
constexpr uint64_t kUpper = 0xffff'8000'0000'0000;

// Page tables at the beginning of memory: linear 0 to 2 MiB and the same part of the upper half through one
// page table; pages of data behind it. Code of translated accesses has tables and a page of its own.
struct MmuTest : ::testing::TestWithParam<bool> {
  static constexpr uint64_t kPml4 = kBase, kPdpt = kBase + 0x1000, kPd = kBase + 0x2000, kPt = kBase + 0x3000;
  static constexpr uint64_t kPages = kBase + 0x8000;
  static constexpr uint64_t kCodeTables = kBase + 0x30'0000, kCodePage = kCodeTables + 0x3000;
  static constexpr uint64_t kReadCode = uint64_t{1} << 39, kWriteCode = kReadCode + 0x100;

  MmuTest() {
    put(kPml4 + 8, kCodeTables | kP | kW | kU);
    put(kCodeTables, (kCodeTables + 0x1000) | kP | kW | kU);
    put(kCodeTables + 0x1000, (kCodeTables + 0x2000) | kP | kW | kU);
    put(kCodeTables + 0x2000, kCodePage | kP | kU);
    put(kCodePage, 0x06'03'8b'48);          // mov rax, [rbx], and no instruction
    put(kCodePage + 0x100, 0x06'03'89'48);  // mov [rbx], rax
    put(kPml4, kPdpt | kP | kW | kU);
    put(kPml4 + 256 * 8, kPdpt | kP | kW | kU);
    put(kPdpt, kPd | kP | kW | kU);
    put(kPd, kPt | kP | kW | kU);
    for (uint64_t i = 0; i < 8; ++i) {
      put(kPages + i * 0x1000, i);
      map(i, i, kP | kW | kU);
    }
    cpu.cr3 = kPml4;
    cpu.cr0 = kCr0Paging;
    cpu.cr4 |= 0x80;  // PGE
    flush_tlb(cpu, true);
    update_mode(cpu);
  }

  void put(uint64_t address, uint64_t value) {
    std::array<uint8_t, 8> bytes;
    std::memcpy(bytes.data(), &value, 8);
    engine.write(address, bytes);
  }
  uint64_t get(uint64_t address) {
    uint64_t value;
    std::memcpy(&value, engine.memory().data() + (address - kBase), 8);
    return value;
  }
  void map(uint64_t linear_page, uint64_t data_page, uint64_t bits) {
    put(kPt + linear_page * 8, (kPages + data_page * 0x1000) | bits);
  }
  void SetUp() override {
    if (GetParam() && !engine.enable_translator()) GTEST_SKIP() << "this host can't run translated code";
  }
  void run(uint64_t code, uint64_t address, uint64_t value) {
    cpu.rip = code;
    cpu.gpr[rbx] = address;
    cpu.gpr[rax] = value;
    fault = engine.run_translated().fault;
    ASSERT_TRUE(fault);
    if (cpu.rip == code) return;
    EXPECT_EQ(fault->vector, kInvalidOpcode);
    fault.reset();
  }
  // Twice where code is translated: first by way of the interpreter's handler, then by what that found out.
  uint64_t read(uint64_t address) {
    uint64_t value = ~uint64_t{0};
    if (!GetParam()) {
      fault = engine.attempt([&] { value = load<uint64_t>(cpu, address); });
      return value;
    }
    run(kReadCode, address, value);
    value = cpu.gpr[rax];
    run(kReadCode, address, ~uint64_t{0});
    EXPECT_EQ(value, cpu.gpr[rax]);
    return value;
  }
  bool write(uint64_t address, uint64_t value) {
    if (!GetParam()) {
      fault = engine.attempt([&] { store<uint64_t>(cpu, address, value); });
    } else {
      run(kWriteCode, address, value);
      run(kWriteCode, address, value);
    }
    return !fault;
  }
  void set_cpl(uint8_t cpl) {
    cpu.cpl = cpl;
    update_mode(cpu);
  }

  testing::FlatEngine engine{kBase, 0x40'0000};
  Cpu& cpu = engine.cpu();
  std::optional<Fault> fault;
};

TEST_P(MmuTest, FlushPageTakesEffect) {
  EXPECT_EQ(read(0x1000), 1u);
  map(1, 2, kP | kW);
  EXPECT_EQ(read(0x1000), 1u) << "a translation once made stays until it is flushed";
  flush_page(cpu, 0x1008);
  EXPECT_EQ(read(0x1000), 2u);
}

TEST_P(MmuTest, FlushPageTakesTheWholeLargePage) {
  put(kPd, kBase | kP | kW | kLarge);  // 0 to 2 MiB at kBase
  EXPECT_EQ(read(0x9000), 1u);
  EXPECT_EQ(read(0xa000), 2u);
  put(kPd, (kBase + 0x20'0000) | kP | kW | kLarge);
  put(kBase + 0x20'9000, 77);
  flush_page(cpu, 0xa000);
  EXPECT_EQ(read(0x9000), 77u);
}

TEST_P(MmuTest, GlobalPagesOfTheUpperHalfSurviveAddressSpaceSwitches) {
  map(1, 1, kP | kW | kG);
  EXPECT_EQ(read(kUpper + 0x1000), 1u);
  map(1, 2, kP | kW | kG);
  switch_address_space(cpu, false);
  EXPECT_EQ(read(kUpper + 0x1000), 1u);
  flush_tlb(cpu, false);
  EXPECT_EQ(read(kUpper + 0x1000), 1u);
  flush_tlb(cpu, true);
  EXPECT_EQ(read(kUpper + 0x1000), 2u);
}

TEST_P(MmuTest, OthersDoNot) {
  EXPECT_EQ(read(kUpper + 0x1000), 1u);
  EXPECT_EQ(read(0x2000), 2u);
  map(1, 2, kP | kW);
  map(2, 3, kP | kW);
  switch_address_space(cpu, false);
  EXPECT_EQ(read(kUpper + 0x1000), 2u);
  EXPECT_EQ(read(0x2000), 3u);
}

TEST_P(MmuTest, NonGlobalPagesGoFromAmongGlobalOnes) {
  map(1, 1, kP | kW | kG);
  map(2, 2, kP | kW);
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(read(kUpper + 0x1000), 1u);
    EXPECT_EQ(read(kUpper + 0x2000), round % 2 ? 3u : 2u);
    map(1, 4, kP | kW | kG);
    map(2, round % 2 ? 2 : 3, kP | kW);
    switch_address_space(cpu, false);
  }
}

TEST_P(MmuTest, MoreNonGlobalPagesThanAreCounted) {
  for (uint64_t page = 8; page < 500; ++page) {
    map(page, 1, kP | kW);
    EXPECT_EQ(read(kUpper + page * 0x1000), 1u);
  }
  for (uint64_t page = 8; page < 500; ++page) map(page, 2, kP | kW);
  switch_address_space(cpu, false);
  for (uint64_t page = 8; page < 500; ++page) EXPECT_EQ(read(kUpper + page * 0x1000), 2u);
}

TEST_P(MmuTest, ProcessContextsKeepTheirTranslations) {
  cpu.cr4 |= kCr4Pcide;
  flush_tlb(cpu, true);
  cpu.cr3 = kPml4 | 1;
  switch_address_space(cpu, kKeep);
  EXPECT_EQ(read(0x1000), 1u);
  EXPECT_EQ(read(0x2000), 2u);
  map(1, 3, kP | kW);
  map(2, 4, kP | kW);
  cpu.cr3 = kPml4 | 2;
  switch_address_space(cpu, kKeep);
  EXPECT_EQ(read(0x2000), 4u) << "another context never saw the old one";
  cpu.cr3 = kPml4 | 1;
  switch_address_space(cpu, kKeep);
  EXPECT_EQ(read(0x1000), 1u) << "it was kept";
  // INVPCID reaches any context, CR3 without bit 63 its own.
  map(2, 5, kP | kW);
  flush_pcid(cpu, 2);
  EXPECT_EQ(read(0x1000), 1u);
  cpu.cr3 = kPml4 | 2;
  switch_address_space(cpu, kKeep);
  EXPECT_EQ(read(0x2000), 5u);
  cpu.cr3 = kPml4 | 1;
  switch_address_space(cpu, false);
  EXPECT_EQ(read(0x1000), 3u);
}

TEST_P(MmuTest, GenerationsMayWrapAround) {
  for (int i = 0; i < 10'000; ++i) {
    map(1, i % 8, kP | kW);
    switch_address_space(cpu, false);
    ASSERT_EQ(read(0x1000), static_cast<uint64_t>(i % 8));
  }
}

TEST_P(MmuTest, EachPrivilegeChecksForItself) {
  map(1, 1, kP | kW);
  EXPECT_EQ(read(0x1000), 1u);
  set_cpl(3);
  EXPECT_EQ(read(0x1000), ~uint64_t{0});
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->vector, kPageFault);
  EXPECT_EQ(fault->error_code, 5u);
  EXPECT_EQ(fault->address, 0x1000u);
  EXPECT_EQ(read(0x2000), 2u);
  set_cpl(0);
  cpu.cr4 |= kCr4Smap;
  flush_tlb(cpu, true);
  update_mode(cpu);
  EXPECT_EQ(read(0x1000), 1u);
  read(0x2000);
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->error_code, 1u);
  cpu.flags.set(kAc, true);
  update_mode(cpu);
  EXPECT_EQ(read(0x2000), 2u);
  // Implicit accesses do not look at AC.
  fault = engine.attempt([&] { load_system<uint64_t>(cpu, 0x2000); });
  EXPECT_TRUE(fault);
  cpu.flags.set(kAc, false);
  update_mode(cpu);
  read(0x2000);
  EXPECT_TRUE(fault);
}

TEST_P(MmuTest, DirtyIsSetByTheFirstWriteOnly) {
  read(0x1000);
  EXPECT_EQ(get(kPt + 8) & (kA | kD), kA);
  EXPECT_TRUE(write(0x1000, 5));
  EXPECT_EQ(get(kPt + 8) & (kA | kD), kA | kD);
  EXPECT_EQ(get(kPages + 0x1000), 5u);
  // Known to be dirty: no further walk, so a cleared bit stays clear until the flush.
  put(kPt + 8, get(kPt + 8) & ~kD);
  EXPECT_TRUE(write(0x1000, 6));
  EXPECT_EQ(get(kPt + 8) & kD, 0u);
}

TEST_P(MmuTest, CrossingStoreThatFaultsWritesNothing) {
  map(2, 2, kP | kU);
  EXPECT_FALSE(write(0x1ffc, ~uint64_t{0}));
  EXPECT_EQ(fault->address, 0x2000u);
  EXPECT_EQ(fault->error_code, 3u);
  EXPECT_EQ(get(kPages + 0x1ff8), 0u);
  fault = engine.attempt([&] { modify<uint64_t>(cpu, 0x1ffc, true, [](uint64_t) { return 9; }); });
  ASSERT_TRUE(fault);
  EXPECT_EQ(get(kPages + 0x1ff8), 0u);
}

TEST_P(MmuTest, CrossingAccessesJoinPagesFarApart) {
  map(2, 7, kP | kW | kU);
  EXPECT_TRUE(write(0x1ffc, 0x1122334455667788));
  EXPECT_EQ(get(kPages + 0x1ff8) >> 32, 0x55667788u);
  EXPECT_EQ(static_cast<uint32_t>(get(kPages + 0x7000)), 0x11223344u);
  EXPECT_EQ(read(0x1ffc), 0x1122334455667788u);
  uint64_t old = 0;
  engine.attempt(
      [&] { old = modify<uint64_t>(cpu, 0x1ffc, true, [](uint64_t value) { return value + 1; }); });
  EXPECT_EQ(old, 0x1122334455667788u);
  EXPECT_EQ(read(0x1ffc), 0x1122334455667789u);
}

TEST_P(MmuTest, StackAccessesThatAreNotCanonicalAreStackFaults) {
  Insn insn;
  insn.segment = ss;
  cpu.insn = &insn;
  fault = engine.attempt([&] { load<uint64_t>(cpu, uint64_t{1} << 60); });
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->vector, kStackFault);
}

TEST_P(MmuTest, AddressesThatAreNotCanonical) {
  EXPECT_EQ(read(0x1000), 1u);
  EXPECT_EQ(read(kUpper + 0x1000), 1u);
  for (const uint8_t cpl : {0, 3}) {
    set_cpl(cpl);
    EXPECT_EQ(read(0x1000), 1u);
    for (unsigned bit = 47; bit < 64; ++bit) {
      for (const uint64_t half : {uint64_t{0}, kUpper}) {
        const uint64_t address = half + 0x1000 + (uint64_t{1} << bit);
        if (is_canonical(address)) continue;
        read(address);
        ASSERT_TRUE(fault) << std::hex << address;
        EXPECT_EQ(fault->vector, kGeneralProtection);
        EXPECT_FALSE(write(address, 1));
      }
    }
  }
}

TEST_P(MmuTest, WhatTheKernelUsesIsNotTheUsers) {
  map(1, 1, kP | kW);
  map(2, 2, kP | kW | kU);
  map(3, 3, kP | kU);
  EXPECT_TRUE(write(0x1000, 10));
  EXPECT_TRUE(write(kUpper + 0x2000, 20));
  set_cpl(3);
  read(0x1000);
  EXPECT_TRUE(fault);
  EXPECT_FALSE(write(0x1000, 11));
  EXPECT_EQ(read(0x2000), 20u);
  EXPECT_EQ(read(kUpper + 0x2000), 20u);
  EXPECT_FALSE(write(0x3000, 5));
  set_cpl(0);
  EXPECT_EQ(read(0x1000), 10u);
  // Without CR0.WP the kernel writes where it may only read, and the user still may not.
  cpu.cr0 &= ~uint64_t{1 << 16};
  flush_tlb(cpu, true);
  EXPECT_TRUE(write(0x3000, 30));
  set_cpl(3);
  EXPECT_EQ(read(0x3000), 30u);
  EXPECT_FALSE(write(0x3000, 5));
  EXPECT_EQ(fault->error_code, 7u);
}

TEST_P(MmuTest, PagesBesideOneInUseKeepTheirRights) {
  map(2, 2, kP | kW | kU | kA | kD);
  map(3, 3, kP | kU | kA);
  map(4, 4, kP | kW | kU | kA);
  map(5, 5, kP | kW | kA | kD);
  map(6, 6, kW | kU | kA | kD);
  map(7, 7, kP | kW | kU | kA | uint64_t{1} << 51);
  set_cpl(3);
  EXPECT_EQ(read(0x1000), 1u);
  EXPECT_EQ(read(0x2000), 2u);
  EXPECT_TRUE(write(0x2000, 20));
  EXPECT_EQ(read(0x3000), 3u);
  EXPECT_FALSE(write(0x3000, 30));
  EXPECT_EQ(fault->error_code, 7u);
  EXPECT_TRUE(write(0x4000, 40));
  EXPECT_TRUE(get(kPt + 4 * 8) & kD);
  for (const auto& [address, error] : {std::pair{0x5000, 5}, {0x6000, 4}, {0x7000, 13}}) {
    read(address);
    ASSERT_TRUE(fault) << address;
    EXPECT_EQ(fault->error_code, static_cast<uint32_t>(error));
    EXPECT_FALSE(write(address, 1));
  }
  EXPECT_EQ(get(kPages + 0x3000), 3u);
  EXPECT_EQ(get(kPages + 0x5000), 5u);
  map(2, 6, kP | kW | kU | kA | kD);
  flush_page(cpu, 0x2000);
  EXPECT_EQ(read(0x2000), 6u);
}

TEST_P(MmuTest, PagesBesideOneInUseStayWatched) {
  map(2, 2, kP | kW | kU | kA | kD);
  map(3, 3, kP | kW | kU | kA | kD);
  PageState& state = *engine.engine().mmu().memory().page(kPages + 0x3000).state;
  state.bits |= kRewritten | PageState::kProtected;  // As when its code was changed over and over.
  EXPECT_EQ(read(0x2000), 2u);
  EXPECT_TRUE(write(0x3000, 30));
  EXPECT_EQ(state.bits / kQuietWrite, GetParam() ? 2u : 1u) << "stores that passed unseen";
  EXPECT_EQ(get(kPages + 0x3000), 30u);
}

TEST_P(MmuTest, LargePagesOfTheUpperHalfGoWhole) {
  for (const uint64_t bits : {uint64_t{0}, kG}) {
    put(kPd, kBase | kP | kW | kLarge | bits);
    flush_tlb(cpu, true);
    EXPECT_EQ(read(kUpper + 0x9000), 1u);
    EXPECT_EQ(read(kUpper + 0xa000), 2u);
    put(kPd, (kBase + 0x20'0000) | kP | kW | kLarge | bits);
    put(kBase + 0x20'9000, 77);
    flush_page(cpu, kUpper + 0xa000);
    EXPECT_EQ(read(kUpper + 0x9000), 77u);
  }
}

TEST_P(MmuTest, TheDirtyLogSeesEveryWrite) {
  EXPECT_TRUE(write(0x1000, 5));
  PhysicalMemory& memory = engine.engine().mmu().memory();
  std::vector<uint64_t> log(0x40'0000 / 0x1000 / 64);
  const auto page_bit = [&](uint64_t number) {
    const uint64_t page = (kPages - kBase) / 0x1000 + number;
    return log[page / 64] >> (page % 64) & 1;
  };
  memory.start_logging();
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(memory.take_log(kBase, log));
    engine.engine().mmu().drop_all_write_tags();
    EXPECT_EQ(read(0x1000), 5u);
    ASSERT_TRUE(memory.take_log(kBase, log));
    EXPECT_EQ(page_bit(1), 0u);
    EXPECT_TRUE(write(0x1000, 5));
    EXPECT_TRUE(write(kUpper + 0x2000, 6));
    ASSERT_TRUE(memory.take_log(kBase, log));
    EXPECT_EQ(page_bit(1), 1u);
    EXPECT_EQ(page_bit(2), 1u);
    EXPECT_EQ(page_bit(3), 0u);
  }
}

TEST_P(MmuTest, ManyAddressSpacesAndPages) {
  cpu.cr4 |= kCr4Pcide;
  flush_tlb(cpu, true);
  // More than are kept, each with a page of its own at the same address.
  for (uint64_t round = 0; round < 3; ++round) {
    for (uint64_t pcid = 1; pcid < 20; ++pcid) {
      cpu.cr3 = kPml4 | pcid;
      map(1, pcid % 8, kP | kW | kU);
      switch_address_space(cpu, round == 0 || pcid % 2 == 0);
      flush_page(cpu, 0x1000);
      ASSERT_EQ(read(0x1000), pcid % 8);
      set_cpl(3);
      ASSERT_EQ(read(0x1000), pcid % 8);
      set_cpl(0);
    }
  }
}

// What a device sees of accesses.
struct Counter final : IoHandler {
  void port_read(uint16_t, std::span<std::byte>) override {}
  void port_write(uint16_t, std::span<const std::byte>) override {}
  void memory_read(uint64_t, std::span<std::byte> data) override {
    std::ranges::fill(data, std::byte{0x55});
    ++reads;
  }
  void memory_write(uint64_t, std::span<const std::byte>) override { ++writes; }
  void end_of_interrupt(uint8_t) override {}
  unsigned reads = 0, writes = 0;
};

TEST(Mmu, ReadOnlyMemoryIsReadByWhatCannotChangeIt) {
  Counter io;
  testing::FlatEngine engine(kBase, 0x1'0000, &io);
  engine.rom()[8] = std::byte{0x78};
  engine.rom()[11] = std::byte{0x12};
  // lock xadd [rbx+8], eax; mov ecx, [rbx+8]
  engine.write(kBase, std::array<uint8_t, 8>{0xf0, 0x0f, 0xc1, 0x43, 0x08, 0x8b, 0x4b, 0x08});
  engine.cpu().gpr[rbx] = testing::FlatEngine::kRom;
  engine.cpu().gpr[rax] = 1;
  EXPECT_EQ(engine.run(2).executed, 2u);
  EXPECT_EQ(engine.cpu().gpr[rax], 0x1200'0078u);
  EXPECT_EQ(engine.cpu().gpr[rcx], 0x1200'0078u);
  EXPECT_EQ(io.reads, 0u);
}

TEST(Mmu, FlushingALineOfADeviceReadsNothing) {
  Counter io;
  testing::FlatEngine engine(kBase, 0x1'0000, &io);
  // clflush [rbx]; mov eax, [rbx]
  engine.write(kBase, std::array<uint8_t, 5>{0x0f, 0xae, 0x3b, 0x8b, 0x03});
  engine.cpu().gpr[rbx] = 0x8000'0000;
  EXPECT_EQ(engine.run(1).executed, 1u);
  EXPECT_EQ(io.reads, 0u);
  EXPECT_EQ(engine.run(1).executed, 1u);
  EXPECT_EQ(io.reads, 1u);
  EXPECT_EQ(engine.cpu().gpr[rax], 0x5555'5555u);
}

INSTANTIATE_TEST_SUITE_P(, MmuTest, ::testing::Bool(),
                         [](const auto& tried) { return tried.param ? "Translated" : "Interpreted"; });

}  // namespace
}  // namespace alcove::cpu::soft
