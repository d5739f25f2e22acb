// The root complex: bus 0 of a Q35-like machine, reached by ports 0xCF8/0xCFC and by memory (ECAM), with two
// apertures in which its functions' BARs move.
#pragma once

#include <alcove/error.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bus/address_map.h"
#include "bus/bus.h"
#include "pci/function.h"

namespace alcove::pci {

struct Window {
  uint64_t base = 0;
  uint64_t size = 0;
};

struct RootOptions {
  Window ecam = {0xE000'0000, 0x1000'0000};  // 256 buses of 1 MiB each.
  Window low = {0xC000'0000, 0x2000'0000};   // For BARs below 4 GiB.
  Window high;                               // For large 64-bit BARs; none if empty.
  // Wires of PIRQA to PIRQD, and their numbers for the interrupt line registers. Pin P (1 to 4) of device D
  // drives wire (D + P - 1) % 4, which the machine's ACPI tables must say too. The root combines the
  // functions that share a wire.
  std::array<bus::InterruptLine*, 4> interrupt_lines = {};
  std::array<uint8_t, 4> interrupt_numbers = {};
  // Answers byte accesses to port 0xCF9, which lies within the configuration address port.
  bus::Device* reset_control = nullptr;
};

class Root {
 public:
  // Adds its windows to the maps. The maps may be used as long as the root lives.
  static Result<std::unique_ptr<Root>> create(bus::AddressMap& ports, bus::AddressMap& memory,
                                              const RootOptions& options);
  ~Root();

  // Places a function, assigns its BARs and its interrupt wire, and resets it. No processor runs; the
  // function outlives the root's use, or is removed before.
  Result<> add(unsigned device, unsigned function, Function& what, const std::string& name);
  // The same while there is a guest, which places the function's BARs itself: where others are is its doing.
  Result<> plug(unsigned device, Function& what, const std::string& name);
  // Nothing answers in its configuration space any more. Any thread, also within an access.
  void hide(unsigned device);
  // The function 0 is the root's no more, hidden or not: nothing reaches it, and it raises no interrupt. No
  // processor runs.
  void remove(unsigned device, Function& what);

  // All functions back to the state after power-on. No processor runs.
  void reset();

 private:
  class ApertureDevice;
  class EcamDevice;
  class AddressPort;
  class DataPort;
  class SharedLine;

  explicit Root(const RootOptions& options);
  Function* find(unsigned bus, unsigned device, unsigned function) const;
  Result<> check_place(unsigned device, unsigned function, const std::string& name) const;
  void connect(unsigned device, unsigned function, Function& what);
  Result<uint64_t> assign(const MemoryBar& bar, const std::string& name);
  void read_configuration(uint32_t address, std::span<std::byte> data);
  void write_configuration(uint32_t address, std::span<const std::byte> data);

  struct Route {
    Function* function;
    MemoryBar* bar;
  };
  template <class Use>
  bus::Access with_bar(uint64_t address, size_t size, Use use) const;

  RootOptions options_;
  std::array<std::atomic<Function*>, size_t{spec::pci::kDevicesPerBus} * spec::pci::kFunctionsPerDevice>
      functions_{};
  std::vector<Route> routes_;
  uint64_t next_low_ = 0, next_high_ = 0;
  std::atomic<uint32_t> address_ = 0;  // Port 0xCF8.
  std::vector<std::unique_ptr<bus::Device>> windows_;
  std::array<std::unique_ptr<SharedLine>, 4> lines_;
  std::map<const Function*, std::unique_ptr<bus::InterruptLine>> taps_;
};

}  // namespace alcove::pci
