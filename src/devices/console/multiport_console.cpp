#include "devices/console/multiport_console.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "spec/virtio.h"

namespace alcove::devices::console {

namespace wire = spec::virtio_console;

namespace {

constexpr uint16_t kQueueSize = 128;
constexpr uint16_t kControlQueueSize = 64;
// Messages in one turn at most, so that a guest that never ceases leaves the loop to others.
constexpr unsigned kTurn = 256;

void append(std::vector<std::byte>& bytes, const void* data, size_t size) {
  const auto* first = static_cast<const std::byte*>(data);
  bytes.insert(bytes.end(), first, first + size);
}

}  // namespace

MultiportConsole::MultiportConsole(std::vector<MultiportConsolePort> ports, unsigned maximum, Opened opened)
    : maximum_(maximum), opened_(std::move(opened)), queue_sizes_(2 * (maximum + 1), kQueueSize) {
  queue_sizes_[wire::kControlReceiveQueue] = queue_sizes_[wire::kControlTransmitQueue] = kControlQueueSize;
  for (MultiportConsolePort& port : ports) {
    ports_.push_back(std::make_unique<Port>(std::move(port)));
    ports_.back()->line.take_input(false);
    ports_.back()->line.hold_output(ports_.back()->about.is_attached_per_opening);
    ports_.back()->about.port->set_listener(&ports_.back()->line);
  }
}

MultiportConsole::~MultiportConsole() {
  deactivate();
  for (const auto& port : ports_) port->about.port->set_listener(nullptr);
}

MultiportConsole::Port* MultiportConsole::find(unsigned number) {
  const auto found =
      std::ranges::find_if(ports_, [&](const auto& port) { return port->about.number == number; });
  return found == ports_.end() ? nullptr : found->get();
}

void MultiportConsole::resize(unsigned number, uint16_t columns, uint16_t rows) {
  loop().call([&] {
    Port* port = find(number);
    if (!port || !port->about.is_console) return;
    port->columns = columns;
    port->rows = rows;
    if (port->ready) port->pending.set(kSize);
    tell();
  });
}

void MultiportConsole::attach(unsigned number, uint64_t opening, serial::Attachment attachment) {
  loop().call([&] {
    Port* port = find(number);
    if (!port || !port->open || port->openings != opening) return;
    port->about.port->attach(std::move(attachment));
    port->line.hold_output(false);
  });
}

uint16_t MultiportConsole::device_id() const {
  return spec::virtio::kConsoleDevice;
}

void MultiportConsole::read_config(uint32_t offset, std::span<std::byte> out) {
  const wire::Configuration configuration{
      .columns = 0, .rows = 0, .maximum_ports = maximum_, .emergency_write = 0};
  std::memcpy(out.data(), reinterpret_cast<const std::byte*>(&configuration) + offset, out.size());
}

void MultiportConsole::activate(virtio::Activation activation) {
  loop().call([&] {
    interrupts_ = activation.interrupts;
    for (const auto& port : ports_) {
      const unsigned queue = wire::receive_queue(port->about.number);
      port->line.start({.receive = std::move(activation.queues.at(queue)),
                        .transmit = std::move(activation.queues.at(queue + 1)),
                        .receive_doorbell = activation.doorbells.at(queue),
                        .transmit_doorbell = activation.doorbells.at(queue + 1),
                        .interrupts = activation.interrupts});
    }
    // A driver that knows of one port only has no control queues, and never says that it opened it.
    if (!(activation.features & wire::kFeatureMultiplePorts)) {
      if (Port* first = find(0)) set_open(*first, true);
      return;
    }
    control_receive_ = std::move(activation.queues.at(wire::kControlReceiveQueue));
    control_transmit_ = std::move(activation.queues.at(wire::kControlTransmitQueue));
    receive_doorbell_ = activation.doorbells.at(wire::kControlReceiveQueue);
    transmit_doorbell_ = activation.doorbells.at(wire::kControlTransmitQueue);
    watch();
  });
}

void MultiportConsole::deactivate() {
  loop().call([this] {
    unwatch();
    control_receive_.reset();
    control_transmit_.reset();
    interrupts_ = nullptr;
    for (const auto& port : ports_) {
      port->line.stop();
      port->pending.reset();
      port->ready = false;
      set_open(*port, false);
    }
  });
}

void MultiportConsole::pause() {
  loop().call([this] {
    unwatch();
    for (const auto& port : ports_) port->line.pause();
  });
}

void MultiportConsole::resume() {
  loop().call([this] {
    watch();
    for (const auto& port : ports_) port->line.resume();
  });
}

void MultiportConsole::set_open(Port& port, bool open) {
  port.line.take_input(open);
  if (std::exchange(port.open, open) == open) return;
  port.openings += open;
  if (!open && port.about.is_attached_per_opening) {
    port.line.hold_output(true);
    port.line.drop_output();
    port.about.port->attach({});
  }
  if (opened_) opened_(port.about.number, port.openings, open);
}

void MultiportConsole::watch() {
  if (running_ || !control_receive_ || !control_transmit_) return;
  running_ = true;
  const auto serve = [&](int doorbell, void (MultiportConsole::*work)()) {
    loop().watch(doorbell, EPOLLIN, [this, doorbell, work](uint32_t) {
      eventfd_t ignored;
      eventfd_read(doorbell, &ignored);
      (this->*work)();
    });
    eventfd_write(doorbell, 1);  // There may be buffers already.
  };
  serve(receive_doorbell_, &MultiportConsole::tell);
  serve(transmit_doorbell_, &MultiportConsole::take_messages);
}

void MultiportConsole::unwatch() {
  if (!std::exchange(running_, false)) return;
  for (int doorbell : {receive_doorbell_, transmit_doorbell_}) loop().unwatch(doorbell);
}

void MultiportConsole::fail() {
  unwatch();
  interrupts_->needs_reset();
}

void MultiportConsole::take_messages() {
  if (!running_) return;
  unsigned taken = 0;
  for (; taken < kTurn; ++taken) {
    auto chain = control_transmit_->pop();
    if (!chain) return fail();
    if (!*chain) break;
    wire::ControlMessage message;
    const bool whole = (*chain)->read(0, std::as_writable_bytes(std::span(&message, 1))) == sizeof message;
    if (whole) take(message);
    // Now: a driver waits until it is closed before it opens again.
    control_transmit_->push(**chain, 0);
  }
  control_transmit_->notify();
  tell();
  if (taken == kTurn) eventfd_write(transmit_doorbell_, 1);
}

// What makes no sense is nothing to tell anybody of.
void MultiportConsole::take(const wire::ControlMessage& message) {
  if (message.event == wire::kDeviceReady) {
    for (const auto& port : ports_) port->pending.set(kAdd, message.value == 1);
    return;
  }
  Port* port = find(message.port);
  if (!port) return;
  if (message.event == wire::kPortReady && message.value == 1) {
    port->ready = true;
    port->pending.set(kConsole, port->about.is_console);
    port->pending.set(kSize, port->about.is_console && port->columns != 0);
    port->pending.set(kName, !port->about.name.empty());
    // What is written there is always taken, whether anything is attached or not.
    port->pending.set(kOpen);
  } else if (message.event == wire::kPortOpen) {
    set_open(*port, message.value != 0);
  }
}

std::vector<std::byte> MultiportConsole::compose(const Port& port, Message message) const {
  constexpr uint16_t kEvents[kMessages] = {wire::kPortAdd, wire::kConsolePort, wire::kResize, wire::kPortName,
                                           wire::kPortOpen};
  const wire::ControlMessage head{.port = port.about.number, .event = kEvents[message], .value = 1};
  std::vector<std::byte> bytes;
  append(bytes, &head, sizeof head);
  if (message == kName) append(bytes, port.about.name.data(), port.about.name.size());
  if (message == kSize) {
    // Rows first, other than in the configuration space and in the specification's text: as drivers read it.
    append(bytes, &port.rows, sizeof port.rows);
    append(bytes, &port.columns, sizeof port.columns);
  }
  return bytes;
}

void MultiportConsole::tell() {
  if (!running_) return;
  unsigned told = 0;
  for (const auto& port : ports_) {
    for (unsigned message = 0; message < kMessages; ++message) {
      if (!port->pending.test(message)) continue;
      auto chain = control_receive_->pop();
      if (!chain) return fail();
      if (!*chain) return control_receive_->notify();
      const std::vector<std::byte> bytes = compose(*port, static_cast<Message>(message));
      // A buffer that is too small for it is given back empty, and the next one is tried.
      const bool fits = (*chain)->writable_size() >= bytes.size();
      const size_t written = fits ? (*chain)->write(0, bytes) : 0;
      control_receive_->push(**chain, static_cast<uint32_t>(written));
      port->pending.set(message, !fits);
      if (!fits) --message;
      if (++told == kTurn) {
        eventfd_write(receive_doorbell_, 1);
        return control_receive_->notify();
      }
    }
  }
  control_receive_->notify();
}

}  // namespace alcove::devices::console
