// One processor's blocks: found by virtual address, then by physical address, else decoded.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "cpu/soft/code/block.h"
#include "cpu/soft/mmu/mmu.h"
#include "cpu/soft/mmu/world.h"
#include "cpu/soft/x86/decoder.h"

namespace alcove::cpu::soft {

class Engine;

class CodeCache {
 public:
  explicit CodeCache(Engine& engine);
  ~CodeCache();
  CodeCache(const CodeCache&) = delete;
  CodeCache& operator=(const CodeCache&) = delete;

  // The block to execute at Cpu::rip; raises what fetching it raises. Blocks stay valid to point to until the
  // next call.
  Block* find(Cpu& cpu) {
    const uint64_t linear = linear_rip(cpu);
    const JumpEntry& entry = tables_->jumps[jump_index(linear)];
    if (entry.tag == jump_tag(cpu, linear) && entry.block->valid(epoch()) && !mode_.limited) [[likely]]
      return entry.block;
    return find_slow(cpu, linear);
  }

  // Remembers that `to` (found right after `from` ended) follows, if it is of the same page.
  static void link(Block& from, int64_t distance, Block& to);

  // Cpu::code_size, CPL, control registers or CS changed.
  void update_mode(const Cpu& cpu);
  // The mode of 64-bit code at that privilege level.
  BlockMode mode_at(const Cpu& cpu, uint8_t cpl) const;

  // The translation of this page must be looked up again.
  void forget_page(uint64_t linear);
  // Forgets everything that depends on virtual addresses.
  void forget_translations();

  uint64_t flush_count() const { return flushes_; }

  // Whether the blocks can be kept. If not, everything is forgotten before the next block is found.
  bool has_room_to_keep(std::span<Block* const> blocks);
  // The block from now on, which stays when those that are seldom executed make room for others.
  Block* keep(Block& block);
  // An instruction that crosses into another page.
  struct Crossing {
    Block* block;
    const PageState* second;  // Of the other page.
  };
  // The same for the block of such an instruction, which was found at Cpu::rip; none if it can't be kept.
  std::optional<Crossing> keep_crossing(const Cpu& cpu);

  // Called when the processor has nothing to do, by its thread; gives memory back if that has been so for a
  // while.
  void idle();

 private:
  struct JumpEntry {
    uint64_t tag = ~uint64_t{0};
    Block* block = nullptr;
  };
  struct FetchEntry {
    uint64_t tag = ~uint64_t{0};  // As in Tlb, but with the mode's `user` in a further word.
    bool user = false;
    std::byte* host = nullptr;
    PageState* state = nullptr;
    uint64_t physical = 0;  // Of the page.
  };
  // A block of one instruction that no page holds whole, or that can't be kept.
  struct LoneBlock {
    Block block;
    std::array<Insn, 2> instructions;  // And the end of the block.
    std::array<uint8_t, kMaximumInsnLength> code;
    uint64_t tag = ~uint64_t{0};
    Block* kept = nullptr;
    PageState* second_state = nullptr;  // Of the page that the instruction crosses into.
    uint32_t second_generation = 0;
  };
  static_assert(offsetof(LoneBlock, instructions) == sizeof(Block));
  static_assert(offsetof(LoneBlock, code) == sizeof(Block) + 2 * sizeof(Insn));

  static constexpr size_t kJumps = 1 << 15, kFetches = 128, kBuckets = 1 << 17, kLone = 512,
                          kFilterBits = 1 << 16;
  // Blocks to be kept, and before them others. Once the processor idles, not much is kept.
  static constexpr size_t kNewSize = 8u << 20, kKeptSize = 30u << 20, kArenaSize = kNewSize + kKeptSize;
  static constexpr size_t kIdleSize = 2u << 20;

  static uint64_t linear_rip(const Cpu& cpu) {
    const uint64_t linear = cpu.segments[cs].base + cpu.rip;
    return cpu.code_size == 8 ? cpu.rip : static_cast<uint32_t>(linear);
  }
  static size_t jump_index(uint64_t linear) { return (linear ^ linear >> 12) % kJumps; }
  // 48 bits of address, 12 of generation, 4 of mode.
  uint64_t jump_tag(const Cpu& cpu, uint64_t linear) const {
    return (linear & 0xffff'ffff'ffff) | cpu.tlb_generation[linear >> 63] << 52 | mode_number_;
  }

  Block* find_slow(Cpu& cpu, uint64_t linear);
  Block* build(Cpu& cpu, uint64_t linear, const FetchEntry& page);
  Block* build_crossing(Cpu& cpu, uint64_t linear);
  Block* build_uncached(Cpu& cpu, uint64_t linear);
  FetchEntry fetch_page(Cpu& cpu, uint64_t linear);
  size_t copy_code(Cpu& cpu, uint64_t linear, std::span<uint8_t> out);
  void decode_block(std::span<const uint8_t> bytes, Block& block);
  Insn decode_one(std::span<const uint8_t> bytes) const;
  void apply_mode(Insn& insn) const;
  void remember(Cpu& cpu, uint64_t linear, Block* block);
  void note_executed(uint64_t linear);
  Block* copy_to_kept(Block& block);
  static size_t size_of(const Block& block);
  Block* allocate(const Block& block);
  bool is_kept(const Block* block) const {
    return reinterpret_cast<const std::byte*>(block) >= arena_ + kNewSize;
  }
  // Forgets all blocks that are not kept.
  void flush_new();
  void flush();

  uint32_t epoch() const { return epoch_.load(std::memory_order_acquire); }

  Engine& engine_;
  const std::atomic<uint32_t>& epoch_;  // PhysicalMemory::code_epoch()
  BlockMode mode_;
  uint64_t mode_number_ = 0;  // Index into modes_, << 48.
  std::array<BlockMode, 16> modes_;
  unsigned mode_count_ = 0;
  uint32_t code_limit_ = 0;

  std::array<uint64_t, kFilterBits / 64>
      executed_pages_{};  // Hashes of the pages that Tables::jumps may have.
  std::array<FetchEntry, kFetches> fetches_;
  std::vector<LoneBlock> lone_ = std::vector<LoneBlock>(kLone);
  LoneBlock uncached_;
  // Bounds of what was executed from large pages, in each half of the address space.
  struct Bounds {
    uint64_t begin = ~uint64_t{0}, end = 0;
  };
  std::array<Bounds, 2> large_;

  // In memory of large pages.
  struct Tables {
    std::array<JumpEntry, kJumps> jumps;
    std::array<Block*, kBuckets> buckets{};
  };
  static constexpr size_t kTablesSize = 2u << 20;
  static_assert(sizeof(Tables) <= kTablesSize);
  Tables* tables_ = nullptr;
  std::byte* arena_ = nullptr;  // Behind them.
  size_t new_used_ = 0, kept_used_ = 0;
  std::optional<memory::FilledMemory> new_filled_, kept_filled_;
  bool flush_wanted_ = false;
  uint64_t flushes_ = 0;
  uint64_t idle_since_ = 0, idle_used_ = 0;  // When idle() last looked, and the thread's time then, in ns.
  std::array<Insn, Block::kMaximumCount> scratch_;
};

}  // namespace alcove::cpu::soft
