// An xHCI host controller (xHCI 1.2) as a PCI function. SuperSpeed and high-speed devices at its root ports;
// no hubs, no isochronous transfers.
//
// Virtual CPUs' threads read and write registers; all other work, and all calls of devices, are done in the
// turn of a strand of the controller's own, so what a doorbell asks for is mostly done when the write to it
// returns. One mutex guards the whole state: nothing waits for the host while holding it.
#pragma once

#include <alcove/error.h>

#include <array>
#include <bitset>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "exec/strand.h"
#include "memory/guest_memory.h"
#include "pci/function.h"
#include "pci/msix.h"
#include "usb/endpoint.h"
#include "usb/interrupter.h"
#include "usb/port.h"

namespace alcove::usb {

struct XhciOptions {
  memory::GuestMemory* memory = nullptr;
  bus::MessageSink* messages = nullptr;
  std::string thread_name = "usb";
};

class Xhci final : public pci::Function {
 public:
  static constexpr unsigned kSuperPorts = 8, kHighPorts = 8, kPortCount = kSuperPorts + kHighPorts;
  static constexpr unsigned kSlots = 32, kInterrupters = 4;
  static constexpr uint32_t kLargestStreamArray = 5;  // 2^(n+1) contexts.
  // Where things lie in BAR 0.
  static constexpr uint32_t kOperational = 0x40, kCapabilities = 0x800, kRuntime = 0x1000,
                            kDoorbells = 0x2000, kTable = 0x3000, kPending = 0x3800, kBarSize = 0x4000;

  explicit Xhci(const XhciOptions& options);
  ~Xhci() override;

  // In whose turn devices do what they do.
  exec::Strand& strand() { return strand_; }

  // Plugs a device in, and gives the number of its port, from 1. Any thread.
  Result<unsigned> attach(std::shared_ptr<Device> device);
  // Pulls it out. `done` is called with the device, once no transfer of it is under way, in the strand's
  // turn and on its thread; with none if there was none. Any thread.
  void detach(unsigned port, std::move_only_function<void(std::shared_ptr<Device>)> done);

  // Power-on state, devices stay plugged in. No processor runs.
  void reset() override;
  // No transfer is under way on return, and none begins until resume(). No processor runs.
  void pause();
  void resume();

  bus::Access read_bar(unsigned bar, uint64_t offset, std::span<std::byte> data) override;
  bus::Access write_bar(unsigned bar, uint64_t offset, std::span<const std::byte> data) override;

 private:
  using Trb = spec::xhci::Trb;
  using Completion = spec::xhci::Completion;

  void after_configuration_write(uint16_t offset, size_t size) override;

  // xhci_registers.cpp; with mutex_ held.
  uint32_t read_register(uint32_t offset) const;
  uint32_t read_capability(uint32_t offset) const;
  uint32_t read_extended(uint32_t offset) const;
  uint32_t read_operational(uint32_t offset) const;
  void write_register(uint32_t offset, uint32_t value);
  void write_operational(uint32_t offset, uint32_t value);
  void write_command(uint32_t value);
  void ring_doorbell(uint32_t slot, uint32_t value);

  // Without mutex_.
  void post_work();

  // xhci.cpp; with mutex_ held, in the strand's turn.
  // Lets work() follow: in this turn's wake, or when post_work() is called without the mutex.
  void wake();
  void work();
  // Does `task` with the mutex, and sees to what it brings. In the strand's turn.
  template <class Task>
  void in_turn(Task task);
  std::optional<unsigned> plug_in(const std::shared_ptr<Device>& device);
  bool finish_reset();
  void finish_stop();
  void finish_detaches();
  void clear();
  void send(const Trb& event, unsigned interrupter, bool blocks_interrupt = false);
  void port_changed(unsigned index);
  void deliver_interrupts();
  void fail();
  bool has_room() const;
  std::vector<std::shared_ptr<Device>> devices();

  // xhci_commands.cpp; with mutex_ held, in the strand's turn.
  struct Outcome {
    Completion code;
    uint8_t slot = 0;
  };
  void serve_commands();
  std::optional<Outcome> execute(const Trb& trb);  // Nothing: wait for transfers to end, and try again.
  void complete_command(uint64_t address, Completion code, uint8_t slot);
  Outcome enable_slot();
  std::optional<Outcome> disable_slot(uint8_t number);
  std::optional<Outcome> address_device(uint8_t number, const Trb& trb);
  std::optional<Outcome> configure_endpoints(uint8_t number, const Trb& trb);
  Outcome evaluate_context(uint8_t number, const Trb& trb);
  std::optional<Outcome> reset_device(uint8_t number);
  Outcome reset_endpoint(uint8_t number, uint8_t context, const Trb& trb);
  std::optional<Outcome> stop_endpoint(uint8_t number, uint8_t context);
  Outcome set_dequeue(uint8_t number, uint8_t context, const Trb& trb);
  Slot* enabled_slot(uint8_t number);
  Endpoint* find_endpoint(uint8_t number, uint8_t context);
  std::unique_ptr<Endpoint> make_endpoint(const std::array<uint32_t, 8>& words, uint8_t context) const;
  std::optional<std::array<uint32_t, 8>> read_context(uint64_t address) const;
  bool write_context(uint64_t address, const std::array<uint32_t, 8>& words);

  // xhci_transfers.cpp; with mutex_ held, in the strand's turn.
  void serve_doorbells();
  void serve_endpoint(uint8_t number, uint8_t context, uint16_t stream, bool is_rung);
  void serve_ring(uint8_t number, uint8_t context, uint16_t stream, TransferRing& ring);
  TransferRing* find_ring(Endpoint& endpoint, uint16_t stream);
  void begin(Slot& slot, Endpoint& endpoint, ActiveTd& td);
  void begin_control(Slot& slot, Endpoint& endpoint, ActiveTd& td);
  void completed(ActiveTd& td);
  void retire(Endpoint& endpoint, TransferRing& ring);
  void retire_finished();
  // Takes the TD of a ring back from the device, if it has one. False: it is under way.
  bool take_back(Slot& slot, Endpoint& endpoint, TransferRing& ring);
  void report(const ActiveTd& td, Completion code, uint64_t transferred);
  void report_success(const ActiveTd& td, uint64_t transferred);
  void send_transfer_event(const ActiveTd& td, const TdPart& part, Completion code, uint32_t left);
  void set_state(uint8_t number, uint8_t context, spec::xhci::EndpointState state);
  // Takes back what has not begun; `report_stopped` tells the guest. False if something is under way.
  bool quiesce(uint8_t number, uint8_t context, bool report_stopped);
  bool quiesce_slot(uint8_t number, unsigned first_context);
  bool quiesce_all();
  void ring_all();

  memory::GuestMemory& memory_;
  pci::Msix msix_;
  uint8_t msix_capability_ = 0;

  std::mutex mutex_;  // Guards all below, but for the last.
  uint32_t command_ = 0;
  uint32_t status_ = spec::xhci::kStatusHalted;
  uint32_t notification_ = 0;
  uint32_t configure_ = 0;
  uint64_t context_array_ = 0;
  RingPosition command_ring_;
  bool command_ring_running_ = false;
  bool reset_requested_ = false;
  bool paused_ = false;
  std::vector<Interrupter> interrupters_;
  std::vector<Port> ports_;
  std::array<Slot, kSlots + 1> slots_;
  struct Detach {
    std::shared_ptr<Device> device;
    std::move_only_function<void(std::shared_ptr<Device>)> done;
  };
  std::vector<Detach> detaches_;
  // Slot, and context with the stream in the upper half.
  using Target = std::pair<uint32_t, uint32_t>;
  std::set<Target> doorbells_;  // Rung, not served.
  std::set<Target> unserved_;   // Rings that run and may have TDs.
  std::bitset<kPortCount> resetting_ports_;
  bool woken_ = false;
  bool must_post_ = false;
  unsigned budget_ = 0;  // What may still be done before others get their turn.
  // Of the turn alone: a TD that the device is just being given, and those that it has completed meanwhile.
  ActiveTd* beginning_ = nullptr;
  std::vector<ActiveTd*> finished_;
  bool working_ = false;

  exec::Strand strand_;  // Last: it ends before what it uses, and is there for what it still does.
};

}  // namespace alcove::usb
