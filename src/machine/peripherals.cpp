#include "machine/peripherals.h"

#include <fmt/format.h>

#include "devices/console/console.h"

namespace alcove::machine {

Result<> Peripherals::add(const DeviceContext& context, virtio::Device& device, std::string name) {
  transports_.push_back(std::make_unique<virtio::PciTransport>(
      device, virtio::PciTransportOptions{
                  .memory = &context.memory, .messages = &context.vm, .doorbells = &context.vm}));
  return context.board.add_pci_device(*transports_.back(), std::move(name));
}

Result<> Peripherals::add_serial_ports(const DeviceContext& context) {
  const auto& configured = context.configuration.serial_ports;
  for (size_t index = 0; index < configured.size(); ++index) {
    serial::Port& port = context.serial_ports.port(index);
    if (std::holds_alternative<UART16550SerialPortConfiguration>(configured[index])) {
      if (auto added = context.board.add_uart(port); !added) return added;
      continue;
    }
    devices_.push_back(std::make_unique<devices::console::Console>(port));
    if (auto added = add(context, *devices_.back(), fmt::format("serial_ports[{}]", index)); !added)
      return added;
  }
  return {};
}

Result<std::unique_ptr<Peripherals>> Peripherals::create(const DeviceContext& context) {
  auto result = std::make_unique<Peripherals>();
  if (auto added = result->add_serial_ports(context); !added) return std::unexpected(added.error());
  return result;
}

void Peripherals::pause() {
  for (const auto& transport : transports_) transport->pause();
}

void Peripherals::resume() {
  for (const auto& transport : transports_) transport->resume();
}

}  // namespace alcove::machine
