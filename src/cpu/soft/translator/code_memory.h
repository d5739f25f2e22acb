// Memory for translated code: written through one mapping, executed through another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "memory/populator.h"

namespace alcove::cpu::soft {

class CodeMemory {
 public:
  // Null if the host does not give it. The populator, if there is one, provides it in time.
  static std::unique_ptr<CodeMemory> create(size_t size, memory::Populator* populator = nullptr);
  ~CodeMemory();
  CodeMemory(const CodeMemory&) = delete;
  CodeMemory& operator=(const CodeMemory&) = delete;

  // The unused rest: where to write, and where it will run.
  std::span<uint8_t> room() { return {writable_ + used_, size_ - used_}; }
  const uint8_t* next() const { return executable_ + used_; }
  void commit(size_t size);
  size_t used() const { return used_; }
  // Forgets all behind the first `size` bytes.
  void truncate(size_t size) { used_ = size; }
  // Gives the memory of what is not used back.
  void release();

  uint8_t* writable(const uint8_t* executable) { return writable_ + (executable - executable_); }
  bool contains(const uint8_t* address) const {
    return address >= executable_ && address < executable_ + size_;
  }

 private:
  CodeMemory(uint8_t* writable, const uint8_t* executable, size_t size, memory::Populator* populator);
  // Has the host's memory for what is used next.
  void prepare();

  uint8_t* writable_;
  const uint8_t* executable_;
  size_t size_;
  size_t used_ = 0;
  size_t prepared_ = 0;
  memory::Populator* populator_;
  std::optional<memory::FilledMemory> filled_;
};

}  // namespace alcove::cpu::soft
