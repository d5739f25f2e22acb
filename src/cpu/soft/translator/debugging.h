// What a developer can see of the translator at work; docs/software-engine.md has the names of the variables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>

#include "cpu/soft/code/block.h"
#include "cpu/soft/translator/emitter.h"

namespace alcove::cpu::soft {

// From the environment, read once.
struct DebugSettings {
  bool translate = true;  // Unless ALCOVE_NO_TRANSLATOR is set.
  bool windows = true;    // Unless ALCOVE_NO_WINDOWS is set.
  bool perf_map = false;  // ALCOVE_PERF_MAP
  std::string counters;   // ALCOVE_TRANSLATOR_COUNTERS: a file's name.
  std::string dump;       // ALCOVE_TRANSLATOR_DUMP: a file's name.
  static const DebugSettings& get();
};

// One processor's. Its thread only.
class TranslatorLog {
 public:
  // Null unless the environment asks for something.
  static std::unique_ptr<TranslatorLog> create(unsigned processor);
  // Writes the counters, if they are wanted.
  ~TranslatorLog();

  void made_common_code(std::span<const uint8_t> code);
  // `rip`: of the first block. `code`: to be read; `address`: where it runs. Up to `data` it is instructions.
  void translated(std::span<Block* const> blocks, uint64_t rip, std::span<const uint8_t> code,
                  const uint8_t* address, size_t data, const CommonCode& common);
  void handled(const Insn& insn) {
    if (count_) ++handled_[insn.row];
  }

  struct Counters {
    uint64_t units = 0, blocks = 0, instructions = 0, guest_bytes = 0, host_bytes = 0;  // Translated.
    uint64_t entries = 0;     // Ways from C++ into translated code.
    uint64_t links = 0;       // Blocks joined to others of their page.
    uint64_t far_misses = 0;  // Jumps that the jump cache did not know.
    uint64_t dropped = 0;     // Translations of pages that changed.
    uint64_t flushes = 0;     // Everything forgotten.
    uint64_t windows = 0;     // Given to address spaces (mmu/window.h).
    uint64_t refused = 0;     // Accesses that the host refused.
  };
  Counters counters;

 private:
  TranslatorLog(unsigned processor, const DebugSettings& settings);

  unsigned processor_;
  bool count_;
  bool list_;
  bool map_;
  std::unordered_map<const Row*, uint64_t> handled_;  // Instructions left to the interpreter.
};

}  // namespace alcove::cpu::soft
