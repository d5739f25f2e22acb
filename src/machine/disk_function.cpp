#include "machine/disk_function.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "devices/block/block.h"
#include "devices/nvme/controller.h"
#include "virtio/pci_transport.h"

namespace alcove::machine {

namespace {

class BlockFunction final : public DiskFunction {
 public:
  BlockFunction(std::unique_ptr<storage::Disk> disk, const devices::block::BlockOptions& options,
                const DiskContext& context)
      : block_(std::move(disk), options),
        transport_(block_, {.memory = &context.memory, .messages = &context.vm, .doorbells = &context.vm}) {}
  pci::Function& function() override { return transport_; }
  void pause() override { transport_.pause(); }
  void resume() override { transport_.resume(); }
  void size_changed() override { block_.size_changed(); }

 private:
  devices::block::Block block_;
  virtio::PciTransport transport_;  // Destroyed before its device.
};

class ControllerFunction final : public DiskFunction {
 public:
  ControllerFunction(std::unique_ptr<storage::Disk> disk, const devices::nvme::Options& options,
                     const DiskContext& context)
      : controller_(std::move(disk), options, context.memory, context.vm) {}
  pci::Function& function() override { return controller_; }
  void pause() override { controller_.pause(); }
  void resume() override { controller_.resume(); }
  void size_changed() override { controller_.size_changed(); }

 private:
  devices::nvme::Controller controller_;
};

}  // namespace

DiskContext disk_context(const VirtualMachineConfiguration& configuration, memory::GuestMemory& memory,
                         cpu::Vm& vm) {
  const auto& platform = std::get<GenericPlatformConfiguration>(configuration.platform);
  return {.memory = memory,
          .vm = vm,
          .cpu_count = configuration.cpu_count,
          .machine_identifier = platform.machine_identifier.bytes()};
}

DiskEvents disk_events(MachineObserver& observer, size_t number) {
  return {.connected = [&observer, number] { observer.on_storage_connected(number); },
          .failed = [&observer, number](const Error& error) { observer.on_storage_error(number, error); }};
}

Result<MadeDisk> make_disk(const VirtioBlockDeviceConfiguration& device, const DiskContext& context,
                           std::vector<UniqueFd> image, const std::string& field, const DiskEvents& events) {
  auto disk = open_disk(device.attachment, device.limits, std::move(image), field, events);
  if (!disk) return std::unexpected(std::move(disk.error()));
  const auto automatic = static_cast<uint16_t>(std::min(context.cpu_count, kMostDefaultQueues));
  const devices::block::BlockOptions options{
      .identifier = device.block_device_identifier,
      .queue_count = device.queue_count ? device.queue_count : automatic};
  return MadeDisk{std::make_unique<BlockFunction>(std::move(disk->disk), options, context),
                  std::move(disk->control)};
}

Result<MadeDisk> make_disk(const NVMExpressControllerDeviceConfiguration& device, const DiskContext& context,
                           std::vector<UniqueFd> image, const std::string& field, const DiskEvents& events,
                           size_t number) {
  auto disk = open_disk(device.attachment, device.limits, std::move(image), field, events);
  if (!disk) return std::unexpected(std::move(disk.error()));
  devices::nvme::Options options{
      .serial = device.serial_number,
      .identifier = context.machine_identifier,
      // EFI firmware's driver makes two, without asking how many there are.
      .queue_pairs = static_cast<uint16_t>(std::clamp(context.cpu_count, 2u, kMostDefaultQueues))};
  if (options.serial.empty()) options.serial = fmt::format("alcove-{}", number);
  options.identifier[15] ^= static_cast<uint8_t>(number + 1);
  options.identifier[14] ^= static_cast<uint8_t>((number + 1) >> 8);
  return MadeDisk{std::make_unique<ControllerFunction>(std::move(disk->disk), options, context),
                  std::move(disk->control)};
}

}  // namespace alcove::machine
