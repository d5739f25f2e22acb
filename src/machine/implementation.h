// The machine's parts and its state machine.
#pragma once

#include <alcove/boot_loader.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>

#include "exec/event_loop.h"
#include "machine/board.h"
#include "machine/firmware_devices.h"
#include "machine/machine.h"
#include "machine/peripherals.h"
#include "machine/processors.h"
#include "machine/serial_ports.h"

namespace alcove::machine {

class Machine::Implementation {
 public:
  Implementation(VirtualMachineConfiguration configuration, MachineObserver& observer,
                 std::unique_ptr<cpu::Hypervisor> hypervisor);
  ~Implementation();

  Result<> assemble(Descriptors& descriptors);

  Result<> start();
  Result<> pause();
  Result<> resume();
  Result<> request_stop();
  void stop();

  Result<size_t> attach_storage(const StorageDeviceConfiguration& device, std::vector<UniqueFd> image);
  void detach_storage(size_t number, const StorageDeviceDetachOptions& options, Completion<> completion);

  std::string_view hypervisor() const { return hypervisor_->name(); }
  std::vector<cpu::X86State> processor_states();
  SerialPorts& serial_ports() { return *serial_ports_; }
  Peripherals& peripherals() { return *peripherals_; }

 private:
  enum class State { ready, running, paused, ended };
  // What the guest did that ends or restarts it; the first counts until it has been handled.
  enum class GuestEvent { none, reset, power_off, triple_fault, processor_error };

  // Disks that are gone, and who waited for that: to be told without mutex_.
  using Gone = std::vector<Storage::Leaving>;

  Result<> load_guest();
  // On virtual CPU threads.
  void raise(GuestEvent event);
  void on_processor_exit(unsigned index, cpu::Exit exit);
  void on_eject(unsigned slot);
  // On the control thread.
  void handle_guest_event();
  Result<> restart_guest();
  void take_out_ejected(size_t number);
  void detachment_is_due(size_t number, uint64_t id);

  // With mutex_ held.
  void stand();
  void run();
  template <class Change>
  auto while_processors_stand(Change change);
  void take_out(size_t number, Gone& gone);
  Gone take_out_leaving();
  void tell(Gone gone);  // Without.

  const VirtualMachineConfiguration configuration_;
  MachineObserver& observer_;
  std::unique_ptr<cpu::Hypervisor> hypervisor_;
  UniqueFd kernel_, initial_ramdisk_;
  UniqueFd firmware_;  // Instead of these.
  MemoryLayout layout_;

  // Destroyed from the last to the first: processors stop, then devices, then what they use.
  std::optional<memory::GuestMemory> memory_;
  exec::HostClock clock_{"clock"};
  exec::LoopThread device_loop_{"devices"};
  std::unique_ptr<SerialPorts> serial_ports_;
  IoRouter router_;
  std::unique_ptr<cpu::Vm> vm_;
  std::unique_ptr<Board> board_;
  std::unique_ptr<FirmwareDevices> firmware_devices_;  // With firmware only.
  std::unique_ptr<Peripherals> peripherals_;

  std::mutex mutex_;  // Serialises what the owner asks and what the guest does.
  State state_ = State::ready;
  std::optional<std::chrono::steady_clock::time_point> last_triple_fault_;
  std::atomic<GuestEvent> guest_event_ = GuestEvent::none;
  std::atomic<unsigned> failed_processor_ = 0;
  uint64_t next_detachment_ = 0;
  std::unique_ptr<Processors> processors_;
  std::unique_ptr<exec::LoopThread> control_;
};

}  // namespace alcove::machine
