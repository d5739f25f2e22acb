// Events between a view and a guest that takes them when it likes: bounded, and never a key, button or finger
// left down that the guest saw go down. For one thread at a time.
#pragma once

#include <alcove/input.h>

#include <bitset>
#include <cstddef>
#include <deque>
#include <optional>

namespace alcove::input {

// Presses beyond the bound are dropped, and then so are their releases.
class KeyQueue {
 public:
  static constexpr size_t kMostPresses = 512;
  static constexpr size_t kKeys = 256;  // Usages; others are dropped.

  // Tells whether it was taken; a press of what is down, and a release of what is not, are not.
  bool push(const KeyEvent& event);
  std::optional<KeyEvent> pop();
  bool empty() const { return events_.empty(); }
  // Forgets events, and what is down: the guest's driver began anew.
  void clear();

 private:
  std::deque<KeyEvent> events_;
  size_t presses_ = 0;  // Among events_.
  std::bitset<kKeys> down_;
};

// Motion replaces motion; wheels add up. When full, button changes come together in the last event.
class PointerQueue {
 public:
  static constexpr size_t kMost = 64;

  void push(const PointerEvent& event);
  std::optional<PointerEvent> pop();
  bool empty() const { return events_.empty(); }
  void clear();

 private:
  std::deque<PointerEvent> events_;
  PointerButtons buttons_;  // Of the event pushed last.
};

// Fingers that only move replace their earlier positions. When full, the last event is replaced by any.
class TouchQueue {
 public:
  static constexpr size_t kMost = 64;

  void push(TouchEvent event);
  std::optional<TouchEvent> pop();
  bool empty() const { return events_.empty(); }
  void clear() { events_.clear(); }

 private:
  std::deque<TouchEvent> events_;
};

}  // namespace alcove::input
