// Decoded instructions that follow each other, up to the first that may go elsewhere.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include "cpu/soft/mmu/physical.h"
#include "cpu/soft/x86/insn.h"

namespace alcove::cpu::soft {

struct TranslatedBlock;

// What instructions mean besides their bytes. A block of one mode is never entered in another.
struct BlockMode {
  uint16_t code_size : 4 = 2;   // As Cpu::code_size.
  uint16_t real_mode : 1 = 0;   // Also virtual-8086: instructions of protected mode are #UD.
  uint16_t privileged : 1 = 0;  // CPL 0.
  uint16_t user : 1 = 0;        // CPL 3: fetches need user pages.
  uint16_t limited : 1 = 0;     // CS has a limit that code may exceed.
  uint16_t no_fpu : 1 = 0;      // CR0.EM
  uint16_t fpu_away : 1 = 0;    // CR0.TS
  uint16_t sse : 1 = 0;         // CR4.OSFXSR
  uint16_t window : 2 = 0;      // Translated for the address space with that window (mmu/windows.h).
  uint16_t avx : 1 = 0;         // CR4.OSXSAVE, and XCR0 has it.
  bool operator==(const BlockMode&) const = default;
};

// A block belongs to a physical address, so it serves every mapping of its page. It is valid while its page's
// code generation is the one it remembers. Its instructions follow it in memory, and an end_of_block() them:
// together they are read from the beginning to the end. Behind them are the bytes that they were decoded
// from: the guest may change its own at any moment, and instructions and bytes must not contradict each
// other.
struct alignas(16) Block {
  static constexpr unsigned kMaximumCount = 64;
  static constexpr int32_t kNoDistance = INT32_MIN;
  // Executions after which a block is worth a translation; kCold: it can't be translated.
  static constexpr uint8_t kHot = 16, kCold = 255;

  uint64_t physical = 0;  // Of its first byte.
  Block* next_in_bucket = nullptr;
  PageState* state = nullptr;  // Null: not from RAM, to be decoded anew each time.
  uint32_t generation = 0;
  uint32_t checked = 0;  // PhysicalMemory::code_epoch() when the generation was last compared.
  uint8_t count = 0;     // Of instructions.
  uint8_t heat = 0;      // How often it was interpreted, up to kHot; or kCold.
  uint16_t length = 0;   // In bytes.
  BlockMode mode;
  bool chains = false;  // It leads to other blocks of its page by relative branches or by just ending.
  bool moved = false;   // It is kept at next_in_bucket (CodeCache::keep()).
  bool lone = false;    // Made for this once, or found by means of its own: nothing else may point to it.
  // Blocks of the same page that followed this one, by the distance of their first instruction from ours.
  std::array<int32_t, 2> distances{kNoDistance, kNoDistance};
  std::array<Block*, 2> followers{};
  TranslatedBlock* translation = nullptr;  // Once it is hot.

  Insn* instructions() { return reinterpret_cast<Insn*>(this + 1); }
  std::span<uint8_t> code() { return {reinterpret_cast<uint8_t*>(instructions() + count + 1), length}; }

  bool valid(uint32_t epoch) {
    if (checked == epoch) [[likely]]
      return true;
    if (state->code_generation.load(std::memory_order_acquire) != generation) return false;
    checked = epoch;
    return true;
  }
  void invalidate(uint32_t epoch) {
    checked = epoch - 1;
    --generation;
  }
};

}  // namespace alcove::cpu::soft
