#include "devices/input/keyboard.h"

#include <linux/input-event-codes.h>

#include <cstddef>

#include "input/linux_codes.h"

namespace alcove::devices::input {

using alcove::input::linux_code;

namespace {

Description description() {
  Description keyboard{.name = "Alcove Virtio Keyboard", .product = 1};
  keyboard.events[EV_REP];
  for (size_t usage = 0; usage < alcove::input::KeyQueue::kKeys; ++usage) {
    if (const uint16_t code = linux_code(static_cast<Key>(usage))) keyboard.events[EV_KEY].push_back(code);
  }
  return keyboard;
}

}  // namespace

Keyboard::Keyboard(exec::EventLoop& loop) : Input(loop, description()) {}

void Keyboard::key(const KeyEvent& event) {
  {
    const std::lock_guard lock(mutex_);
    if (linux_code(event.key) == 0 || !queue_.push(event)) return;
  }
  wake();
}

void Keyboard::next(std::vector<Event>& events) {
  if (const auto event = queue_.pop()) events.push_back({EV_KEY, linux_code(event->key), event->pressed});
}

}  // namespace alcove::devices::input
