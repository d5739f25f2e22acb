// The latest bytes of a serial port in memory that two processes share: the machine appends, the application
// reads, also after the machine's process died.
#pragma once

#include <alcove/error.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "support/unique_fd.h"

namespace alcove {

// One writer at a time; any number of readers on other threads and in other processes. A reader does not
// trust what it finds: whatever the writer's process does to the memory, read() gives at most `capacity`
// bytes.
class LogRing {
 public:
  static constexpr size_t kCapacity = 256 * 1024;

  // A new empty ring in a memfd, which can't be resized by whoever gets descriptor().
  static Result<LogRing> create();
  // The ring behind a descriptor() of another process.
  static Result<LogRing> open(UniqueFd descriptor);

  LogRing(LogRing&& other) noexcept;
  LogRing& operator=(LogRing&&) = delete;
  ~LogRing();

  int descriptor() const { return descriptor_.get(); }

  void append(std::span<const std::byte> data);
  void clear();
  // How many bytes were appended since the ring was made or cleared.
  uint64_t position() const;
  // The latest kCapacity bytes, or what there is.
  std::string read() const;

 private:
  struct Shared;
  LogRing(UniqueFd descriptor, Shared* shared) : descriptor_(std::move(descriptor)), shared_(shared) {}
  UniqueFd descriptor_;
  Shared* shared_;
};

}  // namespace alcove
