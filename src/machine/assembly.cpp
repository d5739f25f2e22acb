// How a machine comes together, and how its guest is loaded.
#include <fmt/format.h>

#include "boot/efi_boot.h"
#include "boot/linux_boot.h"
#include "machine/automount.h"
#include "machine/entry_state.h"
#include "machine/implementation.h"
#include "machine/shares.h"

namespace alcove::machine {

Machine::Implementation::Implementation(VirtualMachineConfiguration configuration, MachineObserver& observer,
                                        std::unique_ptr<cpu::Hypervisor> hypervisor)
    : configuration_(std::move(configuration)), observer_(observer), hypervisor_(std::move(hypervisor)) {}

Machine::Implementation::~Implementation() {
  stop();
  control_.reset();  // An event that is under way finds the machine ended.
}

Result<> Machine::Implementation::assemble(Descriptors& descriptors) {
  constexpr auto kInvalid = ErrorCode::invalid_virtual_machine_configuration;
  if (configuration_.cpu_count < 1 || configuration_.cpu_count > hypervisor_->maximum_cpu_count()) {
    return fail(
        kInvalid, "cpu_count",
        fmt::format("{} is not in 1 to {}", configuration_.cpu_count, hypervisor_->maximum_cpu_count()));
  }
  constexpr uint64_t kMiB = 1 << 20;
  if (configuration_.memory_size < 2 * kMiB || configuration_.memory_size % kMiB) {
    return fail(kInvalid, "memory_size", "must be a multiple of 1 MiB, 2 MiB at least");
  }
  if (!configuration_.boot_loader)
    return fail(kInvalid, "boot_loader", "is missing", "set a LinuxBootLoader or an EFIBootLoader");
  uint64_t firmware_size = 0;
  if (std::holds_alternative<EFIBootLoader>(*configuration_.boot_loader)) {
    firmware_ = descriptors.take("boot_loader.firmware");
    const auto size = boot::firmware_size(firmware_.get(), "boot_loader.firmware");
    if (!size) return std::unexpected(size.error());
    firmware_size = *size;
  } else {
    kernel_ = descriptors.take("boot_loader.kernel");
    initial_ramdisk_ = descriptors.take("boot_loader.initial_ramdisk");
    if (!kernel_) return fail(kInvalid, "boot_loader.kernel", "is missing");
  }

  auto layout =
      lay_out_memory(configuration_.memory_size, hypervisor_->physical_address_bits(), firmware_size);
  if (!layout) return std::unexpected(std::move(layout.error()));
  layout_ = *std::move(layout);
  const auto windows = window_sizes(configuration_);
  if (!windows) return std::unexpected(windows.error());
  auto memory = memory::GuestMemory::create(layout_.regions, *windows);
  if (!memory) return std::unexpected(memory.error());
  memory_ = std::move(*memory);

  auto ports = SerialPorts::create(configuration_.serial_ports.size(), descriptors, device_loop_.loop());
  if (!ports) return std::unexpected(ports.error());
  serial_ports_ = std::move(*ports);

  const auto model = config::parse_cpu_model(configuration_.cpu_model);
  if (!model) return std::unexpected(model.error());
  auto vm = hypervisor_->create_vm(
      {.cpu_count = configuration_.cpu_count, .cpu_model = *model, .memory = &*memory_, .io = &router_});
  if (!vm) return std::unexpected(vm.error());
  vm_ = std::move(*vm);

  auto board = Board::create(*vm_, router_, clock_, layout_,
                             {.reset = [this] { raise(GuestEvent::reset); },
                              .power_off = [this] { raise(GuestEvent::power_off); },
                              .eject = [this](unsigned slot) { on_eject(slot); }});
  if (!board) return std::unexpected(board.error());
  board_ = std::move(*board);
  if (firmware_) {
    auto devices = FirmwareDevices::create(router_, *memory_, descriptors);
    if (!devices) return std::unexpected(devices.error());
    firmware_devices_ = std::move(*devices);
  }

  auto peripherals = Peripherals::create({.configuration = configuration_,
                                          .descriptors = descriptors,
                                          .board = *board_,
                                          .memory = *memory_,
                                          .vm = *vm_,
                                          .serial_ports = *serial_ports_,
                                          .loop = device_loop_.loop(),
                                          .clock = clock_,
                                          .observer = observer_});
  if (!peripherals) return std::unexpected(peripherals.error());
  peripherals_ = std::move(*peripherals);

  control_ = std::make_unique<exec::LoopThread>("control");
  processors_ = std::make_unique<Processors>(
      *vm_, [this](unsigned index, cpu::Exit exit) { on_processor_exit(index, exit); });
  return load_guest();
}

Result<> Machine::Implementation::load_guest() {
  const auto& platform = std::get<GenericPlatformConfiguration>(configuration_.platform);
  for (unsigned index = 0; index < vm_->cpu_count(); ++index) vm_->vcpu(index).reset();
  if (firmware_) {
    firmware_devices_->describe(*board_, layout_, vm_->cpu_count(), platform.machine_identifier.bytes());
    return boot::load_firmware(*memory_, firmware_.get(), "boot_loader.firmware");
  }
  const auto rsdp = board_->write_tables(*memory_, platform.machine_identifier.bytes());
  if (!rsdp) return std::unexpected(rsdp.error());

  const auto& loader = std::get<LinuxBootLoader>(*configuration_.boot_loader);
  const auto entry =
      boot::load_linux(*memory_, {.kernel = kernel_.get(),
                                  .initial_ramdisk = initial_ramdisk_.get(),
                                  .command_line = loader.command_line + automount_parameters(configuration_),
                                  .memory_map = layout_.map,
                                  .rsdp = *rsdp});
  if (!entry) return std::unexpected(entry.error());
  cpu::Vcpu& first = vm_->vcpu(0);
  return first.set_state(entry_state(*entry, first.state()));
}

}  // namespace alcove::machine
