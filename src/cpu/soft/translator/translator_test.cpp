// The translator's own limits: how much code a block may become, and what happens when the memory for it is
// full.
#include "cpu/soft/translator/translator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "cpu/soft/testing/flat_engine.h"
#include "cpu/soft/x86/engine_services.h"
#include "cpu/soft/x86/host_features.h"
#include "cpu/soft/x86/sse/upper_halves.h"
#include "cpu/soft/x86/testing/case_generator.h"

namespace alcove::cpu::soft::testing {
namespace {

constexpr size_t kBlockBytes = 240;

struct TranslatorTest : ::testing::Test {
  void SetUp() override {
    if (!engine.enable_translator()) GTEST_SKIP() << "this host can't run translated code";
  }
  // The block at the beginning of memory.
  Block* find() {
    Block* block = nullptr;
    cpu.rip = engine.guest_address();
    engine.attempt([&] { block = engine.engine().code().find(cpu); });
    return block;
  }
  Translator& translator() { return *engine.engine().translator(); }

  FlatEngine engine;
  Cpu& cpu = engine.cpu();
};

TEST_F(TranslatorTest, NoBlockIsLargerThanItsBound) {
  CaseGenerator generator(3, CodeMode::bits64);
  size_t largest = 0;
  for (const CompiledRow& row : compiled_rows()) {
    for (int i = 0; i < 6; ++i) {
      const auto drawn = generator.generate(row);
      if (!drawn) continue;
      // As often as there is room: the sum of what every one needs counts.
      std::vector<uint8_t> code;
      while (code.size() + drawn->code.size() <= kBlockBytes)
        code.insert(code.end(), drawn->code.begin(), drawn->code.end());
      code.push_back(0x06);
      engine.write(engine.guest_address(), code);
      translator().drop_changed();
      cpu.cpl = i % 2 ? 3 : 0;
      update_mode(cpu);
      Block* block = find();
      ASSERT_TRUE(block);
      block = translator().translate(*block, Block::kHot);
      ASSERT_TRUE(block) << row.row->mnemonic;
      const size_t size = block->translation->unit->size;
      ASSERT_LE(size, BlockEmitter::bound(1, block->count)) << row.row->mnemonic << " " << row.row->encoding;
      if (block->count > 4) largest = std::max(largest, size / block->count);
    }
  }
  EXPECT_GT(largest, 100u);
}

TEST_F(TranslatorTest, GoesOnWhenItsMemoryIsFull) {
  // add dword [rbx + 8*i], 1, many times; then end.
  std::vector<uint8_t> code;
  for (uint8_t i = 0; i < 50; ++i)
    code.insert(code.end(), {0x83, 0x43, static_cast<uint8_t>(i % 8 * 8), 0x01});
  code.push_back(0x06);
  engine.write(engine.guest_address(), code);
  const uint64_t data = engine.guest_address() + 0x2000;
  const auto run = [&] {
    cpu.rip = engine.guest_address();
    cpu.gpr[rbx] = data;
    const auto outcome = engine.run_translated();
    EXPECT_TRUE(outcome.fault);
    EXPECT_EQ(cpu.rip, engine.guest_address() + 200);
  };
  run();
  Block* block = find();
  ASSERT_TRUE(block);
  const uint8_t* const first = block->translation->far_entry;
  unsigned times_at_first = 0;
  for (unsigned i = 0; i < 100'000 && times_at_first < 2; ++i) {
    block = translator().translate(*block, Block::kHot);
    ASSERT_TRUE(block);
    if (block->translation->far_entry != first) continue;
    ++times_at_first;
    run();
  }
  EXPECT_EQ(times_at_first, 2u) << "the memory is used again and again";
  run();
  uint32_t count;
  std::memcpy(&count, engine.memory().data() + 0x2000, sizeof count);
  EXPECT_EQ(count, 4u * 7);
}

// A vector across the end of a page is read by a handler, which leaves upper halves alone that it makes zero.
TEST_F(TranslatorTest, KeepsUpperHalvesBehindWhatAHandlerHasDone) {
  if (!host_runs_avx()) GTEST_SKIP() << "this host has no AVX";
  const std::vector<uint8_t> code = {0xc5, 0xf8, 0x77,        // vzeroupper
                                     0xc5, 0xec, 0x58, 0x0b,  // vaddps ymm1, ymm2, [rbx]
                                     0xc5, 0xfc, 0x10, 0x01,  // vmovups ymm0, [rcx]
                                     0x06};
  engine.write(engine.guest_address(), code);
  const uint64_t data = engine.guest_address() + 0x2000;
  engine.write(data, std::vector<uint8_t>(32, 0x55));
  cpu.cr4 |= 1u << 18;  // OSXSAVE
  cpu.xcr0 |= kXcr0Avx;
  update_mode(cpu);
  for (int run = 0; run < 4; ++run) {
    cpu.rip = engine.guest_address();
    cpu.gpr[rbx] = data + 0x1000 - 16;
    cpu.gpr[rcx] = data;
    cpu.fpu.upper_in_use = true;
    EXPECT_TRUE(engine.run_translated().fault);
    EXPECT_EQ(cpu.rip, engine.guest_address() + 11);
    EXPECT_EQ(read_ymm(cpu.fpu, 0).words[3], 0x5555'5555'5555'5555u) << run;
  }
}

// R9 has no host register of its own and takes that of one that is used least.
TEST_F(TranslatorTest, ChStaysWhereItIs) {
  const std::vector<uint8_t> code = {0x0f, 0xb6, 0xc5,  // movzx eax, ch
                                     0x49, 0x01, 0xc1,  // add r9, rax
                                     0x4d, 0x01, 0xf9,  // add r9, r15, and so on
                                     0x4d, 0x01, 0xf1, 0x4d, 0x01, 0xe9, 0x4d, 0x01, 0xe1, 0x4d, 0x01,
                                     0xc1, 0x49, 0x01, 0xf9, 0x49, 0x01, 0xf1, 0xb0, 0x55,  // mov al, 0x55
                                     0x88, 0xc5,                                            // mov ch, al
                                     0x06};
  engine.write(engine.guest_address(), code);
  for (int run = 0; run < 3; ++run) {
    cpu.rip = engine.guest_address();
    cpu.gpr.fill(0x1000);
    cpu.gpr[rcx] = 0x1234;
    EXPECT_TRUE(engine.run_translated().fault);
    EXPECT_EQ(cpu.rip, engine.guest_address() + code.size() - 1);
    EXPECT_EQ(cpu.gpr[r9], 0x8000u + 0x12);
    EXPECT_EQ(cpu.gpr[rcx], 0x5534u);
  }
}

// Small loops are emitted several times; those within others, which may be as small, are not so in each.
TEST_F(TranslatorTest, NestedSmallLoopsStaySmall) {
  constexpr uint8_t kCounters[] = {rax, rbx, rsi, rdi, rbp};
  std::vector<uint8_t> code{0x48, 0x83, 0xc2, 0x01};  // add rdx, 1
  for (size_t i = 0; i < std::size(kCounters); ++i) {
    if (i != 0)
      code.insert(code.end(), {static_cast<uint8_t>(0xb8 + kCounters[i - 1]), 3, 0, 0, 0});  // mov r32, 3
    code.insert(code.end(), {0xff, static_cast<uint8_t>(0xc8 + kCounters[i])});              // dec r32
    code.insert(code.end(),
                {0x75, static_cast<uint8_t>(-static_cast<int>(code.size()) - 2)});  // jnz to the top
  }
  code.push_back(0x06);
  engine.write(engine.guest_address(), code);
  engine.translate_units();
  for (int run = 0; run < 20; ++run) {
    cpu.rip = engine.guest_address();
    cpu.gpr[rdx] = 0;
    // At first each block once, so that the next time they are translated together.
    for (const uint8_t counter : kCounters) cpu.gpr[counter] = run == 0 ? 1 : 3;
    ASSERT_TRUE(engine.run_translated().fault);
    ASSERT_EQ(cpu.gpr[rdx], run == 0 ? 1u : 243u);
  }
  Block* const block = find();
  ASSERT_TRUE(block && block->translation);
  EXPECT_LT(block->translation->unit->size, 1500u);  // 968; 2248 if each was repeated in each.
  EXPECT_LT(block->translation->unit->size, BlockEmitter::bound(5, 16));
}

// Another processor's store is in memory before it is known that it was one to code.
TEST_F(TranslatorTest, MixesNoBytesThatChangeMeanwhile) {
  const std::vector<uint8_t> code{0xb8, 0x01, 0, 0, 0, 0x06};  // mov eax, 1; then end.
  engine.write(engine.guest_address(), code);
  Block* block = find();
  ASSERT_TRUE(block);
  engine.memory()[1] = std::byte{0xfb};
  block = translator().translate(*block, Block::kHot);
  ASSERT_TRUE(block);
  cpu.rip = engine.guest_address();
  EXPECT_TRUE(engine.run_translated().fault);
  EXPECT_EQ(cpu.gpr[rax], 1u);
}

}  // namespace
}  // namespace alcove::cpu::soft::testing
