// The virtio console with several ports (virtio 1.2, section 5.3): /dev/hvc0… and /dev/virtio-ports/NAME in
// Linux guests.
#pragma once

#include <bitset>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "devices/console/console_port.h"
#include "spec/virtio_console.h"

namespace alcove::devices::console {

struct MultiportConsolePort {
  unsigned number;     // The guest's; below kMostPorts, each once.
  serial::Port* port;  // Outlives the device. All ports of a device have one loop.
  std::string name;    // May be empty.
  bool is_console = false;
  // What the guest's program says to the port waits for attach(), and is dropped, as what it has not read is,
  // when it closes the port: the next one begins anew.
  bool is_attached_per_opening = false;
};

inline constexpr unsigned kMostPorts = 31;  // What Linux's driver takes as well.

// Takes the serial ports at construction and leaves them at destruction; works on their loop. What the guest
// has not opened gets no input: that waits.
class MultiportConsole final : public virtio::Device {
 public:
  // The guest opened or closed the port with that number, which it has opened so often; on the loop.
  using Opened = std::function<void(unsigned number, uint64_t openings, bool open)>;

  // `maximum` is at least one above the highest number; there is at least one port.
  MultiportConsole(std::vector<MultiportConsolePort> ports, unsigned maximum, Opened opened);
  ~MultiportConsole() override;

  // The size of the terminal that shows the port's console. Any thread.
  void resize(unsigned number, uint16_t columns, uint16_t rows);

  // For a port that is attached per opening: nothing, unless the guest has it open for that time. Any thread.
  void attach(unsigned number, uint64_t opening, serial::Attachment attachment);

  uint16_t device_id() const override;
  uint64_t features() const override { return spec::virtio_console::kFeatureMultiplePorts; }
  std::span<const uint16_t> queue_sizes() const override { return queue_sizes_; }
  uint32_t config_size() const override { return sizeof(spec::virtio_console::Configuration); }
  void read_config(uint32_t offset, std::span<std::byte> out) override;
  void activate(virtio::Activation activation) override;
  void deactivate() override;
  void pause() override;
  void resume() override;

 private:
  // What the guest is still to be told of a port, in this order.
  enum Message { kAdd, kConsole, kSize, kName, kOpen, kMessages };
  struct Port {
    explicit Port(MultiportConsolePort made) : about(std::move(made)), line(*about.port) {}
    MultiportConsolePort about;
    ConsolePort line;
    std::bitset<kMessages> pending;
    bool ready = false;  // The driver has it.
    bool open = false;
    uint64_t openings = 0;
    uint16_t columns = 0, rows = 0;
  };

  exec::EventLoop& loop() { return ports_.front()->about.port->loop(); }
  Port* find(unsigned number);
  void set_open(Port& port, bool open);
  void watch();
  void unwatch();
  void fail();
  void take_messages();
  void take(const spec::virtio_console::ControlMessage& message);
  void tell();
  std::vector<std::byte> compose(const Port& port, Message message) const;

  std::vector<std::unique_ptr<Port>> ports_;
  const unsigned maximum_;
  const Opened opened_;
  std::vector<uint16_t> queue_sizes_;

  // The loop's thread only.
  std::unique_ptr<virtio::Queue> control_receive_, control_transmit_;
  int receive_doorbell_ = -1, transmit_doorbell_ = -1;
  virtio::Interrupts* interrupts_ = nullptr;
  bool running_ = false;
};

}  // namespace alcove::devices::console
