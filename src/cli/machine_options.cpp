#include "cli/machine_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <thread>

#include "cli/option_text.h"

namespace alcove::cli {

namespace {

constexpr std::string_view kNoFile = "true";  // What a flag gets that was given without a value.

}  // namespace

Result<> MachineOptions::make_variable_store(VirtualMachineConfiguration& configuration,
                                             const std::filesystem::path& otherwise) const {
  auto* loader =
      configuration.boot_loader ? std::get_if<EFIBootLoader>(&*configuration.boot_loader) : nullptr;
  if (!loader) return {};
  std::filesystem::path& path = loader->variable_store.path;
  if (path.empty()) path = otherwise;
  std::error_code error;
  if (path.empty() || std::filesystem::exists(path, error)) return {};
  auto made = EFIVariableStore::create(path, {.firmware = loader->firmware});
  if (!made) {
    made.error().where = "--efi";
    return std::unexpected(std::move(made.error()));
  }
  return {};
}

std::string whole_number(const std::string& text) {
  const bool is_one = !text.empty() && text.size() <= 9 && text.find_first_not_of("0123456789") == text.npos;
  return is_one ? "" : fmt::format("'{}' is not a whole number", text);
}

void MachineOptions::add_to(CLI::App& command) {
  const auto group = "Machine";
  command.add_option("--cpus", cpus, "Processors (default: half of the host's, 4 at most)")
      ->group(group)
      ->type_name("N")
      ->check(whole_number);
  command
      .add_option("--cpu", cpu_model,
                  "What processors can do: host, x86-64-v1, x86-64-v2 or x86-64-v3; +NAME and -NAME add and "
                  "remove a feature (default: host)")
      ->group(group)
      ->type_name("MODEL[,+NAME|-NAME]...");
  command.add_option("--memory", memory, "Memory, e.g. 2GiB (default: 1GiB)")
      ->group(group)
      ->type_name("SIZE");
  command.add_option("--kernel", kernel, "Linux kernel: bzImage or vmlinux, also compressed")
      ->group(group)
      ->type_name("FILE");
  command.add_option("--initrd", initrd, "Initial RAM disk for --kernel")->group(group)->type_name("FILE");
  command.add_option("--cmdline", command_line, "The kernel's parameters (default: console=ttyS0)")
      ->group(group)
      ->type_name("TEXT");
  command
      .add_flag(
          "--efi", efi,
          "Boot by EFI firmware, its variables in FILE, which is made if it is missing (default: in the "
          "kept machine's folder; with run, in memory)")
      ->group(group)
      ->type_name("[=FILE]");
  command
      .add_option("--iso", isos,
                  "Installer or live system to boot by EFI firmware where no disk can be booted: read-only, "
                  "after all disks; may be repeated")
      ->group(group)
      ->type_name("FILE")
      ->take_all();
  command
      .add_option(
          "--disk", disks,
          "Disk image; options: readonly, format=auto|raw|qcow2, backing (open the images that it names "
          "itself), base=FILE (an image below it, the lowest first), caching=auto|cached|uncached, "
          "sync=full|fsync|none, "
          "bytes-per-second=SIZE, operations-per-second=N, id=NAME; or a network block device's URL "
          "(nbd://HOST/EXPORT) with readonly, timeout=SECONDS and the last four; may be repeated")
      ->group(group)
      ->type_name("FILE|URL[,OPTION]...")
      ->take_all();
  command
      .add_option(
          "--nvme", nvme_disks,
          "Disk image behind an NVM Express controller; options as of --disk, but serial=NAME for id; "
          "may be repeated")
      ->group(group)
      ->type_name("FILE[,OPTION]...")
      ->take_all();
  command
      .add_option("--usb-disk", usb_disks,
                  "Disk image as a USB stick; options: readonly, cdrom (a disc in a drive), uas=on|off (USB "
                  "Attached SCSI, too), and format=, backing, base=, caching= and sync= as of --disk; may be "
                  "repeated")
      ->group(group)
      ->type_name("FILE[,OPTION]...")
      ->take_all();
  command
      .add_option(
          "--net", networks,
          "Network card: behind the host's address (nat, or passt, if that is installed), on a network "
          "that machines share by its name, or on a tap or macvtap interface, or at a datagram socket; "
          "options: mac=ADDRESS; allow=RULE and deny=RULE (whom the guest may address: "
          "[PROTOCOL[:PORT[-PORT]]@]any|ADDRESS[/LENGTH], the first that fits decides); of nat, network and "
          "passt forward=PROTOCOL:[ADDRESS:]PORT:[ADDRESS:]"
          "PORT; of network peers (reach others that have this, too) and hostname=NAME; of nat and network "
          "subnet=ADDRESS/LENGTH, prefix=ADDRESS/64, address=ADDRESS (the guest's, by DHCP), mtu=N, "
          "interface=NAME (of the host, by which all leaves), host-only, and nat44=, nat66=, dhcp=, dns=, "
          "ra=on|off; of fd mtu=N; "
          "may be repeated (default: nat)")
      ->group(group)
      ->type_name("nat|network=NAME|tap=INTERFACE|passt|fd=N[,OPTION]...|none")
      ->take_all();
  command
      .add_option("--share", shares,
                  "Folder of the host for the guest (mount -t virtiofs TAG WHERE); options: readonly, "
                  "cache=auto|none|always, owner=USER[:GROUP]|host|virtual, locks (hold on the host, too), "
                  "mount=PATH (systemd mounts it there), dax=SIZE (window in which the guest maps the files "
                  "themselves), "
                  "name=NAME (one of several of this TAG); may be repeated")
      ->group(group)
      ->type_name("TAG=FOLDER[,OPTION]...")
      ->take_all();
  command
      .add_option("--vsock", vsocks,
                  "Sockets between host and guest; options: to-host=PORT:SOCKET (the guest's connections to "
                  "this port of the host reach this UNIX socket), to-guest=PORT:SOCKET (made: connections to "
                  "it reach this port of the guest), cid=N; may be repeated (default: on)")
      ->group(group)
      ->type_name("on|none|OPTION[,OPTION]...")
      ->take_all();
  command.add_option("--size", display_size, "A display of this size, e.g. 1280x800 (default: no display)")
      ->group(group)
      ->type_name("WIDTHxHEIGHT");
  command
      .add_option("--clipboard", clipboard,
                  "What views and a SPICE agent in the guest share: both, to-guest, from-guest or off "
                  "(default: both with --size, else off)")
      ->group(group)
      ->type_name("DIRECTION");
  command
      .add_option(
          "--port", ports,
          "Byte stream that the guest has as /dev/virtio-ports/NAME, to a new pseudo terminal or into "
          "a file; may be repeated")
      ->group(group)
      ->type_name("NAME=pty|FILE")
      ->take_all();
  command
      .add_option("--sound", sounds,
                  "Sound card: host (plays and records by PipeWire), or streams: output=host|null|FILE "
                  "(FILE.wav gets all that the guest plays), input=host|silence|FILE; after output=FILE "
                  "rate=N, channels=N and format=u8|s16|s24|s32|f32, after input=FILE loop; may be repeated "
                  "(default: none)")
      ->group(group)
      ->type_name("host|none|OPTION[,OPTION]...")
      ->take_all();
  command
      .add_option("--keyboard", keyboards, "Keyboard: usb, virtio or none; may be repeated (default: none)")
      ->group(group)
      ->type_name("KIND")
      ->take_all();
  command
      .add_option("--pointer", pointers,
                  "Pointing device: usb, virtio, trackpad or none; may be repeated (default: none)")
      ->group(group)
      ->type_name("KIND")
      ->take_all();
  command
      .add_option("--hypervisor", hypervisor, "What executes the guest: auto, kvm or soft (default: auto)")
      ->group(group)
      ->type_name("NAME");
  command.add_option("--label", label, "Shown in the name of the machine's process")
      ->group(group)
      ->type_name("TEXT");
}

namespace {

Result<> add_keyboard(const std::string& kind, VirtualMachineConfiguration& configuration) {
  if (kind == "none") return {};
  if (kind == "usb") {
    configuration.keyboards.emplace_back(USBKeyboardConfiguration{});
  } else if (kind == "virtio") {
    configuration.keyboards.emplace_back(VirtioKeyboardConfiguration{});
  } else {
    return usage("--keyboard", fmt::format("'{}' is not a kind of keyboard", kind),
                 "use usb, virtio or none");
  }
  return {};
}

Result<> add_pointer(const std::string& kind, VirtualMachineConfiguration& configuration) {
  if (kind == "none") return {};
  auto& devices = configuration.pointing_devices;
  if (kind == "usb") {
    devices.emplace_back(USBScreenCoordinatePointingDeviceConfiguration{});
  } else if (kind == "virtio") {
    devices.emplace_back(VirtioScreenCoordinatePointingDeviceConfiguration{});
  } else if (kind == "trackpad") {
    devices.emplace_back(VirtioTrackpadConfiguration{});
  } else {
    return usage("--pointer", fmt::format("'{}' is not a kind of pointing device", kind),
                 "use usb, virtio, trackpad or none");
  }
  return {};
}

}  // namespace

VirtualMachineConfiguration default_configuration() {
  VirtualMachineConfiguration configuration;
  configuration.cpu_count = std::clamp(std::thread::hardware_concurrency() / 2, 1u, 4u);
  configuration.usb_controllers = {XHCIControllerConfiguration{}};
  configuration.network_devices = {
      VirtioNetworkDeviceConfiguration{.attachment = NATNetworkDeviceAttachment{}}};
  configuration.serial_ports = {UART16550SerialPortConfiguration{}};
  configuration.entropy_devices = {VirtioEntropyDeviceConfiguration{}};
  configuration.memory_balloon_devices = {VirtioTraditionalMemoryBalloonDeviceConfiguration{}};
  configuration.socket_devices = {VirtioSocketDeviceConfiguration{}};
  return configuration;
}

Error no_kernel() {
  return {ErrorCode::invalid_virtual_machine_configuration, "--kernel", "there is nothing to boot",
          "give --kernel FILE, usually with --initrd and --disk, or --iso FILE, or --efi with --disk FILE"};
}

Result<uint64_t> parse_size_option(const std::string& option, const std::string& text) {
  auto size = parse_size(text);
  if (!size) return usage(option, fmt::format("'{}' {}", text, size.error().what), size.error().hint);
  return *size;
}

Result<VirtioGraphicsScanoutConfiguration> parse_display_size(const std::string& text) {
  const size_t cross = text.find('x');
  const std::string width = text.substr(0, cross);
  const std::string height = cross == std::string::npos ? "" : text.substr(cross + 1);
  if (!whole_number(width).empty() || !whole_number(height).empty())
    return usage("--size", fmt::format("'{}' is not a size", text), "give WIDTHxHEIGHT, like 1280x800");
  return VirtioGraphicsScanoutConfiguration{.width = static_cast<uint32_t>(std::stoul(width)),
                                            .height = static_cast<uint32_t>(std::stoul(height))};
}

Result<> MachineOptions::apply(VirtualMachineConfiguration& configuration) const {
  if (cpus) configuration.cpu_count = *cpus;
  if (cpu_model) configuration.cpu_model = *cpu_model;
  if (memory) {
    auto size = parse_size_option("--memory", *memory);
    if (!size) return std::unexpected(size.error());
    configuration.memory_size = *size;
  }
  if (kernel || initrd || command_line) {
    auto* loader =
        configuration.boot_loader ? std::get_if<LinuxBootLoader>(&*configuration.boot_loader) : nullptr;
    LinuxBootLoader changed = loader ? *loader : LinuxBootLoader{.command_line = "console=ttyS0"};
    if (!loader && !kernel)
      return usage(initrd ? "--initrd" : "--cmdline", "there is no kernel that this belongs to",
                   "give --kernel too");
    if (kernel) changed.kernel = *kernel;
    if (initrd) changed.initial_ramdisk = *initrd;
    if (command_line) changed.command_line = *command_line;
    configuration.boot_loader = changed;
  }
  if (efi || (!isos.empty() && !configuration.boot_loader)) {
    if (kernel || initrd || command_line)
      return usage("--efi", "firmware finds the kernel itself", "leave out --kernel, --initrd and --cmdline");
    auto* loader =
        configuration.boot_loader ? std::get_if<EFIBootLoader>(&*configuration.boot_loader) : nullptr;
    EFIBootLoader changed = loader ? *loader : EFIBootLoader{};
    if (efi && *efi != kNoFile) changed.variable_store.path = *efi;
    configuration.boot_loader = changed;
  }
  if (!disks.empty() || !nvme_disks.empty()) configuration.storage_devices.clear();
  for (const std::string& disk : disks) {
    auto device = parse_disk("--disk", disk);
    if (!device) return std::unexpected(device.error());
    configuration.storage_devices.push_back(*device);
  }
  if (!keyboards.empty()) configuration.keyboards.clear();
  for (const std::string& kind : keyboards) {
    if (auto added = add_keyboard(kind, configuration); !added) return added;
  }
  if (!pointers.empty()) configuration.pointing_devices.clear();
  for (const std::string& kind : pointers) {
    if (auto added = add_pointer(kind, configuration); !added) return added;
  }
  for (const std::string& disk : nvme_disks) {
    auto device = parse_nvme("--nvme", disk);
    if (!device) return std::unexpected(device.error());
    configuration.storage_devices.push_back(*device);
  }
  if (!usb_disks.empty()) {
    if (configuration.usb_controllers.empty()) configuration.usb_controllers.emplace_back();
    auto& devices = std::get<XHCIControllerConfiguration>(configuration.usb_controllers.front()).usb_devices;
    devices.clear();
    for (const std::string& disk : usb_disks) {
      auto device = parse_usb_disk("--usb-disk", disk);
      if (!device) return std::unexpected(device.error());
      devices.emplace_back(*device);
    }
  }
  for (const std::string& iso : isos) {
    if (configuration.usb_controllers.empty()) configuration.usb_controllers.emplace_back();
    std::get<XHCIControllerConfiguration>(configuration.usb_controllers.front())
        .usb_devices.push_back(USBMassStorageDeviceConfiguration{
            .attachment = DiskImageStorageDeviceAttachment{.path = iso, .read_only = true},
            .optical_disc = true});
  }
  if (!networks.empty()) configuration.network_devices.clear();
  for (const std::string& network : networks) {
    auto device = parse_network(network);
    if (!device) return std::unexpected(device.error());
    if (*device) configuration.network_devices.push_back(**device);
  }
  if (!shares.empty()) configuration.directory_sharing_devices.clear();
  for (const std::string& share : shares) {
    if (auto added = add_share(share, configuration); !added) return added;
  }
  if (!vsocks.empty()) configuration.socket_devices.clear();
  for (const std::string& vsock : vsocks) {
    if (auto added = add_vsock(vsock, configuration); !added) return added;
  }
  if (display_size) {
    const auto scanout = parse_display_size(*display_size);
    if (!scanout) return std::unexpected(scanout.error());
    configuration.graphics_devices = {VirtioGraphicsDeviceConfiguration{.scanouts = {*scanout}}};
  }
  if (clipboard || display_size) {
    if (auto set = set_clipboard(clipboard.value_or("both"), configuration); !set) return set;
  }
  for (const std::string& port : ports) {
    if (auto added = add_port(port, configuration); !added) return added;
  }
  if (!sounds.empty()) configuration.audio_devices.clear();
  for (const std::string& sound : sounds) {
    if (auto added = add_sound(sound, configuration); !added) return added;
  }
  if (hypervisor) {
    const auto choice = from_string<HypervisorChoice>(*hypervisor);
    if (!choice)
      return usage("--hypervisor", fmt::format("'{}' is not a hypervisor", *hypervisor),
                   "use auto, kvm or soft");
    configuration.hypervisor = *choice;
  }
  if (label) configuration.label = *label;
  if (configuration.label) set_host_names(configuration, *configuration.label);
  return {};
}

}  // namespace alcove::cli
