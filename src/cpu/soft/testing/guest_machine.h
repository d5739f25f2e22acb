// A machine for small guests written in assembly: memory, tables that most of them need, and a port to talk
// to the test.
//
// The guest writes words to port 0xe9 and ends with a write to port 0xf4. Guests are assembled with the test
// (ALCOVE_GUEST of guest_macros.h) and run at kCode; absolute addresses are written as
// `label - NAME + 0x10000`.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "cpu/hypervisor.h"

namespace alcove::cpu::soft::testing {

class GuestMachine final : public IoHandler {
 public:
  static constexpr uint64_t kGdt = 0x1000, kIdt = 0x2000, kTss = 0x3000, kPageTables = 0x8000,
                            kTss32 = 0x7000, kCode = 0x10000, kStack = 0x80000, kUserStack = 0x90000,
                            kIstStack = 0xa0000, kSize = 0x200000;

  // Selectors of the table at kGdt.
  enum Selector : uint16_t {
    kCode64 = 0x08,
    kData = 0x10,
    kCode32 = 0x18,
    kUserCode32 = 0x20 | 3,
    kUserData = 0x28 | 3,
    kUserCode64 = 0x30 | 3,
    kTss64Selector = 0x38,  // Two entries.
    kCode16 = 0x48,
    kData16 = 0x50,
    kGate = 0x58,  // Two entries, for set_descriptor().
    kTssA = 0x68,
    kTssB = 0x70,
  };

  explicit GuestMachine(unsigned cpu_count = 1);
  ~GuestMachine() override;

  void write(uint64_t address, std::span<const uint8_t> bytes);
  template <class T>
  void store(uint64_t address, const T& value) {
    if (!memory_.store(address, value)) std::abort();
  }
  template <class T>
  T load(uint64_t address) {
    return memory_.load<T>(address).value();
  }
  void set_descriptor(uint16_t selector, uint64_t low, uint64_t high = 0);
  // A 64-bit interrupt gate (type 14) or what `access` says.
  void set_gate64(unsigned vector, uint64_t handler, uint16_t selector = kCode64, uint8_t access = 0x8e,
                  unsigned ist = 0);
  void set_gate32(unsigned vector, uint32_t handler, uint16_t selector = kCode32, uint8_t access = 0x8e);

  // The handler of an interrupt or exception, at an offset into the guest's code.
  struct Handler {
    unsigned vector;
    uint32_t offset;
    uint8_t access = 0x8e;  // A gate for an interrupt, of privilege level 0.
    unsigned ist = 0;
  };

  // Processor 0 at the beginning of `code`: in 64-bit mode with the first GiB mapped to itself for all
  // (CR3 = kPageTables), tables loaded, TR = kTss64Selector, RSP0 = kStack, IST1 = kIstStack.
  void start_long(std::span<const uint8_t> code, std::initializer_list<Handler> handlers = {});
  // In 32-bit protected mode without paging, flat segments, TR = kTssA.
  void start_protected(std::span<const uint8_t> code, std::initializer_list<Handler> handlers = {});
  // In real mode at kCode (CS = 0x1000, other segments 0, SP = 0x8000).
  void start_real(std::span<const uint8_t> code);

  // Runs all processors until the guest ends, or one of them does, or ten seconds have passed.
  Exit run();
  // The same, expecting that the guest ends it. What it wrote.
  std::vector<uint32_t> run_to_end();

  Vm& vm() { return *vm_; }
  // What the guest wrote to port 0xe9.
  std::vector<uint32_t> output();
  std::vector<uint8_t> ended_interrupts();

 private:
  void port_read(uint16_t port, std::span<std::byte> data) override;
  void port_write(uint16_t port, std::span<const std::byte> data) override;
  void memory_read(uint64_t address, std::span<std::byte> data) override;
  void memory_write(uint64_t address, std::span<const std::byte> data) override;
  void end_of_interrupt(uint8_t vector) override;

  void write_tables();
  X86State flat_state(std::span<const uint8_t> code);
  void stop();

  memory::GuestMemory memory_;
  std::unique_ptr<Hypervisor> hypervisor_;
  std::unique_ptr<Vm> vm_;
  std::mutex mutex_;  // Guards what follows.
  std::condition_variable changed_;
  std::vector<uint32_t> output_;
  std::vector<uint8_t> ended_;
  bool done_ = false;
  bool timed_out_ = false;
};

}  // namespace alcove::cpu::soft::testing
