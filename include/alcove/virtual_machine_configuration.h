// What a virtual machine consists of: a value that can be copied, compared, printed, stored and read back.
// Making or changing one has no effect on the host. No member needs setting but the boot loader.
#pragma once

#include <alcove/audio.h>
#include <alcove/boot_loader.h>
#include <alcove/console.h>
#include <alcove/directory_sharing.h>
#include <alcove/entropy.h>
#include <alcove/error.h>
#include <alcove/graphics.h>
#include <alcove/input.h>
#include <alcove/memory_balloon.h>
#include <alcove/network.h>
#include <alcove/platform.h>
#include <alcove/serial_port.h>
#include <alcove/socket.h>
#include <alcove/storage.h>
#include <alcove/usb.h>

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace alcove {

// What executes the guest's instructions.
enum class HypervisorChoice {
  automatic,  // KVM where the host's processor assists it, else the software engine. "auto" in machine files.
  kvm,        // KVM or failure.
  soft,       // The software engine, which runs everywhere.
};

struct VirtualMachineConfiguration {
  // Shown in the name of the machine's process: 1 to 64 bytes, not only blanks.
  std::optional<std::string> label;
  unsigned cpu_count = 1;  // See minimum_allowed_cpu_count() and maximum_allowed_cpu_count().
  // What the processors can do: "host" (whatever this host can), or the x86-64 psABI's levels "x86-64-v1" to
  // "x86-64-v3" for machines that are to run on other hosts, too. ",+NAME" and ",-NAME" add and remove
  // features, by their names in /proc/cpuinfo.
  std::string cpu_model = "host";
  uint64_t memory_size = 1ull << 30;  // In bytes, a multiple of 1 MiB; the host gives pages as they are used.
  PlatformConfiguration platform;
  std::optional<BootLoader> boot_loader;  // Required.
  std::vector<StorageDeviceConfiguration> storage_devices;
  std::vector<USBControllerConfiguration> usb_controllers;  // At most four.
  std::vector<NetworkDeviceConfiguration> network_devices;
  std::vector<DirectorySharingDeviceConfiguration> directory_sharing_devices;
  std::vector<SocketDeviceConfiguration> socket_devices;      // At most one.
  std::vector<GraphicsDeviceConfiguration> graphics_devices;  // At most one.
  std::vector<SerialPortConfiguration> serial_ports;
  std::vector<ConsoleDeviceConfiguration> console_devices;
  // Several of a kind are fine: events go to the first that the guest has a driver for.
  std::vector<KeyboardConfiguration> keyboards;
  std::vector<PointingDeviceConfiguration> pointing_devices;
  std::vector<AudioDeviceConfiguration> audio_devices;  // At most four.
  std::vector<EntropyDeviceConfiguration> entropy_devices;
  std::vector<MemoryBalloonDeviceConfiguration> memory_balloon_devices;  // At most one.
  HypervisorChoice hypervisor = HypervisorChoice::automatic;

  static unsigned minimum_allowed_cpu_count();
  static unsigned maximum_allowed_cpu_count();
  static uint64_t minimum_allowed_memory_size();  // In bytes.
  static uint64_t maximum_allowed_memory_size();  // In bytes: what the host has.

  // Every problem, each with the path of its field ("storage_devices[1].attachment.path"), the cause and the
  // cure; none means that the machine can be made. Looks at the files named, changes nothing.
  std::vector<Error> validate() const;

  // A machine file (TOML). load() takes relative paths to be relative to the file's folder and makes them
  // absolute; save() writes paths below that folder as relative ones, so that the folder can be moved, and
  // replaces the file as a whole or not at all. Unknown and misspelt fields are errors; missing ones have
  // their default.
  static Result<VirtualMachineConfiguration> load(const std::filesystem::path& file);
  Result<> save(const std::filesystem::path& file) const;
  // The same without a file; paths stay as they are.
  static Result<VirtualMachineConfiguration> from_toml(std::string_view text);
  std::string to_toml() const;
  // For programs: the same fields as JSON.
  static Result<VirtualMachineConfiguration> from_json(std::string_view text);
  std::string to_json() const;

  bool operator==(const VirtualMachineConfiguration&) const = default;
};

// Prints the machine file.
std::ostream& operator<<(std::ostream& stream, const VirtualMachineConfiguration& configuration);

// Names as in machine files: "auto", "kvm", "tcp"… The reverse gives nothing for an unknown name.
std::string_view to_string(HypervisorChoice value);
std::string_view to_string(DiskImageFormat value);
std::string_view to_string(DiskImageCachingMode value);
std::string_view to_string(DiskImageSynchronizationMode value);
std::string_view to_string(DiskImageLockingMode value);
std::string_view to_string(NetworkRuleAction value);
std::string_view to_string(TransportProtocol value);
std::string_view to_string(SharedDirectoryCachingMode value);
std::string_view to_string(SocketBridgeDirection value);
std::string_view to_string(AudioSampleFormat value);
template <class Enumeration>
std::optional<Enumeration> from_string(std::string_view name);  // For those above.

// "4 GiB", "512MiB", "1536M", "4g", "1048576": bytes with a binary unit, as machine files and options take
// them.
Result<uint64_t> parse_size(std::string_view text);
std::string format_size(uint64_t bytes);  // The shortest exact form, e.g. "4 GiB".
// "tcp:2222:22", "udp:127.0.0.1:5353:53", "tcp:[::1]:8080:10.0.2.15:80":
// PROTOCOL:[ADDRESS:]PORT:[ADDRESS:]PORT, host first; IPv6 addresses in brackets; port 0 of the host means
// any.
Result<PortForward> parse_port_forward(std::string_view text);
std::string format_port_forward(const PortForward& forward);

}  // namespace alcove
