// Decoded instructions that follow each other, up to the first that may go elsewhere.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "cpu/soft/mmu/physical.h"
#include "cpu/soft/x86/insn.h"

namespace alcove::cpu::soft {

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
  bool operator==(const BlockMode&) const = default;
};

// A block belongs to a physical address, so it serves every mapping of its page. It is valid while the
// generations of the pages that its bytes came from are those it remembers.
struct Block {
  static constexpr unsigned kMaximumCount = 64;
  static constexpr int32_t kNoDistance = INT32_MIN;

  PageState* state = nullptr;  // Null: not from RAM, to be decoded anew each time.
  uint32_t generation = 0;
  uint16_t count = 0;   // Of instructions.
  uint16_t length = 0;  // In bytes.
  Insn* instructions = nullptr;
  // Blocks of the same page that followed this one, by the distance of their first instruction from ours.
  std::array<int32_t, 2> distances{kNoDistance, kNoDistance};
  std::array<Block*, 2> followers{};

  uint64_t physical = 0;  // Of its first byte.
  BlockMode mode;
  bool chains = false;  // It leads to other blocks of its page by relative branches or by just ending.
  PageState* second_state = nullptr;  // Of an instruction that crosses into another page: that page.
  uint32_t second_generation = 0;
  Block* next_in_bucket = nullptr;

  bool valid() const { return state->code_generation.load(std::memory_order_acquire) == generation; }
};

}  // namespace alcove::cpu::soft
