// A virtual machine inside its process: made from a configuration and open files, driven by its owner.
#pragma once

#include <alcove/devices.h>
#include <alcove/error.h>
#include <alcove/virtual_machine.h>
#include <alcove/virtual_machine_configuration.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cpu/hypervisor.h"
#include "input/router.h"
#include "machine/descriptors.h"

namespace alcove::machine {

// What happens to a machine by itself. Called on the machine's threads, several at once; calls nothing of the
// Machine but what is marked "any thread", and returns soon. Outlives the Machine.
class MachineObserver {
 public:
  virtual ~MachineObserver() = default;
  // The guest powered itself off; no processor runs any more. Followed by no other call.
  virtual void on_stopped() = 0;
  // The machine can't go on; no processor runs any more. Followed by no other call.
  virtual void on_error(Error error) = 0;
  // The guest restarted itself; the machine goes on.
  virtual void on_reboot() = 0;
  virtual void on_addresses_changed(size_t network_device) = 0;
  // The host side of a network device failed.
  virtual void on_network_error(size_t network_device, Error error) = 0;
  // A network block device is connected, or again; or it is not, and its requests fail from now on.
  virtual void on_storage_connected(size_t /*storage_device*/) {}
  virtual void on_storage_error(size_t /*storage_device*/, Error /*error*/) {}
  // A disk that was attached at run time is gone, and its image closed.
  virtual void on_storage_detached(size_t /*storage_device*/) {}
  // The guest wants to connect to a port of the host; Machine::answer_socket() is to be called, some time.
  virtual void on_socket_request(uint64_t connection, uint32_t source_port, uint32_t port) = 0;
  // The guest opened or closed a console device's port, both by index in the configuration. It has opened it
  // so often.
  virtual void on_console_port(size_t device, size_t port, uint64_t openings, bool open) = 0;
};

// Control of one running network device. Any thread.
class NetworkControl {
 public:
  virtual ~NetworkControl() = default;
  // Gives the forward in effect, with the port chosen if `host_port` is 0.
  virtual Result<PortForward> add_forward(const PortForward& forward) = 0;
  virtual Result<> remove_forward(const PortForward& forward) = 0;
  virtual std::vector<PortForward> forwards() const = 0;
  virtual std::vector<std::string> addresses() const = 0;
  virtual NetworkDeviceStatistics statistics() const = 0;
};

// Control of the running disks of storage_devices and of those that were attached, by number: the index in
// the configuration, or what attach_storage() gave. Any thread.
class StorageControl {
 public:
  virtual ~StorageControl() = default;
  virtual Result<> set_limits(size_t number, const StorageDeviceLimits& limits) = 0;
  virtual Result<> resize(size_t number, uint64_t size) = 0;
  virtual Result<StorageDeviceStatistics> statistics(size_t number) const = 0;
};

// Not to be called from several threads at once, but for what is marked "any thread".
class Machine {
 public:
  // Makes everything, runs nothing. Takes what it needs from `descriptors`; errors name the field.
  static Result<std::unique_ptr<Machine>> create(VirtualMachineConfiguration configuration,
                                                 Descriptors descriptors, MachineObserver& observer);
  // With a hypervisor of the caller's, whatever the configuration says.
  static Result<std::unique_ptr<Machine>> create(VirtualMachineConfiguration configuration,
                                                 Descriptors descriptors, MachineObserver& observer,
                                                 std::unique_ptr<cpu::Hypervisor> hypervisor);
  // Ends it as stop() does.
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  Result<> start();  // Once. The processors run on return.
  Result<> pause();  // No processor runs and no device works on return; repeated calls do nothing.
  Result<> resume();
  Result<> request_stop();  // Presses the ACPI power button.
  // No processor runs and no device works on return; what the guest wrote is with the host. Final.
  void stop();

  std::string_view hypervisor() const;  // "kvm" or "soft". Any thread.
  // While it is paused; empty otherwise.
  std::vector<cpu::X86State> processor_states() const;

  // By index in the configuration's network_devices.
  NetworkControl& network(size_t index);
  StorageControl& storage();  // Any thread.
  // To the keyboards and pointing devices. Its send() may be called from any thread.
  input::Router& input();
  // Plugs a USB device into a controller, by index in the configuration's usb_controllers, and pulls it out:
  // then `completion` is called once, on any thread. Any thread.
  Result<> attach_usb(size_t controller, const USBMassStorageDeviceConfiguration& device,
                      std::vector<UniqueFd> image);
  void detach_usb(size_t controller, const UUID& uuid, Completion<> completion);
  // Another disc for a USB drive, or none: then `completion` is called once, on any thread. Any thread.
  void change_usb_medium(size_t controller, const UUID& uuid,
                         const std::optional<StorageDeviceAttachment>& medium, std::vector<UniqueFd> image,
                         Completion<> completion);
  // As of VirtualMachine, of a machine that has started; gives the disk's number. Takes as long as a server
  // takes to answer. Any thread.
  Result<size_t> attach_storage(const StorageDeviceConfiguration& device, std::vector<UniqueFd> image);
  // `completion` is called once, on any thread. Any thread.
  void detach_storage(size_t number, const StorageDeviceDetachOptions& options, Completion<> completion);
  // What the guest mounts from now on, by index in the configuration's directory_sharing_devices; `folders`
  // as of create(), but for paths that begin with "share". Any thread.
  Result<> set_share(size_t device, const std::optional<DirectoryShare>& share, Descriptors folders);
  // Connects `socket` to a port of the guest's socket device, and `completion` is called once, on any thread,
  // with the connection's port at the host. Any thread.
  void connect_socket(uint32_t port, UniqueFd socket, std::chrono::milliseconds timeout,
                      Completion<uint32_t> completion);
  // As on_socket_request() asked: without a socket the guest is refused. Fails if the guest does not want to
  // connect any more. `completion` is called once, on any thread. Any thread.
  void answer_socket(uint64_t connection, UniqueFd socket, Completion<> completion);
  // What a network device's cable is plugged into from now on, by index in the configuration; nothing: it is
  // pulled. `descriptors` as of create(), but for paths that begin with "attachment". Any thread.
  Result<> set_network_attachment(size_t device, const std::optional<NetworkDeviceAttachment>& attachment,
                                  Descriptors descriptors);
  // What a console device's port is attached to from now on, by index in the configuration; `attachment` as
  // of create(), but for paths that begin with "attachment". A SPICE agent's port has none until `opening`
  // says for which of the times that the guest opens it; nothing, if that is over. Any thread.
  Result<> set_console_attachment(size_t device, size_t port, Descriptors attachment,
                                  std::optional<uint64_t> opening);
  // The size of the terminal at such a port, if that is a console. Any thread.
  Result<> resize_console(size_t device, size_t port, uint16_t columns, uint16_t rows);
  // How many bytes the guest is to keep, of the first memory balloon; `not_supported` without one.
  Result<> set_balloon_target(uint64_t memory_size);  // Any thread.
  // Asks the guest, and calls `completion` once, on any thread, within about a second.
  void balloon_statistics(Completion<MemoryBalloonStatistics> completion);  // Any thread.
  // Tells the guest of another monitor at a scanout, by index in the configuration. Any thread.
  Result<> reconfigure_display(size_t device, size_t scanout,
                               const VirtioGraphicsScanoutConfiguration& configuration);
  // The latest output of a port in the configuration's serial_ports. Any thread.
  std::string serial_log(size_t index) const;

 private:
  class Implementation;
  explicit Machine(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace alcove::machine
