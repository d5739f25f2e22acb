#include "input/queues.h"

#include <algorithm>
#include <utility>

namespace alcove::input {

bool KeyQueue::push(const KeyEvent& event) {
  const auto usage = static_cast<size_t>(event.key);
  if (usage >= kKeys || down_[usage] == event.pressed) return false;
  if (event.pressed) {
    if (presses_ == kMostPresses) return false;
    ++presses_;
  }
  down_[usage] = event.pressed;
  events_.push_back(event);  // Each release follows a press that was taken, so these are bounded, too.
  return true;
}

std::optional<KeyEvent> KeyQueue::pop() {
  if (events_.empty()) return std::nullopt;
  const KeyEvent event = events_.front();
  events_.pop_front();
  if (event.pressed) --presses_;
  return event;
}

void KeyQueue::clear() {
  events_.clear();
  presses_ = 0;
  down_.reset();
}

void PointerQueue::push(const PointerEvent& event) {
  const bool moves_only = !events_.empty() && event.buttons == buttons_ && events_.back().buttons == buttons_;
  buttons_ = event.buttons;
  if (!moves_only && events_.size() < kMost) {
    events_.push_back(event);
    return;
  }
  PointerEvent& last = events_.back();
  const double wheel_x = last.wheel_x + event.wheel_x;
  const double wheel_y = last.wheel_y + event.wheel_y;
  last = event;
  last.wheel_x = wheel_x;
  last.wheel_y = wheel_y;
}

std::optional<PointerEvent> PointerQueue::pop() {
  if (events_.empty()) return std::nullopt;
  const PointerEvent event = events_.front();
  events_.pop_front();
  return event;
}

void PointerQueue::clear() {
  events_.clear();
  buttons_ = {};
}

namespace {

bool same_fingers(const TouchEvent& a, const TouchEvent& b) {
  return a.pressed == b.pressed && a.contacts.size() == b.contacts.size() &&
         std::ranges::equal(a.contacts, b.contacts, {}, &TouchContact::id, &TouchContact::id);
}

}  // namespace

void TouchQueue::push(TouchEvent event) {
  std::ranges::sort(event.contacts, {}, &TouchContact::id);
  // A position is replaced only behind the event in which these fingers first were together, so that where
  // they came down is not lost.
  const bool moves_on =
      events_.size() >= 2 && same_fingers(events_.back(), event) && same_fingers(*(events_.end() - 2), event);
  if (moves_on || events_.size() == kMost) {
    events_.back() = std::move(event);
  } else {
    events_.push_back(std::move(event));
  }
}

std::optional<TouchEvent> TouchQueue::pop() {
  if (events_.empty()) return std::nullopt;
  TouchEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

}  // namespace alcove::input
