// The 16550A of a PC's serial port: eight byte-wide registers, two FIFOs of sixteen bytes.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <mutex>

#include "bus/bus.h"
#include "serial/port.h"
#include "spec/uart16550.h"

namespace alcove::chips {

// Takes the port at construction and leaves it at destruction. Sends as fast as the port takes bytes,
// whatever the divisor says; while the port takes none, the transmitter is full.
class Uart final : public bus::Device, public serial::Listener {
 public:
  static constexpr uint64_t kSize = spec::uart16550::kRegisters;  // Of the window, e.g. at port 0x3F8.

  Uart(serial::Port& port, bus::InterruptLine& line);
  ~Uart() override;

  bus::Access read(uint64_t offset, std::span<std::byte> data) override;
  bus::Access write(uint64_t offset, std::span<const std::byte> data) override;
  void reset();  // As after power-on; what the port has not taken yet is lost.

  size_t receive(std::span<const std::byte> input) override;
  void writable() override;

 private:
  struct Registers {
    uint8_t interrupt_enable = 0;
    uint8_t fifo_control = 0;
    uint8_t line_control = 0;
    uint8_t modem_control = 0;
    uint8_t modem_status_deltas = 0;
    uint8_t scratch = 0;
    std::array<uint8_t, 2> divisor{12, 0};
    bool overrun = false;
    bool transmitter_interrupt = false;  // Raised by an empty holding register, until identified or filled.
  };
  uint8_t read_register(uint64_t offset);
  void write_register(uint64_t offset, uint8_t value);
  uint8_t identification() const;
  uint8_t modem_lines() const;
  bool fifos_enabled() const { return registers_.fifo_control & spec::uart16550::kFifoEnable; }
  bool loopback() const { return registers_.modem_control & spec::uart16550::kModemLoopback; }
  size_t fifo_size() const { return fifos_enabled() ? spec::uart16550::kFifoSize : 1; }
  void push_received(uint8_t byte);
  void transmit(uint8_t byte);
  void send_waiting();
  void set_modem_control(uint8_t value);
  void set_fifo_control(uint8_t value);
  void update_line();

  serial::Port& port_;
  bus::InterruptLine& line_;
  std::mutex mutex_;
  Registers registers_;
  std::deque<uint8_t> received_;
  std::deque<uint8_t> waiting_;  // In the transmitter because the port takes none.
  bool asserted_ = false;
};

}  // namespace alcove::chips
