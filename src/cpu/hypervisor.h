// The contract between a machine and what executes its processors. Implemented by cpu/kvm (the host's
// hardware) and cpu/soft (the software engine); a machine cannot tell which it got.
//
// Both have the local APICs (x2APIC, TSC-deadline) of their processors inside; the IOAPIC and everything else
// is the machine's ("split irqchip"), which sends interrupts as messages.
#pragma once

#include <alcove/error.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "bus/bus.h"
#include "config/cpu_model.h"
#include "cpu/x86_state.h"
#include "memory/guest_memory.h"

namespace alcove::cpu {

// What the processors reach beyond memory. Called on virtual CPU threads, several at once.
class IoHandler {
 public:
  virtual ~IoHandler() = default;
  virtual void port_read(uint16_t port, std::span<std::byte> data) = 0;  // data.size(): 1, 2 or 4
  virtual void port_write(uint16_t port, std::span<const std::byte> data) = 0;
  virtual void memory_read(uint64_t address, std::span<std::byte> data) = 0;  // data.size(): 1, 2, 4 or 8
  virtual void memory_write(uint64_t address, std::span<const std::byte> data) = 0;
  // A processor has finished with a level-triggered vector: the IOAPIC looks whether its line is still up.
  virtual void end_of_interrupt(uint8_t vector) = 0;
};

// Why Vcpu::run() returned.
enum class Exit {
  kicked,    // kick() was called; nothing happened to the guest. Call run() again to go on.
  shutdown,  // Triple fault.
  error,     // This processor can't go on; Vcpu::error() says why.
};

// One virtual CPU. Created by the machine's thread, then run() on a thread of its own. Registers may be read
// and written only while run() is not under way.
class Vcpu {
 public:
  virtual ~Vcpu() = default;

  // Executes guest code; HLT waits inside for an interrupt. A processor other than the first begins by
  // waiting for INIT and SIPI.
  virtual Exit run() = 0;
  // Makes run(), under way or next, return `kicked` soon. Any thread.
  virtual void kick() = 0;

  virtual X86State state() const = 0;
  virtual Result<> set_state(const X86State& state) = 0;
  // Back to the state after power-on (Intel SDM vol. 3, table 10-1); the first processor runs, others wait.
  virtual void reset() = 0;

  // The guest stood for a while, during which its clocks went on: tells it, so that its watchdogs don't take
  // that for a fault of its own. While run() is not under way.
  virtual void note_pause() = 0;

  virtual Error error() const = 0;
};

struct VmOptions {
  unsigned cpu_count = 1;
  config::CpuModel cpu_model = {};
  memory::GuestMemory* memory = nullptr;  // Outlives the Vm.
  IoHandler* io = nullptr;                // Outlives the Vm.
};

// One machine's processors and their view of memory.
class Vm : public bus::MessageSink {
 public:
  virtual unsigned cpu_count() const = 0;
  virtual Vcpu& vcpu(unsigned index) = 0;
  // What a processor's TSC counts in a millisecond; 0 if that is not known.
  virtual uint64_t tsc_khz() const = 0;

  // send() (from MessageSink): delivers an MSI to the local APICs. Any thread.

  // Tells which vectors need end_of_interrupt() calls: one bit for each vector that a level-triggered IOAPIC
  // pin uses. The IOAPIC calls it when its redirection table changes.
  virtual void set_level_triggered_vectors(std::span<const uint64_t, 4> vectors) = 0;

  // Optional short cuts; `not_supported` means that the machine's own path serves instead.
  // A guest write of `size` bytes at `address` signals `event_fd` and reaches no device.
  virtual Result<> bind_doorbell(uint64_t address, unsigned size, int event_fd) = 0;
  virtual void unbind_doorbell(uint64_t address, unsigned size, int event_fd) = 0;
  // Signalling `event_fd` sends `message`.
  virtual Result<> bind_interrupt(int event_fd, const bus::Message& message) = 0;
  virtual void unbind_interrupt(int event_fd) = 0;

  // Pages that the guest wrote since the last call, one bit each, for the region that begins at
  // `guest_address`; the first call starts the log. `bitmap` holds (pages + 63) / 64 words.
  virtual Result<> fetch_dirty_log(uint64_t guest_address, std::span<uint64_t> bitmap) = 0;
};

class Hypervisor {
 public:
  virtual ~Hypervisor() = default;
  virtual std::string_view name() const = 0;  // "kvm" or "soft"
  virtual Result<std::unique_ptr<Vm>> create_vm(const VmOptions& options) = 0;
  // Most processors that one machine can have.
  virtual unsigned maximum_cpu_count() const = 0;
  // How many address bits its processors tell of, by CPUID 80000008.
  virtual unsigned physical_address_bits() const = 0;
};

}  // namespace alcove::cpu
