// A virtual machine: it lives in a process of its own (alcove-vm), this object steers it.
#pragma once

#include <alcove/clipboard.h>
#include <alcove/devices.h>
#include <alcove/error.h>
#include <alcove/executor.h>
#include <alcove/input.h>
#include <alcove/socket.h>
#include <alcove/usb.h>
#include <alcove/virtual_machine_configuration.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace alcove {

enum class VirtualMachineState {
  stopped,
  running,
  paused,
  error,  // It ended by a fault: VirtualMachine::error() says which. start() begins afresh.
  starting,
  pausing,
  resuming,
  stopping,
  saving,
  restoring,
};
std::string_view to_string(VirtualMachineState state);

// What ended a machine that was to be shut down.
enum class ShutdownMeans {
  power_button,  // The guest shut itself down.
  stop,          // It did not in time, or could not: the plug was pulled.
};
std::string_view to_string(ShutdownMeans means);  // "power button", "stop"

// What to call, on the machine's executor; every member is optional.
struct VirtualMachineObserver {
  std::function<void(VirtualMachineState)> state_changed;
  std::function<void()> guest_did_stop;  // The guest shut itself down; the state is `stopped`.
  std::function<void(const Error&)> did_stop_with_error;  // The state is `error`.
  std::function<void()> guest_did_reboot;                 // The state stays `running`.
  // The guest's service manager has brought everything up: systemd 254 or later, of a machine with a socket
  // device; others never say so. Again after each reboot.
  std::function<void()> guest_did_become_ready;
  std::function<void(NetworkDevice&)> network_addresses_changed;
  // Another size was asked of a display with reconfigure(), and the guest told.
  std::function<void(GraphicsDisplay&)> display_did_begin_reconfiguration;
  // Frames of another size arrive: what was asked for, or what the guest chose itself.
  std::function<void(GraphicsDisplay&)> display_did_end_reconfiguration;
  // A program in the guest opened a console's port, or closed it.
  std::function<void(ConsolePort&)> console_port_did_open;
  std::function<void(ConsolePort&)> console_port_did_close;
  // The guest copied something, or what it had copied is not shared any more.
  std::function<void(Clipboard&)> clipboard_changed;
  // The host side of a network device failed; the guest sees an unplugged cable.
  std::function<void(NetworkDevice&, const Error&)> network_attachment_was_disconnected;
  // A network block device is connected, also again after it was not.
  std::function<void(StorageDevice&)> storage_attachment_was_connected;
  // It is not and will not be: all its requests fail until the machine is started again.
  std::function<void(StorageDevice&, const Error&)> storage_attachment_did_encounter_error;
  // A disk that was attached at run time is gone, and its file closed: it was detached, or the guest let go
  // of it by itself. Not called for those that end with their machine.
  std::function<void(StorageDevice&)> storage_device_was_detached;
};

// Ends an observation when destroyed; after that none of its functions is called. Destroying it on another
// thread waits for one that is being called. May outlive the machine.
class [[nodiscard]] Observation {
 public:
  class Record;
  Observation() = default;
  explicit Observation(std::shared_ptr<Record> record) : record_(std::move(record)) {}
  Observation(Observation&&) noexcept = default;
  Observation& operator=(Observation&& other) noexcept;
  ~Observation();

 private:
  std::shared_ptr<Record> record_;
};

struct VirtualMachineOptions {
  // Where completions and observers are called; by default a thread of the machine's own.
  std::shared_ptr<SerialExecutor> executor;
  // The program that hosts the machine. By default: $ALCOVE_VM, else `alcove-vm` beside the running program,
  // else where `alcove` was installed.
  std::filesystem::path machine_program;
};

// How a disk is taken from a guest that may be using it.
struct StorageDeviceDetachOptions {
  // How long the guest may take to let go of it. Linux does so at once, even of a disk that is mounted; a
  // guest that is not up, or knows no hot plug, does not.
  std::chrono::milliseconds timeout{30'000};
  // What then: take it away all the same, as if it were pulled out of a computer, instead of leaving it.
  bool force = false;
};

struct VirtualMachineStartOptions {
  std::optional<BootLoader> boot_loader;  // Boots this once instead of the configuration's.
};

// One condition for running machines on this host.
struct Prerequisite {
  std::string name;        // "kvm", "machine program"…
  bool satisfied = false;  // Whether it is met.
  bool required = false;   // Whether machines need it at all; otherwise it makes them better.
  std::string found;       // What is there: a version, a path, or what is missing.
  std::string hint;        // How to mend it; empty if there is nothing to mend.

  bool operator==(const Prerequisite&) const = default;
};

// Every member may be called from any thread. Completions are called exactly once, on the executor, never
// inside the call that takes them. Between tasks on the executor, state() changes only by calls of start(),
// pause()….
//
// | operation    | allowed from     | passes through | then                                             |
// |--------------|------------------|----------------|--------------------------------------------------|
// | start        | stopped, error   | starting       | running; after a failure stopped, or error if    |
// |              |                  |                | the machine's process died                       |
// | pause        | running          | pausing        | paused; running if that failed                   |
// | resume       | paused           | resuming       | running; paused if that failed                   |
// | stop         | running, paused  | stopping       | stopped                                          |
// | request_stop | running          |                | stopped, when and if the guest shuts down        |
// | shutdown     | running, paused  |                | stopped; error if the machine failed             |
//
// A request in another state completes with invalid_virtual_machine_state. If the guest stops or the machine
// fails while a request is under way, that completes with invalid_virtual_machine_state_transition.
class VirtualMachine {
 public:
  // Checks the configuration (as validate(); the error is its first problem), copies it and duplicates the
  // file descriptors in it. Nothing is started or opened yet, but pseudo terminals.
  static Result<std::unique_ptr<VirtualMachine>> create(VirtualMachineConfiguration configuration,
                                                        VirtualMachineOptions options = {});
  // Ends the machine as stop() does, and waits for it. Requests under way complete with operation_cancelled.
  // With the default executor every completion has been called on return (except when destroyed by one of its
  // own completions); observers are no longer called.
  ~VirtualMachine();
  VirtualMachine(const VirtualMachine&) = delete;
  VirtualMachine& operator=(const VirtualMachine&) = delete;

  // Nothing if this host can run machines; else the first required prerequisite that is missing, and its
  // cure.
  static Result<> is_supported();
  // Everything looked at, in a sensible order to print. May take a second.
  static std::vector<Prerequisite> prerequisites();

  const VirtualMachineConfiguration& configuration() const;
  VirtualMachineState state() const;
  // Why the state is `error`; nothing in other states.
  std::optional<Error> error() const;

  bool can_start() const;
  bool can_pause() const;
  bool can_resume() const;
  bool can_stop() const;
  bool can_request_stop() const;

  // Opens and locks the files, makes the machine and lets its processors run; completes then, not when the
  // guest has booted.
  void start(Completion<> completion);
  void start(VirtualMachineStartOptions options, Completion<> completion);
  void pause(Completion<> completion);
  void resume(Completion<> completion);
  // Pulls the plug: the guest gets no chance to write what it holds in memory. Observers of guest_did_stop
  // and did_stop_with_error are not called.
  void stop(Completion<> completion);
  // Presses the power button. Success means that the guest was told; it may take its time or ignore it.
  Result<> request_stop();
  // Presses the power button, and stops the machine if the guest has not shut down within `grace` (a paused
  // guest at once). Completes when the machine is stopped, with what did it; if the machine failed instead,
  // with why.
  void shutdown(std::chrono::milliseconds grace, Completion<ShutdownMeans> completion);

  // Waits, while the state is neither stopped nor error. Gives what ended the machine: nothing or the error.
  // Not to be called on the executor, which would wait for itself.
  Result<> wait_until_stopped() const;

  Observation observe(VirtualMachineObserver observer);

  // Those of the configuration, in its order, then those that were attached, from the oldest to the newest.
  std::vector<std::shared_ptr<StorageDevice>> storage_devices() const;
  // Opens and locks the disk's file and puts a virtio disk or an NVM Express controller into a free slot of
  // the running or paused machine; completes then, and the guest finds it when it looks. The disk is there
  // until it is detached or the machine ends, also after a reboot; EFI firmware does not boot from it. Fails
  // with virtual_machine_limit_exceeded if no slot is free: of 30 the other devices take one each; and with
  // not_supported for USB disks, which USBController::attach() plugs in. Fields that errors name begin with
  // "attachment" or are the device's own, as "block_device_identifier".
  void attach_storage_device(StorageDeviceConfiguration configuration,
                             Completion<std::shared_ptr<StorageDevice>> completion);
  // Asks the guest to let go of a disk that was attached at run time: have it unmounted before. After success
  // its file is closed. Fails with operation_cancelled if the guest keeps it; it may still let go of it
  // later, which the observer is told. A guest's reboot or end lets go of it, too. Fails with not_supported
  // for other disks.
  void detach_storage_device(std::shared_ptr<StorageDevice> device, Completion<> completion);
  void detach_storage_device(std::shared_ptr<StorageDevice> device, StorageDeviceDetachOptions options,
                             Completion<> completion);

  // In the order of the configuration's lists.
  const std::vector<NetworkDevice*>& network_devices() const;
  const std::vector<MemoryBalloonDevice*>& memory_balloon_devices() const;
  const std::vector<DirectorySharingDevice*>& directory_sharing_devices() const;
  const std::vector<VirtioSocketDevice*>& socket_devices() const;
  const std::vector<GraphicsDevice*>& graphics_devices() const;
  const std::vector<SerialPort*>& serial_ports() const;
  const std::vector<USBController*>& usb_controllers() const;
  const std::vector<ConsoleDevice*>& console_devices() const;

  // What host and guest share; null without a port for a SPICE agent.
  Clipboard* clipboard() const;

  // A place where input comes from, one for each view: its events go to the configured keyboards, pointing
  // devices and trackpads of the running machine. May be opened while the machine is stopped.
  InputSource open_input_source();

  // Whether the guest has said that it is up (guest_did_become_ready), since it last booted.
  bool guest_is_ready() const;
  // The machine's process; 0 while there is none.
  int process_id() const;
  // What executes the guest: "kvm" or "soft"; empty while stopped.
  std::string hypervisor() const;
  // Processor time that the machine's process has used since it began; 0 while there is none.
  std::chrono::nanoseconds processor_time() const;
  // Host memory that the machine's process takes at this moment, in bytes: shared pages count by their share
  // (PSS). 0 while there is none.
  uint64_t resident_memory_size() const;

 private:
  class Implementation;
  explicit VirtualMachine(std::shared_ptr<Implementation> implementation);
  std::shared_ptr<Implementation> implementation_;
};

}  // namespace alcove
