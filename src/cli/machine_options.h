// The options that describe a machine, as `run` and `create` take them.
#pragma once

#include <alcove/alcove.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace alcove::cli {

struct MachineOptions {
  std::optional<unsigned> cpus;
  std::optional<std::string> cpu_model;
  std::optional<std::string> memory;
  std::optional<std::string> kernel;
  std::optional<std::string> initrd;
  std::optional<std::string> command_line;
  std::optional<std::string> efi;       // Where its variables are; empty for where they usually are.
  std::vector<std::string> isos;        // As discs in USB drives, behind all disks.
  std::vector<std::string> disks;       // FILE[,readonly][,caching=…][,sync=…][,id=…]
  std::vector<std::string> nvme_disks;  // FILE[,readonly][,caching=…][,sync=…][,serial=…]
  std::vector<std::string> keyboards;   // usb, virtio or none
  std::vector<std::string> pointers;    // usb, virtio, trackpad or none
  std::vector<std::string> usb_disks;   // FILE[,readonly][,cdrom][,uas=…][,caching=…][,sync=…]
  std::vector<std::string> networks;    // nat[,forward=tcp:2222:22]…[,mac=…], network=…, tap=… or none
  std::vector<std::string> shares;      // TAG=FOLDER[,readonly][,cache=…][,owner=…][,locks][,dax=…][,name=…]
  std::vector<std::string> vsocks;      // on, none or [cid=…][,to-host=PORT:PATH][,to-guest=PORT:PATH]…
  std::optional<std::string> display_size;  // WIDTHxHEIGHT
  std::optional<std::string> clipboard;     // both, to-guest, from-guest or off
  std::vector<std::string> ports;           // NAME=pty or NAME=FILE
  std::vector<std::string> sounds;          // host, none or [output=…][,input=…][,rate=…]…
  std::optional<std::string> hypervisor;
  std::optional<std::string> label;

  void add_to(CLI::App& command);

  // Changes what was given; `where` of an error names the option. Lists given replace the configuration's.
  Result<> apply(VirtualMachineConfiguration& configuration) const;
  // Makes the file that --efi named if it is missing; without one, in the place given, if that is not empty.
  Result<> make_variable_store(VirtualMachineConfiguration& configuration,
                               const std::filesystem::path& otherwise) const;
};

// What a machine has unless it says otherwise: network, console, entropy, balloon, half of the host's
// processors.
VirtualMachineConfiguration default_configuration();

// For an option's check(): empty, or what is wrong with what it was given.
std::string whole_number(const std::string& text);
// What to say where no kernel was given.
Error no_kernel();
// A size that an option was given; errors name the option and what it was given.
Result<uint64_t> parse_size_option(const std::string& option, const std::string& text);
// "1280x800".
Result<VirtioGraphicsScanoutConfiguration> parse_display_size(const std::string& text);
// Errors name the option.
Result<StorageDeviceConfiguration> parse_disk(const std::string& option, const std::string& text);
Result<StorageDeviceConfiguration> parse_nvme(const std::string& option, const std::string& text);
Result<USBMassStorageDeviceConfiguration> parse_usb_disk(const std::string& option, const std::string& text);
// FILE with options as above, its paths so that they lead there from any folder: the background process of a
// machine is in another one.
std::string with_absolute_paths(const std::string& disk);
// Has the machine share a clipboard, with a port for it, or not.
Result<> set_clipboard(const std::string& mode, VirtualMachineConfiguration& configuration);
// Adds the named port to the console device.
Result<> add_port(const std::string& text, VirtualMachineConfiguration& configuration);
// Adds the shared folder to the device of its tag, or a device.
Result<> add_share(const std::string& text, VirtualMachineConfiguration& configuration);
// Changes the socket device, or adds or removes it.
Result<> add_vsock(const std::string& text, VirtualMachineConfiguration& configuration);
// Adds streams to the sound device, or removes it.
Result<> add_sound(const std::string& text, VirtualMachineConfiguration& configuration);
// Nothing for "none", in both.
Result<std::optional<NetworkDeviceAttachment>> parse_attachment(const std::string& text);
Result<std::optional<NetworkDeviceConfiguration>> parse_network(const std::string& text);
// What peers find the machine by on shared networks, if nothing else was given: the machine's name, as far as
// it is one for a host.
void set_host_name(NetworkDeviceAttachment& attachment, const std::string& name);
void set_host_names(VirtualMachineConfiguration& configuration, const std::string& name);

}  // namespace alcove::cli
