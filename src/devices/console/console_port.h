#pragma once

#include <memory>
#include <optional>

#include "serial/port.h"
#include "virtio/device.h"

namespace alcove::devices::console {

// One port of a virtio console: a receive and a transmit queue, and the serial port they speak to
// (virtio 1.2, sections 5.3.2 and 5.3.6). Works on the serial port's loop, to which all members belong but
// the constructor.
class ConsolePort final : public serial::Listener {
 public:
  explicit ConsolePort(serial::Port& port) : port_(port) {}

  struct Queues {
    std::unique_ptr<virtio::Queue> receive, transmit;  // Null where the driver enabled none.
    int receive_doorbell = -1, transmit_doorbell = -1;
    virtio::Interrupts* interrupts = nullptr;
  };
  void start(Queues queues);
  void stop();
  void pause();
  void resume();
  // Whether input is for anybody now: what comes while it is not waits.
  void take_input(bool wanted);
  // Whether output waits in the driver's queue.
  void hold_output(bool held);
  // Drops what the driver has put out so far.
  void drop_output();
  serial::Port& port() { return port_; }

  size_t receive(std::span<const std::byte> input) override;
  void writable() override { transmit(); }

 private:
  void transmit();
  void fail();
  bool send_current(size_t& budget);

  serial::Port& port_;
  Queues queues_;
  bool running_ = false;
  bool takes_input_ = true;
  bool holds_output_ = false;
  std::optional<virtio::Chain> sending_;
  size_t sent_ = 0;
};

}  // namespace alcove::devices::console
