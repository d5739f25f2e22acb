#include "devices/console/console.h"

#include <cstring>

#include "spec/virtio.h"

namespace alcove::devices::console {

namespace wire = spec::virtio_console;

namespace {

constexpr std::array<uint16_t, 2> kQueueSizes{128, 128};
constexpr uint32_t kDefaultSize = 80 | 25u << 16;

}  // namespace

Console::Console(serial::Port& port) : port_(port), first_(port), size_(kDefaultSize) {
  port_.set_listener(&first_);
}

Console::~Console() {
  deactivate();
  port_.set_listener(nullptr);
}

void Console::resize(uint16_t columns, uint16_t rows) {
  size_ = columns | uint32_t{rows} << 16;
  port_.loop().call([this] {
    if (interrupts_) interrupts_->configuration();
  });
}

uint16_t Console::device_id() const {
  return spec::virtio::kConsoleDevice;
}

uint64_t Console::features() const {
  return wire::kFeatureSize | wire::kFeatureEmergencyWrite;
}

std::span<const uint16_t> Console::queue_sizes() const {
  return kQueueSizes;
}

void Console::read_config(uint32_t offset, std::span<std::byte> out) {
  const uint32_t size = size_;
  const wire::Configuration configuration{.columns = static_cast<uint16_t>(size),
                                          .rows = static_cast<uint16_t>(size >> 16),
                                          .maximum_ports = 1,
                                          .emergency_write = 0};
  std::memcpy(out.data(), reinterpret_cast<const std::byte*>(&configuration) + offset, out.size());
}

void Console::write_config(uint32_t offset, std::span<const std::byte> in) {
  if (offset == wire::kEmergencyWriteOffset && !in.empty()) port_.write(in.first(1));
}

void Console::activate(virtio::Activation activation) {
  port_.loop().call([&] {
    interrupts_ = activation.interrupts;
    first_.start({.receive = std::move(activation.queues.at(0)),
                  .transmit = std::move(activation.queues.at(1)),
                  .receive_doorbell = activation.doorbells.at(0),
                  .transmit_doorbell = activation.doorbells.at(1),
                  .interrupts = activation.interrupts});
  });
}

void Console::deactivate() {
  port_.loop().call([this] {
    first_.stop();
    interrupts_ = nullptr;
  });
}

void Console::pause() {
  port_.loop().call([this] { first_.pause(); });
}

void Console::resume() {
  port_.loop().call([this] { first_.resume(); });
}

}  // namespace alcove::devices::console
