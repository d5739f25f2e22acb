// The virtio console.
//
//   exec::LoopThread thread("serial");                     // One for all serial ports of a machine.
//   serial::Port port(thread.loop(), std::move(log));
//   port.attach({.reading = std::move(in), .writing = std::move(out)});
//   devices::console::Console console(port);               // Or chips::Uart uart(port, line);
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "devices/console/console_port.h"
#include "spec/virtio_console.h"

namespace alcove::devices::console {

// The virtio console with one port: hvc0 in Linux guests. Takes the serial port at construction and leaves it
// at destruction; works on its loop.
class Console final : public virtio::Device {
 public:
  explicit Console(serial::Port& port);
  ~Console() override;

  // The size of the terminal that shows the console. Any thread.
  void resize(uint16_t columns, uint16_t rows);

  uint16_t device_id() const override;
  uint64_t features() const override;
  std::span<const uint16_t> queue_sizes() const override;
  uint32_t config_size() const override { return sizeof(spec::virtio_console::Configuration); }
  void read_config(uint32_t offset, std::span<std::byte> out) override;
  void write_config(uint32_t offset, std::span<const std::byte> in) override;
  void activate(virtio::Activation activation) override;
  void deactivate() override;
  void pause() override;
  void resume() override;

 private:
  serial::Port& port_;
  ConsolePort first_;
  std::atomic<uint32_t> size_;                // Columns, and rows in the upper half.
  virtio::Interrupts* interrupts_ = nullptr;  // The loop's thread only.
};

}  // namespace alcove::devices::console
