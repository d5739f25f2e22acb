// One processor in 64-bit mode over a small memory without paging: instructions under test see linear
// addresses as physical ones and nothing around them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "cpu/hypervisor.h"
#include "cpu/soft/engine.h"

namespace alcove::cpu::soft::testing {

class FlatEngine {
 public:
  // RAM at [guest_address, guest_address + size), both multiples of 4 KiB, and a page that the guest can only
  // read at kRom. Port and memory I/O go to `io` if given, otherwise nowhere (reads give all ones).
  explicit FlatEngine(uint64_t guest_address = 0x100'0000, uint64_t size = 0x1'0000, IoHandler* io = nullptr);
  static constexpr uint64_t kRom = 0xffff'f000;
  ~FlatEngine();

  Cpu& cpu();
  Engine& engine() { return *engine_; }
  std::span<std::byte> memory();
  std::span<std::byte> rom();
  uint64_t guest_address() const { return guest_address_; }

  // All registers as at construction: 64-bit mode, CPL 0, flat segments, CR0 without PG, SSE on, RIP at the
  // beginning of memory, RSP at its end. Memory stays.
  void reset();
  // Lets a test leave 64-bit mode: CS and SS of that operand and address size (2, 4 or 8).
  void set_code_size(unsigned bytes);

  // Copies code (or data) into memory as a device would.
  void write(uint64_t address, std::span<const uint8_t> bytes);

  struct Outcome {
    std::optional<Fault> fault;  // What the last instruction raised; RIP is that instruction's.
    unsigned executed = 0;       // Instructions completed.
  };
  // Executes up to `count` instructions one by one from Cpu::rip; stops at a fault.
  Outcome run(unsigned count);
  // The same through whole blocks, as the machine does; stops at a fault or (between blocks) once `count`
  // instructions were executed.
  Outcome run_blocks(uint64_t count);

  // From here on run_translated() runs everything as translated code. False if this host can't.
  bool enable_translator();
  // From here on blocks are interpreted once, so that those that follow each other can be translated
  // together.
  void translate_units();
  // From here on code of CPL 3 gets windows (mmu/window.h) as soon as it has run once; before, never.
  void open_windows();
  // Executes until a fault, HLT, a single step or a kick (kKickAttention). Outcome::executed is not known.
  Outcome run_translated();

  // Runs `action`, which may call what raises; what it raised. No destructors are run then.
  std::optional<Fault> attempt(const std::function<void()>& action);

 private:
  uint64_t guest_address_;
  std::unique_ptr<IoHandler> nowhere_;
  memory::GuestMemory memory_;
  std::unique_ptr<Shared> shared_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace alcove::cpu::soft::testing
