#include "devices/console/console_port.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>

namespace alcove::devices::console {
namespace {

// What one turn carries at most, so that a guest that never ceases leaves the loop to others.
constexpr size_t kTurn = 64 * 1024;

}  // namespace

void ConsolePort::start(Queues queues) {
  queues_ = std::move(queues);
  resume();
}

void ConsolePort::stop() {
  pause();
  sending_.reset();
  queues_ = {};
}

void ConsolePort::pause() {
  if (!running_) return;
  running_ = false;
  for (int doorbell : {queues_.receive_doorbell, queues_.transmit_doorbell}) port_.loop().unwatch(doorbell);
}

void ConsolePort::resume() {
  if (running_ || !queues_.interrupts) return;
  running_ = true;
  const auto watch = [&](int doorbell, auto work) {
    port_.loop().watch(doorbell, EPOLLIN, [doorbell, work](uint32_t) mutable {
      eventfd_t ignored;
      eventfd_read(doorbell, &ignored);
      work();
    });
    eventfd_write(doorbell, 1);  // There may be buffers already.
  };
  if (queues_.receive) watch(queues_.receive_doorbell, [this] { port_.ready(); });
  if (queues_.transmit) watch(queues_.transmit_doorbell, [this] { transmit(); });
}

void ConsolePort::take_input(bool wanted) {
  takes_input_ = wanted;
  if (wanted && running_) port_.ready();
}

void ConsolePort::hold_output(bool held) {
  holds_output_ = held;
  transmit();
}

void ConsolePort::drop_output() {
  if (!running_ || !queues_.transmit) return;
  // No more than there can be at once: the driver may go on.
  for (unsigned chains = 0; chains <= queues_.transmit->size(); ++chains) {
    if (!sending_) {
      auto chain = queues_.transmit->pop();
      if (!chain) return fail();
      if (!*chain) break;
      sending_ = std::move(**chain);
    }
    queues_.transmit->push(*sending_, 0);
    sending_.reset();
  }
  queues_.transmit->notify();
}

void ConsolePort::fail() {
  virtio::Interrupts* interrupts = queues_.interrupts;
  stop();
  interrupts->needs_reset();
}

size_t ConsolePort::receive(std::span<const std::byte> input) {
  if (!running_ || !queues_.receive || !takes_input_) return 0;
  size_t taken = 0;
  for (unsigned chains = 0; taken < input.size(); ++chains) {
    auto chain = queues_.receive->pop();
    if (!chain) {
      fail();
      return taken;
    }
    if (!*chain) break;
    const size_t size = (*chain)->write(0, input.subspan(taken));
    queues_.receive->push(**chain, static_cast<uint32_t>(size));
    taken += size;
    if (chains == queues_.receive->size()) {  // Buffers without room: come back after the others.
      eventfd_write(queues_.receive_doorbell, 1);
      break;
    }
  }
  queues_.receive->notify();
  return taken;
}

// False if the port takes no more now or the budget is used up.
bool ConsolePort::send_current(size_t& budget) {
  std::array<std::byte, 4096> buffer;
  while (sent_ < sending_->readable_size()) {
    if (budget == 0) return false;
    const size_t size = sending_->read(sent_, std::span(buffer).first(std::min(buffer.size(), budget)));
    const size_t taken = port_.write(std::span(buffer).first(size));
    sent_ += taken;
    budget -= taken;
    if (taken < size) return false;
  }
  return true;
}

void ConsolePort::transmit() {
  if (!running_ || !queues_.transmit || holds_output_) return;
  size_t budget = kTurn;
  queues_.transmit->set_wants_notifications(false);
  while (budget > 0) {
    if (!sending_) {
      auto chain = queues_.transmit->pop();
      if (!chain) return fail();
      if (!*chain) {
        queues_.transmit->set_wants_notifications(true);
        chain = queues_.transmit->pop();
        if (!chain) return fail();
        if (!*chain) break;
        queues_.transmit->set_wants_notifications(false);
      }
      sending_ = std::move(**chain);
      sent_ = 0;
      --budget;
    }
    if (!send_current(budget)) break;
    queues_.transmit->push(*sending_, 0);
    sending_.reset();
  }
  queues_.transmit->notify();
  if (budget == 0) eventfd_write(queues_.transmit_doorbell, 1);
}

}  // namespace alcove::devices::console
