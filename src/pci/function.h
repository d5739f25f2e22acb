// One PCI function: its configuration space, base address registers and INTx pin.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "bus/bus.h"
#include "spec/pci.h"

namespace alcove::pci {

struct Identity {
  uint16_t vendor = 0;
  uint16_t device = 0;
  uint32_t class_code = 0;  // 24 bits
  uint8_t revision = 0;
  uint16_t subsystem_vendor = 0;
  uint16_t subsystem = 0;
};

// Where a memory BAR is decoded now. Looked up without a lock, by any thread.
struct MemoryBar {
  static constexpr uint64_t kNotDecoded = ~uint64_t{0};
  unsigned index = 0;
  uint64_t size = 0;
  bool is_64_bit = false;
  bool is_prefetchable = false;
  uint64_t preassigned = 0;  // By the root; in the register after reset. Or kNotDecoded: the guest places it.
  std::atomic<uint64_t> address = kNotDecoded;
};

// Derived classes declare BARs and capabilities in their constructors; nothing changes afterwards but
// register contents. Accesses come from virtual CPU threads, several at once.
class Function {
 public:
  explicit Function(const Identity& identity);
  virtual ~Function() = default;
  Function(const Function&) = delete;
  Function& operator=(const Function&) = delete;

  // data.size() is 1, 2 or 4 and does not cross a doubleword. Beyond 256 bytes all is zero.
  void read_configuration(uint16_t offset, std::span<std::byte> data);
  void write_configuration(uint16_t offset, std::span<const std::byte> data);

  // Back to the state after power-on, BARs where the root put them and decoded, as firmware leaves them, or
  // nowhere. No processor runs.
  virtual void reset();

  // The routes of this function's BARs, in fixed places for the object's life.
  std::span<MemoryBar* const> bars() const { return bars_; }
  virtual bus::Access read_bar(unsigned bar, uint64_t offset, std::span<std::byte> data);
  virtual bus::Access write_bar(unsigned bar, uint64_t offset, std::span<const std::byte> data);

  // By the root, once: the wire of the function's pin, and what the guest finds in the interrupt line
  // register.
  void connect_interrupt(bus::InterruptLine* line, uint8_t number);
  // Lets go of the wire. Any thread.
  void disconnect_interrupt();

 protected:
  // 4 KiB or more, a power of two. A 64-bit BAR takes the next index too.
  void add_memory_bar(unsigned index, uint64_t size, bool is_64_bit, bool prefetchable = false);
  // Returns where the capability begins. `body` follows id and link; `writable` marks the bits of `body` that
  // the guest may change (missing bytes: none).
  uint8_t add_capability(uint8_t id, std::span<const std::byte> body,
                         std::span<const std::byte> writable = {});
  void use_interrupt_pin(uint8_t pin) { set8(spec::pci::kInterruptPin, pin); }  // 1: INTA

  // Registers outside of capabilities, for bridges.
  void set8(uint16_t offset, uint8_t value, uint8_t writable = 0);
  void set16(uint16_t offset, uint16_t value, uint16_t writable = 0);
  void set32(uint16_t offset, uint32_t value, uint32_t writable = 0);

  // The present contents; only within the three calls below.
  uint32_t get(uint16_t offset, unsigned size) const;

  // Called with the configuration lock held; may not access this function's configuration space.
  virtual void before_configuration_read(uint16_t /*offset*/, std::span<std::byte> /*registers*/) {}
  virtual void after_configuration_write(uint16_t /*offset*/, size_t /*size*/) {}
  virtual void bar_moved(unsigned /*bar*/, std::optional<uint64_t> /*address*/) {}

  // Raises or lowers the INTx pin. Any thread, one at a time.
  void set_interrupt(bool asserted);

 private:
  void store(uint16_t offset, uint32_t value, unsigned size, uint32_t writable);
  void route_bars();
  void drive_interrupt();

  std::mutex mutex_;  // Guards registers_.
  std::array<std::byte, spec::pci::kConfigurationSize> registers_{};
  std::array<std::byte, spec::pci::kConfigurationSize> writable_{};
  std::array<std::byte, spec::pci::kConfigurationSize> initial_{};  // As declared; reset() goes back to them.
  std::array<MemoryBar, spec::pci::kBarCount> bar_storage_;
  std::vector<MemoryBar*> bars_;
  uint16_t next_capability_ = spec::pci::kHeaderEnd;
  uint16_t last_link_ = spec::pci::kCapabilities;

  std::mutex interrupt_mutex_;  // Guards the members below.
  bus::InterruptLine* line_ = nullptr;
  bool interrupt_asserted_ = false;
  bool interrupt_disabled_ = false;
  bool line_driven_ = false;
};

}  // namespace alcove::pci
