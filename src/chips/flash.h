// A NOR flash chip, 8 bits wide, in blocks of 4 KiB, that keeps its contents in a file: the firmware's
// variable store.
#pragma once

#include <alcove/error.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bus/bus.h"
#include "support/unique_fd.h"

namespace alcove::chips {

class Flash final : public bus::Device {
 public:
  static constexpr uint64_t kBlockSize = 4096;

  // `file` is open for reading and writing; its size is that of the chip, a multiple of kBlockSize. Errors
  // name `field`. The file's later changes by others are not seen.
  static Result<std::unique_ptr<Flash>> create(UniqueFd file, uint64_t size, const std::string& field);
  ~Flash() override;

  bus::Access read(uint64_t offset, std::span<std::byte> data) override;
  // What a command changed is in the file, and on the disk, when the guest gives the next command that is not
  // of the same kind; at the latest with the one that goes back to reading.
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override;

  // The contents stay.
  void reset();
  uint64_t size() const { return contents_.size(); }

 private:
  enum class Mode {
    array,
    status,
    identifier,
    program,
    buffer_count,
    buffer_data,
    buffer_confirm,
    erase,
    lock
  };
  struct Range {
    uint64_t begin, end;
  };

  Flash(UniqueFd file, std::vector<std::byte> contents);
  void command(uint8_t value);
  void program(uint64_t offset, std::span<const std::byte> data);
  void collect(uint64_t offset, std::span<const std::byte> data);
  void program_buffer();
  void erase(uint64_t offset);
  void note_change(uint64_t begin, uint64_t end);
  void flush();

  std::mutex mutex_;
  UniqueFd file_;
  std::vector<std::byte> contents_;
  Mode mode_ = Mode::array;
  uint8_t status_ = 0;
  std::optional<Range> unwritten_;  // What the file does not have yet.

  // Of a write to buffer.
  std::vector<std::byte> buffer_;
  uint64_t buffer_offset_ = 0;
  size_t buffer_due_ = 0;
};

}  // namespace alcove::chips
