// A machine of processors, 1 MiB of RAM and a port that collects bytes: enough for guests of a few
// instructions.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "cpu/hypervisor.h"

namespace alcove::cpu::soft::testing {

class BareMachine final : private IoHandler {
 public:
  // What the guest writes to this port is its output.
  static constexpr uint16_t kPort = 0xe9;

  explicit BareMachine(unsigned cpu_count);
  ~BareMachine() override;

  memory::GuestMemory& memory() { return memory_; }
  Vm& vm() { return *vm_; }
  void write(uint64_t address, std::span<const uint8_t> bytes);
  uint32_t read32(uint64_t address) const;

  // Lets all processors run from the reset vector, which jumps to 0:7c00.
  void start();
  // Waits until the output ends with `end`; false after ten seconds, or if a processor stops by itself.
  bool wait_for(char end);
  // Kicks the processors and joins their threads; why each one's run() returned.
  std::vector<Exit> stop();

  std::string output() const;

 private:
  void port_read(uint16_t port, std::span<std::byte> data) override;
  void port_write(uint16_t port, std::span<const std::byte> data) override;
  void memory_read(uint64_t address, std::span<std::byte> data) override;
  void memory_write(uint64_t address, std::span<const std::byte> data) override;
  void end_of_interrupt(uint8_t vector) override;

  memory::GuestMemory memory_;
  std::unique_ptr<Hypervisor> hypervisor_;
  std::unique_ptr<Vm> vm_;
  mutable std::mutex mutex_;  // Guards output_ and stopped_.
  std::condition_variable changed_;
  std::string output_;
  bool stopped_ = false;
  std::vector<Exit> exits_;
  std::vector<std::thread> threads_;
};

}  // namespace alcove::cpu::soft::testing
