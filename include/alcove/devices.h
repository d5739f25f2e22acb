// The live counterparts of configured devices. They belong to their VirtualMachine, are reached through it,
// and live as long as it does, also while it is stopped. Calls of one
// that has been detached fail.
//
// Every member may be called from any thread. Completions are called exactly once, on the machine's executor.
// What needs a running guest fails with invalid_virtual_machine_state unless the machine runs or is paused.
#pragma once

#include <alcove/console.h>
#include <alcove/directory_sharing.h>
#include <alcove/error.h>
#include <alcove/graphics.h>
#include <alcove/network.h>
#include <alcove/storage.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace alcove {

template <class T = void>
using Completion = std::move_only_function<void(Result<T>)>;

// What was done on a disk since the machine started.
struct StorageDeviceStatistics {
  uint64_t size = 0;  // In bytes, as the guest sees it.
  uint64_t read_operations = 0;
  uint64_t read_bytes = 0;
  uint64_t write_operations = 0;  // Those that write zeroes without data included.
  uint64_t written_bytes = 0;
  uint64_t flush_operations = 0;
  uint64_t discard_operations = 0;
  uint64_t failed_operations = 0;  // Those that the host could not do.

  bool operator==(const StorageDeviceStatistics&) const = default;
};

class StorageDevice {
 public:
  virtual ~StorageDevice() = default;
  virtual const StorageDeviceConfiguration& configuration() const = 0;

  // Its place in the configuration's storage_devices. Disks that are attached at run time go on from there,
  // and none gets a number that another one has had since the machine started.
  virtual size_t number() const = 0;

  // Those in effect; the configuration's at each start.
  virtual StorageDeviceLimits limits() const = 0;
  virtual void set_limits(StorageDeviceLimits limits, Completion<> completion) = 0;

  // Makes the disk larger, its image and what the guest sees, while the guest uses it; what is added reads as
  // zeroes. `size` is in bytes, a multiple of 512. Fails with not_supported for USB disks, whose drivers look
  // only when they are plugged in, and for network block devices; with invalid_disk_image if the disk would
  // shrink or its image can't have that size; with out_of_disk_space.
  virtual void resize(uint64_t size, Completion<> completion) = 0;

  virtual void statistics(Completion<StorageDeviceStatistics> completion) = 0;
};

class NetworkDevice {
 public:
  virtual ~NetworkDevice() = default;
  virtual MACAddress mac_address() const = 0;

  // What the other end of the cable is plugged into; that of the configuration at each start. Nothing: it is
  // unplugged, as it is after VirtualMachineObserver::network_attachment_was_disconnected.
  virtual std::optional<NetworkDeviceAttachment> attachment() const = 0;
  // Pulls the cable and plugs it in elsewhere: the guest sees its link go down and, if there is another
  // attachment, up again once it has noticed, a second later at most. Errors as of validate(); paths of
  // fields begin with "attachment". Nothing changes where it fails.
  virtual void set_attachment(std::optional<NetworkDeviceAttachment> attachment, Completion<> completion) = 0;

  // IP addresses that the guest uses, as known from DHCP and from its packets, e.g. "10.0.2.15"; those of an
  // interface that can be reached first. Empty while there are none.
  virtual std::vector<std::string> addresses() const = 0;

  // Those in effect, with the host ports that were chosen.
  virtual std::vector<PortForward> port_forwards() const = 0;
  // The result is the forward in effect: its host_port is never 0. Fails with network_error when the host's
  // port is taken, and with not_supported where the attachment is not NAT or a shared network. Forwards added
  // here end with the machine, or with the attachment.
  virtual void add_port_forward(PortForward forward, Completion<PortForward> completion) = 0;
  // Takes one of port_forwards(). Connections that exist go on.
  virtual void remove_port_forward(PortForward forward, Completion<> completion) = 0;

  virtual void statistics(Completion<NetworkDeviceStatistics> completion) = 0;
};

// What the guest's driver reports of its memory; in bytes, or counted since it booted. A guest may leave out
// any.
struct MemoryBalloonStatistics {
  uint64_t current_memory_size = 0;   // What the guest has at this moment: memory_size without the balloon.
  uint64_t reported_free_memory = 0;  // Given back by free page reporting since the start; a running total.
  std::optional<uint64_t> total_memory;
  std::optional<uint64_t> free_memory;
  std::optional<uint64_t> available_memory;  // For new applications without swapping.
  std::optional<uint64_t> disk_caches;
  std::optional<uint64_t> swapped_in;
  std::optional<uint64_t> swapped_out;
  std::optional<uint64_t> major_faults;
  std::optional<uint64_t> minor_faults;

  bool operator==(const MemoryBalloonStatistics&) const = default;
};

class MemoryBalloonDevice {
 public:
  virtual ~MemoryBalloonDevice() = default;

  // The memory that the guest is asked to make do with, in bytes; memory_size at each start. The setter
  // rounds down to 1 MiB, then limits to minimum_allowed_memory_size()…memory_size. A request only: the guest
  // follows when and as far as it can.
  virtual uint64_t target_virtual_machine_memory_size() const = 0;
  virtual void set_target_virtual_machine_memory_size(uint64_t bytes) = 0;

  // Asks the guest; what it does not answer within a second stays empty.
  virtual void statistics(Completion<MemoryBalloonStatistics> completion) = 0;
};

class DirectorySharingDevice {
 public:
  virtual ~DirectorySharingDevice() = default;
  virtual const std::string& tag() const = 0;
  // What the guest mounts; that of the configuration at each start. Nothing: an empty folder.
  virtual std::optional<DirectoryShare> share() const = 0;
  // Opens the folders of the other share and has the guest's mount be that from now on. What the guest has
  // open of the old one is closed. Errors as of validate(); paths of fields begin with "share".
  virtual void set_share(std::optional<DirectoryShare> share, Completion<> completion) = 0;
};

class SerialPort {
 public:
  virtual ~SerialPort() = default;

  // The guest's latest output, up to 256 KiB, whatever the attachment; also after the machine stopped or its
  // process died. Emptied at each start.
  virtual std::string log() const = 0;
  // How many bytes the guest has put out since the start: more than log().size() means that the log lost its
  // beginning.
  virtual uint64_t log_position() const = 0;

  // The terminal's name ("/dev/pts/7"); empty for another attachment.
  virtual std::string pseudo_terminal_path() const = 0;
};

// One port of a console device.
class ConsolePort {
 public:
  virtual ~ConsolePort() = default;
  virtual const VirtioConsolePortConfiguration& configuration() const = 0;
  // Whether a program in the guest has it open: /dev/virtio-ports/NAME, or the console's driver. What is sent
  // to a port that is not open waits.
  virtual bool is_open() const = 0;

  // What it is attached to; that of the configuration at each start.
  virtual std::optional<ConsolePortAttachment> attachment() const = 0;
  // Has the port be attached to something else from now on; nothing: what the guest writes is dropped. What
  // the former attachment has not yet taken is lost. A SPICE agent's port keeps its attachment:
  // Clipboard::set_sharing() switches what it does. Errors as of validate(); paths of fields begin with
  // "attachment".
  virtual void set_attachment(std::optional<ConsolePortAttachment> attachment, Completion<> completion) = 0;
  // The terminal's name ("/dev/pts/7"); empty for another attachment.
  virtual std::string pseudo_terminal_path() const = 0;

  // The size of the terminal at a console's end, for the guest's programs.
  virtual void set_terminal_size(uint16_t columns, uint16_t rows, Completion<> completion) = 0;
};

class ConsoleDevice {
 public:
  virtual ~ConsoleDevice() = default;
  // In the order of the configuration.
  virtual const std::vector<ConsolePort*>& ports() const = 0;
};

}  // namespace alcove
