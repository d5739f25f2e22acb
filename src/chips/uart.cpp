#include "chips/uart.h"

#include <algorithm>
#include <utility>

namespace alcove::chips {

namespace uart = spec::uart16550;

Uart::Uart(serial::Port& port, bus::InterruptLine& line) : port_(port), line_(line) {
  port_.set_listener(this);
}

Uart::~Uart() {
  port_.set_listener(nullptr);
}

void Uart::reset() {
  {
    std::lock_guard lock(mutex_);
    registers_ = {};
    received_.clear();
    waiting_.clear();
    update_line();
  }
  port_.ready();
}

bus::Access Uart::read(uint64_t offset, std::span<std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  if (offset >= kSize) return bus::Access::no_register;
  bool has_room;
  {
    std::lock_guard lock(mutex_);
    data[0] = std::byte{read_register(offset)};
    has_room = received_.empty() && !loopback();
    update_line();
  }
  if (has_room && offset == uart::kData) port_.ready();
  return bus::Access::done;
}

bus::Access Uart::write(uint64_t offset, std::span<const std::byte> data) {
  if (data.size() != 1) return bus::Access::bad_size;
  if (offset >= kSize) return bus::Access::no_register;
  {
    std::lock_guard lock(mutex_);
    write_register(offset, std::to_integer<uint8_t>(data[0]));
    update_line();
  }
  // Clearing the receiver or leaving loopback made room.
  if (offset == uart::kFifoControl || offset == uart::kModemControl) port_.ready();
  return bus::Access::done;
}

uint8_t Uart::read_register(uint64_t offset) {
  const bool divisor = registers_.line_control & uart::kLineDivisorAccess;
  switch (offset) {
    case uart::kData: {
      if (divisor) return registers_.divisor[0];
      if (received_.empty()) return 0;
      const uint8_t byte = received_.front();
      received_.pop_front();
      return byte;
    }
    case uart::kInterruptEnable:
      return divisor ? registers_.divisor[1] : registers_.interrupt_enable;
    case uart::kInterruptIdentification: {
      const uint8_t id = identification();
      if (id == uart::kIdTransmitterEmpty) registers_.transmitter_interrupt = false;
      return id | (fifos_enabled() ? uart::kIdFifosEnabled : 0);
    }
    case uart::kLineControl:
      return registers_.line_control;
    case uart::kModemControl:
      return registers_.modem_control;
    case uart::kLineStatus:
      return (received_.empty() ? 0 : uart::kStatusDataReady) |
             (std::exchange(registers_.overrun, false) ? uart::kStatusOverrun : 0) |
             (waiting_.empty() ? uart::kStatusHoldingEmpty | uart::kStatusTransmitterEmpty : 0);
    case uart::kModemStatus:
      return modem_lines() | std::exchange(registers_.modem_status_deltas, 0);
    default:
      return registers_.scratch;
  }
}

void Uart::write_register(uint64_t offset, uint8_t value) {
  const bool divisor = registers_.line_control & uart::kLineDivisorAccess;
  switch (offset) {
    case uart::kData:
      if (divisor) {
        registers_.divisor[0] = value;
      } else {
        transmit(value);
      }
      return;
    case uart::kInterruptEnable: {
      if (divisor) {
        registers_.divisor[1] = value;
        return;
      }
      const uint8_t raised = ~registers_.interrupt_enable & value;
      registers_.interrupt_enable = value & 0x0f;
      // Enabling it while the transmitter is empty raises it at once (data sheet, section 8.7).
      if ((raised & uart::kEnableTransmitterEmpty) && waiting_.empty())
        registers_.transmitter_interrupt = true;
      return;
    }
    case uart::kFifoControl:
      set_fifo_control(value);
      return;
    case uart::kLineControl:
      registers_.line_control = value;
      return;
    case uart::kModemControl:
      set_modem_control(value & 0x1f);
      return;
    case uart::kScratch:
      registers_.scratch = value;
      return;
    default:
      return;  // The status registers are not written but by tests of the chip.
  }
}

uint8_t Uart::identification() const {
  static constexpr std::array<size_t, 4> kTriggers{1, 4, 8, 14};
  const uint8_t enabled = registers_.interrupt_enable;
  if ((enabled & uart::kEnableLineStatus) && registers_.overrun) return uart::kIdLineStatus;
  if ((enabled & uart::kEnableReceived) && !received_.empty()) {
    // A receiver below its trigger level times out after four character times: here, at once.
    const bool triggered =
        !fifos_enabled() || received_.size() >= kTriggers[registers_.fifo_control >> uart::kFifoTriggerShift];
    return triggered ? uart::kIdReceived : uart::kIdReceiveTimeout;
  }
  if ((enabled & uart::kEnableTransmitterEmpty) && registers_.transmitter_interrupt) {
    return uart::kIdTransmitterEmpty;
  }
  if ((enabled & uart::kEnableModemStatus) && registers_.modem_status_deltas) return uart::kIdModemStatus;
  return uart::kIdNone;
}

uint8_t Uart::modem_lines() const {
  if (!loopback()) return uart::kCarrierDetect | uart::kDataSetReady | uart::kClearToSend;
  const uint8_t control = registers_.modem_control;
  return ((control & uart::kModemRequestToSend) ? uart::kClearToSend : 0) |
         ((control & uart::kModemDataTerminalReady) ? uart::kDataSetReady : 0) |
         ((control & uart::kModemOut1) ? uart::kRing : 0) |
         ((control & uart::kModemOut2) ? uart::kCarrierDetect : 0);
}

void Uart::set_modem_control(uint8_t value) {
  const uint8_t before = modem_lines();
  registers_.modem_control = value;
  const uint8_t now = modem_lines();
  const uint8_t changed = before ^ now;
  if (changed & uart::kClearToSend) registers_.modem_status_deltas |= uart::kDeltaClearToSend;
  if (changed & uart::kDataSetReady) registers_.modem_status_deltas |= uart::kDeltaDataSetReady;
  if (changed & before & uart::kRing) registers_.modem_status_deltas |= uart::kTrailingEdgeRing;
  if (changed & uart::kCarrierDetect) registers_.modem_status_deltas |= uart::kDeltaCarrierDetect;
}

void Uart::set_fifo_control(uint8_t value) {
  const bool switched = (registers_.fifo_control ^ value) & uart::kFifoEnable;
  // The other bits count only together with the enabling one.
  registers_.fifo_control = (value & uart::kFifoEnable) ? value & 0xc9 : 0;
  if (switched || (value & uart::kFifoClearReceiver)) received_.clear();
  if (switched || (value & uart::kFifoClearTransmitter)) {
    if (!waiting_.empty()) registers_.transmitter_interrupt = true;
    waiting_.clear();
  }
}

void Uart::push_received(uint8_t byte) {
  if (received_.size() >= fifo_size()) {
    registers_.overrun = true;
    return;
  }
  received_.push_back(byte);
}

void Uart::transmit(uint8_t byte) {
  // The line falls and rises again for each byte, which an edge-triggered interrupt controller must see.
  registers_.transmitter_interrupt = false;
  update_line();
  if (loopback()) {
    push_received(byte);
    registers_.transmitter_interrupt = waiting_.empty();
    return;
  }
  if (waiting_.size() < fifo_size()) waiting_.push_back(byte);  // A full transmitter loses what comes.
  send_waiting();
}

void Uart::send_waiting() {
  while (!waiting_.empty()) {
    const std::byte byte{waiting_.front()};
    if (port_.write(std::span(&byte, 1)) == 0) return;
    waiting_.pop_front();
  }
  registers_.transmitter_interrupt = true;
}

void Uart::update_line() {
  // On a PC the interrupt goes through a gate that OUT2 opens; in loopback the pin OUT2 is inactive.
  const bool gate = (registers_.modem_control & uart::kModemOut2) && !loopback();
  const bool asserted = gate && identification() != uart::kIdNone;
  if (asserted == asserted_) return;
  asserted_ = asserted;
  line_.set(asserted);
}

size_t Uart::receive(std::span<const std::byte> input) {
  std::lock_guard lock(mutex_);
  if (loopback() || received_.size() >= fifo_size()) return 0;
  const size_t taken = std::min(input.size(), fifo_size() - received_.size());
  for (std::byte byte : input.first(taken)) received_.push_back(std::to_integer<uint8_t>(byte));
  update_line();
  return taken;
}

void Uart::writable() {
  std::lock_guard lock(mutex_);
  if (waiting_.empty()) return;
  send_waiting();
  update_line();
}

}  // namespace alcove::chips
