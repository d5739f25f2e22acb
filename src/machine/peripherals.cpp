#include "machine/peripherals.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/guest_readiness.h"
#include "config/scanout_limits.h"
#include "devices/console/console.h"
#include "devices/entropy/entropy.h"
#include "devices/hid/keyboard.h"
#include "devices/hid/pointer.h"
#include "devices/input/keyboard.h"
#include "devices/input/pointer.h"
#include "devices/input/trackpad.h"
#include "firmware/fw_cfg_files.h"
#include "machine/automount.h"
#include "machine/disk_function.h"
#include "machine/shares.h"
#include "machine/sounds.h"

namespace alcove::machine {

namespace {

std::string field_of_disk(size_t index) {
  return fmt::format("storage_devices[{}]", index);
}

DiskEvents events_of(const DeviceContext& context, size_t disk) {
  return disk_events(context.observer, disk);
}

DiskContext disk_context_of(const DeviceContext& context) {
  return disk_context(context.configuration, context.memory, context.vm);
}

}  // namespace

Result<> Peripherals::add(const DeviceContext& context, std::unique_ptr<virtio::Device> device,
                          std::string name) {
  devices_.push_back(std::move(device));
  transports_.push_back(std::make_unique<virtio::PciTransport>(
      *devices_.back(), virtio::PciTransportOptions{
                            .memory = &context.memory, .messages = &context.vm, .doorbells = &context.vm}));
  return context.board.add_pci_device(*transports_.back(), std::move(name));
}

Result<> Peripherals::add(const DeviceContext& context, Result<MadeDisk> disk, const std::string& field,
                          std::string (*boot_path)(unsigned slot)) {
  if (!disk) return std::unexpected(std::move(disk.error()));
  auto added = context.board.add_pci_device(disk->function->function(), field);
  storage_.add(*std::move(disk));
  if (added) context.board.add_boot_device(boot_path(context.board.latest_slot()));
  return added;
}

Result<> Peripherals::add_disk(const DeviceContext& context, const VirtioBlockDeviceConfiguration& device,
                               size_t index) {
  const std::string attachment = field_of_disk(index) + ".attachment";
  return add(context,
             make_disk(device, disk_context_of(context), context.descriptors.take_layers(attachment),
                       attachment, events_of(context, index)),
             field_of_disk(index), firmware::virtio_disk_path);
}

Result<> Peripherals::add_disk(const DeviceContext& context,
                               const NVMExpressControllerDeviceConfiguration& device, size_t index) {
  const std::string attachment = field_of_disk(index) + ".attachment";
  return add(context,
             make_disk(device, disk_context_of(context), context.descriptors.take_layers(attachment),
                       attachment, events_of(context, index), nvme_count_++),
             field_of_disk(index), firmware::nvme_disk_path);
}

Result<> Peripherals::add_disk(const DeviceContext& context, const USBMassStorageDeviceConfiguration& device,
                               size_t index) {
  auto disk =
      add_usb_disk(context, 0, device, field_of_disk(index) + ".attachment", events_of(context, index));
  if (!disk) return std::unexpected(std::move(disk.error()));
  storage_.add({.function = {}, .control = *std::move(disk)});
  return {};
}

Result<std::shared_ptr<storage::DiskControl>> Peripherals::add_usb_disk(
    const DeviceContext& context, size_t controller, const USBMassStorageDeviceConfiguration& device,
    const std::string& field, const DiskEvents& events) {
  auto attached = usb_.attach(controller, device, context.descriptors.take_layers(field), field, events);
  if (!attached) return std::unexpected(std::move(attached.error()));
  context.board.add_boot_device(firmware::usb_disk_path(usb_slots_[controller], attached->port));
  return attached->disk;
}

Result<> Peripherals::add_storage(const DeviceContext& context) {
  const auto& configured = context.configuration.storage_devices;
  for (size_t index = 0; index < configured.size(); ++index) {
    auto added =
        std::visit([&](const auto& device) { return add_disk(context, device, index); }, configured[index]);
    if (!added) return added;
  }
  return {};
}

// Those configured; one more where a device needs one and none is.
Result<> Peripherals::add_usb_controllers(const DeviceContext& context) {
  const VirtualMachineConfiguration& configuration = context.configuration;
  const auto any_is = [](const auto& devices, auto kind) {
    return std::ranges::any_of(devices, [&](const auto& device) {
      return std::holds_alternative<typename decltype(kind)::type>(device);
    });
  };
  const bool needs_one =
      any_is(configuration.storage_devices, std::type_identity<USBMassStorageDeviceConfiguration>()) ||
      any_is(configuration.keyboards, std::type_identity<USBKeyboardConfiguration>()) ||
      any_is(configuration.pointing_devices,
             std::type_identity<USBScreenCoordinatePointingDeviceConfiguration>());
  const size_t count = std::max<size_t>(configuration.usb_controllers.size(), needs_one ? 1 : 0);
  for (size_t index = 0; index < count; ++index) {
    auto added = context.board.add_pci_device(usb_.add(context.memory, context.vm),
                                              fmt::format("usb_controllers[{}]", index));
    if (!added) return added;
    usb_slots_.push_back(context.board.latest_slot());
  }
  return {};
}

// After those of the storage devices, which come first where firmware looks for something to boot.
Result<> Peripherals::add_usb_devices(const DeviceContext& context) {
  const auto& controllers = context.configuration.usb_controllers;
  for (size_t index = 0; index < controllers.size(); ++index) {
    const auto& devices = std::get<XHCIControllerConfiguration>(controllers[index]).usb_devices;
    for (size_t device = 0; device < devices.size(); ++device) {
      const std::string field = fmt::format("usb_controllers[{}].usb_devices[{}].attachment", index, device);
      auto added =
          add_usb_disk(context, index, std::get<USBMassStorageDeviceConfiguration>(devices[device]), field);
      if (!added) return std::unexpected(std::move(added.error()));
    }
  }
  return {};
}

Result<> Peripherals::add_networks(const DeviceContext& context) {
  const auto& configured = context.configuration.network_devices;
  for (size_t index = 0; index < configured.size(); ++index) {
    auto card = networks_.make_device(std::get<VirtioNetworkDeviceConfiguration>(configured[index]),
                                      context.descriptors, context.loop, context.observer);
    if (!card) return std::unexpected(std::move(card.error()));
    if (auto added = add(context, *std::move(card), fmt::format("network_devices[{}]", index)); !added)
      return added;
  }
  return {};
}

Result<> Peripherals::add_directory_sharing(const DeviceContext& context) {
  const auto& configured = context.configuration.directory_sharing_devices;
  size_t windows = 0;  // In memory, as window_sizes() has told.
  for (size_t index = 0; index < configured.size(); ++index) {
    const std::string field = fmt::format("directory_sharing_devices[{}]", index);
    const auto& device = std::get<VirtioFileSystemDeviceConfiguration>(configured[index]);
    auto share = open_share(device.share, context.descriptors, field + ".share");
    if (!share) return std::unexpected(std::move(share.error()));
    auto server = share::Server::create(*std::move(share), share_limits(configured.size()));
    if (!server) return std::unexpected(std::move(server.error()));
    const auto queues = static_cast<uint16_t>(std::min(context.configuration.cpu_count, kMostDefaultQueues));
    auto file_system = std::make_unique<devices::fs::FileSystem>(
        *std::move(server),
        devices::fs::FileSystemOptions{.tag = device.tag,
                                       .queue_count = queues,
                                       .memory = device.dax_window_size != 0 ? &context.memory : nullptr,
                                       .window = device.dax_window_size != 0 ? windows++ : 0});
    file_systems_.push_back(file_system.get());
    if (auto added = add(context, std::move(file_system), field); !added) return added;
  }
  context.board.add_firmware_strings(automount_strings(context.configuration));
  return {};
}

Result<> Peripherals::set_share(size_t device, share::Share share) {
  if (device >= file_systems_.size()) {
    return fail(ErrorCode::invalid_virtual_machine_configuration,
                fmt::format("directory_sharing_devices[{}]", device), "there is no such device");
  }
  file_systems_[device]->replace(std::move(share));
  return {};
}

Result<> Peripherals::add_sockets(const DeviceContext& context) {
  const auto& configured = context.configuration.socket_devices;
  if (configured.empty()) return {};
  if (configured.size() > 1) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, "socket_devices[1]",
                "a machine has at most one socket device");
  }
  const auto& options = std::get<VirtioSocketDeviceConfiguration>(configured.front());
  auto device = std::make_unique<devices::vsock::Vsock>(
      options.guest_cid, [&observer = context.observer](uint64_t id, devices::vsock::Ports ports) {
        observer.on_socket_request(id, ports.guest, ports.host);
      });
  vsock_ = device.get();
  context.board.add_firmware_strings(
      {fmt::format("io.systemd.credential:vmm.notify_socket=vsock-stream:{}:{}",
                   spec::virtio_socket::kHostCid, config::kReadinessPort)});
  return add(context, std::move(device), "socket_devices[0]");
}

Result<> Peripherals::add_graphics(const DeviceContext& context) {
  const auto& configured = context.configuration.graphics_devices;
  for (size_t index = 0; index < configured.size(); ++index) {
    const std::string field = fmt::format("graphics_devices[{}]", index);
    const auto& scanouts = std::get<VirtioGraphicsDeviceConfiguration>(configured[index]).scanouts;
    if (scanouts.empty() || scanouts.size() > config::kMostScanouts)
      return fail(ErrorCode::invalid_virtual_machine_configuration, field + ".scanouts",
                  "are none or too many");
    std::vector<devices::gpu::Mode> modes;
    std::vector<std::unique_ptr<display::Display>> displays;
    for (size_t number = 0; number < scanouts.size(); ++number) {
      const std::string where = fmt::format("{}.scanouts[{}]", field, number);
      const VirtioGraphicsScanoutConfiguration& scanout = scanouts[number];
      if (auto problem = config::check_scanout(scanout, where)) return std::unexpected(std::move(*problem));
      modes.push_back({scanout.width, scanout.height, scanout.pixels_per_inch});
      UniqueFd frames = context.descriptors.take(where + ".frames");
      auto memory = frames ? display::FrameMemory::open(std::move(frames)) : display::FrameMemory::create();
      if (!memory) return std::unexpected(std::move(memory.error()));
      displays.push_back(std::make_unique<display::Display>(std::move(*memory),
                                                            context.descriptors.take(where + ".changed")));
    }
    auto gpu = std::make_unique<devices::gpu::Gpu>(modes, std::move(displays));
    gpus_.push_back(gpu.get());
    if (auto added = add(context, std::move(gpu), field); !added) return added;
  }
  return {};
}

Result<> Peripherals::add_serial_ports(const DeviceContext& context) {
  const auto& configured = context.configuration.serial_ports;
  for (size_t index = 0; index < configured.size(); ++index) {
    serial::Port& port = context.serial_ports.port(index);
    Result<> added = std::holds_alternative<UART16550SerialPortConfiguration>(configured[index])
                         ? context.board.add_uart(port)
                         : add(context, std::make_unique<devices::console::Console>(port),
                               fmt::format("serial_ports[{}]", index));
    if (!added) return added;
  }
  return {};
}

Result<> Peripherals::add_consoles(const DeviceContext& context) {
  const auto& configured = context.configuration.console_devices;
  for (size_t index = 0; index < configured.size(); ++index) {
    auto device = consoles_.make_device(
        std::get<VirtioConsoleDeviceConfiguration>(configured[index]), context.descriptors, context.loop,
        [&observer = context.observer](size_t of_device, size_t port, uint64_t openings, bool open) {
          observer.on_console_port(of_device, port, openings, open);
        });
    if (!device) return std::unexpected(std::move(device.error()));
    if (auto added = add(context, *std::move(device), fmt::format("console_devices[{}]", index)); !added)
      return added;
  }
  return {};
}

Result<> Peripherals::add_input(const DeviceContext& context) {
  const VirtualMachineConfiguration& configuration = context.configuration;
  // Tells the router of the device, and puts it on the board.
  const auto add_virtio = [&](auto device, const std::string& field) {
    input_.add(*device);
    return add(context, std::move(device), field);
  };
  const auto add_usb = [&](auto device, const std::string& field) {
    input_.add(*device);
    return usb_.plug(std::move(device), field);
  };
  for (size_t index = 0; index < configuration.keyboards.size(); ++index) {
    const std::string field = fmt::format("keyboards[{}]", index);
    const bool is_usb = std::holds_alternative<USBKeyboardConfiguration>(configuration.keyboards[index]);
    Result<> added =
        is_usb ? add_usb(std::make_shared<devices::hid::Keyboard>(usb_.controller(0).strand()), field)
               : add_virtio(std::make_unique<devices::input::Keyboard>(context.loop), field);
    if (!added) return added;
  }
  for (size_t index = 0; index < configuration.pointing_devices.size(); ++index) {
    const std::string field = fmt::format("pointing_devices[{}]", index);
    const auto& device = configuration.pointing_devices[index];
    const auto* pad = std::get_if<VirtioTrackpadConfiguration>(&device);
    Result<> added;
    if (pad) {
      added = add_virtio(std::make_unique<devices::input::Trackpad>(context.loop, pad->width, pad->height),
                         field);
    } else if (std::holds_alternative<VirtioScreenCoordinatePointingDeviceConfiguration>(device)) {
      added = add_virtio(std::make_unique<devices::input::Pointer>(context.loop), field);
    } else {
      added = add_usb(std::make_shared<devices::hid::Pointer>(usb_.controller(0).strand()), field);
    }
    if (!added) return added;
  }
  return {};
}

Result<> Peripherals::add_audio(const DeviceContext& context) {
  const auto& configured = context.configuration.audio_devices;
  for (size_t index = 0; index < configured.size(); ++index) {
    const std::string field = fmt::format("audio_devices[{}]", index);
    auto device =
        make_sound_device(std::get<VirtioSoundDeviceConfiguration>(configured[index]), field,
                          context.configuration.label.value_or("Alcove"), context.descriptors, context.clock);
    if (!device) return std::unexpected(std::move(device.error()));
    if (auto added = add(context, *std::move(device), field); !added) return added;
  }
  return {};
}

Result<> Peripherals::add_others(const DeviceContext& context) {
  const VirtualMachineConfiguration& configuration = context.configuration;
  for (size_t index = 0; index < configuration.entropy_devices.size(); ++index) {
    if (auto added = add(context, std::make_unique<devices::entropy::Entropy>(),
                         fmt::format("entropy_devices[{}]", index));
        !added) {
      return added;
    }
  }
  if (configuration.memory_balloon_devices.size() > 1) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, "memory_balloon_devices[1]",
                "a machine has at most one memory balloon");
  }
  for (const auto& configured : configuration.memory_balloon_devices) {
    const auto& options = std::get<VirtioTraditionalMemoryBalloonDeviceConfiguration>(configured);
    auto balloon = std::make_unique<devices::balloon::Balloon>(devices::balloon::BalloonOptions{
        .memory_size = configuration.memory_size,
        .minimum_memory_size =
            std::min(configuration.memory_size, VirtualMachineConfiguration::minimum_allowed_memory_size()),
        .free_page_reporting = options.free_page_reporting,
        .deflate_on_out_of_memory = options.deflate_on_out_of_memory});
    balloon_ = balloon.get();
    if (auto added = add(context, std::move(balloon), "memory_balloon_devices[0]"); !added) return added;
  }
  return {};
}

Result<std::unique_ptr<Peripherals>> Peripherals::create(const DeviceContext& context) {
  auto result = std::make_unique<Peripherals>();
  for (const auto part :
       {&Peripherals::add_usb_controllers, &Peripherals::add_storage, &Peripherals::add_usb_devices,
        &Peripherals::add_networks, &Peripherals::add_directory_sharing, &Peripherals::add_graphics,
        &Peripherals::add_serial_ports, &Peripherals::add_consoles, &Peripherals::add_input,
        &Peripherals::add_audio, &Peripherals::add_others, &Peripherals::add_sockets}) {
    if (auto added = (*result.*part)(context); !added) return std::unexpected(added.error());
  }
  return result;
}

void Peripherals::pause() {
  storage_.pause();
  for (const auto& transport : transports_) transport->pause();
  usb_.pause();
}

void Peripherals::resume() {
  storage_.resume();
  for (const auto& transport : transports_) transport->resume();
  usb_.resume();
}

void Peripherals::abandon_disks() {
  storage_.abandon();
  usb_.abandon_disks();
}

void Peripherals::forget_guest() {
  if (balloon_) balloon_->forget();
}

}  // namespace alcove::machine
