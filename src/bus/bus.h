// How devices are reached: address maps for ports and memory, interrupt lines, message-signalled interrupts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace alcove::bus {

// What became of an access. The map, not the device, decides what the guest sees: reads that are not `done`
// give all ones, writes are dropped.
enum class Access { done, no_register, bad_size };

// A device's window. Called on virtual CPU threads, several at once: a device guards its own state.
// `offset` is relative to the window; data.size() is 1, 2, 4 or 8.
class Device {
 public:
  virtual ~Device() = default;
  virtual Access read(uint64_t offset, std::span<std::byte> data) = 0;
  virtual Access write(uint64_t offset, std::span<const std::byte> data) = 0;
};

// A wire to an interrupt controller. Any thread.
class InterruptLine {
 public:
  virtual ~InterruptLine() = default;
  virtual void set(bool asserted) = 0;
};

// A message-signalled interrupt: what a device would write to memory. x86: Intel SDM vol. 3, 11.11.
struct Message {
  uint64_t address = 0;
  uint32_t data = 0;
  bool operator==(const Message&) const = default;
};

// Takes messages to the processors' local interrupt controllers. Any thread.
class MessageSink {
 public:
  virtual ~MessageSink() = default;
  virtual void send(const Message& message) = 0;
};

}  // namespace alcove::bus
