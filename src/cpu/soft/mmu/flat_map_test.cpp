// What a guest can make the map cost.
#include "cpu/soft/mmu/flat_map.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <memory>

#include "cpu/soft/x86/cpu.h"

namespace alcove::cpu::soft {
namespace {

size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  size_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

struct FlatMapTest : ::testing::Test {
  void SetUp() override {
    map = FlatMap::create(memory, 2);
    if (!map) GTEST_SKIP() << "this host does not give the address space";
    memory.cpu().tlb = tlb.get();
  }
  void fill(uint64_t address) {
    TlbEntry& entry = tlb->entry(address);
    entry.read_tag = entry.write_tag = address & kPageMask;
    entry.addend = uint64_t{1} << 46;
    entry.physical = 12 | TlbEntry::kUser;
    map->fill(memory.cpu(), address);
  }
  uint64_t read_word(uint64_t address) const {
    return reinterpret_cast<const uint64_t*>(map->base() + FlatMap::kReadOffset)[address << 16 >> 28];
  }
  uint64_t write_word(uint64_t address) const {
    return *(reinterpret_cast<const uint64_t*>(map->base()) - 1 - (address << 16 >> 28));
  }

  CpuMemory memory;
  std::unique_ptr<FlatMap> map;
  std::unique_ptr<Tlb> tlb = std::make_unique<Tlb>();
};

TEST_F(FlatMapTest, KnowsWhatItWasTold) {
  for (const uint64_t address : {uint64_t{0}, uint64_t{0x7fff'ffff'f000}, uint64_t{0xffff'8000'0000'0000},
                                 uint64_t{0xffff'ffff'ffff'f000}}) {
    EXPECT_EQ(read_word(address), 0u);
    fill(address);
    EXPECT_EQ(read_word(address), (uint64_t{1} << 46) + 1);
    EXPECT_EQ(write_word(address), (uint64_t{1} << 46) + 1);
    map->clear_page({}, address);
    EXPECT_EQ(read_word(address), 0u);
    EXPECT_EQ(write_word(address), 0u);
  }
}

TEST_F(FlatMapTest, SpreadAccessesTakeBoundedMemory) {
  const size_t before = resident_bytes();
  constexpr uint64_t kStep = 2 << 20;  // One word in each part of the tables.
  for (uint64_t i = 0; i < 50'000; ++i) {
    fill(i * kStep);
    fill(0xffff'8000'0000'0000 + i * kStep);
    ASSERT_NE(read_word(i * kStep), 0u);
    if (i % 100 == 0) {  // Processes that come and go leave nothing behind either.
      map->select(i, {.cr3 = i << 12});
      ASSERT_EQ(read_word(i * kStep), 0u);
    }
  }
  EXPECT_LT(resident_bytes() - before, 160u << 20);
}

TEST_F(FlatMapTest, ForgettingAndFillingAgainTakesNoMore) {
  const size_t before = resident_bytes();
  for (uint64_t i = 0; i < 5'000'000; ++i) {
    fill(0xffff'8000'0000'1000);
    map->clear_page({}, 0xffff'8000'0000'1000);
  }
  for (uint64_t i = 0; i < 5'000'000; ++i)
    map->add_jump(false, {.address = 0xffff'8000'0000'1000 + (i << 16),
                          .physical = 0x1000,
                          .crosses = false,
                          .code = nullptr});
  EXPECT_LT(resident_bytes() - before, 16u << 20);
}

}  // namespace
}  // namespace alcove::cpu::soft
