#include "input/router.h"

#include <algorithm>
#include <cmath>

#include "input/queues.h"

namespace alcove::input {
namespace {

// The first that is ready, else none: what nobody takes is not kept for later.
template <class Sinks>
auto first_ready(const Sinks& sinks) -> typename Sinks::value_type {
  const auto found = std::ranges::find_if(sinks, [](const auto* sink) { return sink->is_ready(); });
  return found == sinks.end() ? nullptr : *found;
}

double within_one(double value) {
  return std::isfinite(value) ? std::clamp(value, 0.0, 1.0) : 0.0;
}

double sane_wheel(double value) {
  constexpr double kMost = 1000;
  return std::isfinite(value) ? std::clamp(value, -kMost, kMost) : 0.0;
}

}  // namespace

void Router::add(TrackpadSink& trackpad) {
  trackpads_.push_back({&trackpad, GestureFingers(trackpad.width(), trackpad.height())});
}

void Router::send(const InputEvent& event) {
  const std::lock_guard lock(mutex_);
  std::visit([this](const auto& kind) { take(kind); }, event);
}

void Router::take(const KeyEvent& event) {
  if (static_cast<size_t>(event.key) >= KeyQueue::kKeys) return;
  const auto held = pressed_.find(event.key);
  if (held != pressed_.end()) {
    // A release goes where the press went. A press of what is down may mean that the guest began anew.
    if (!event.pressed || held->second->is_ready()) {
      held->second->key(event);
      if (!event.pressed) pressed_.erase(held);
      return;
    }
    pressed_.erase(held);
  }
  KeyboardSink* const keyboard = event.pressed ? first_ready(keyboards_) : nullptr;
  if (!keyboard) return;
  keyboard->key(event);
  pressed_.emplace(event.key, keyboard);
}

void Router::take(const PointerEvent& event) {
  if (!pointing_ || !pointing_->is_ready()) pointing_ = first_ready(pointers_);
  if (!pointing_) return;
  PointerEvent checked = event;
  checked.x = within_one(event.x);
  checked.y = within_one(event.y);
  checked.wheel_x = sane_wheel(event.wheel_x);
  checked.wheel_y = sane_wheel(event.wheel_y);
  pointing_->pointer(checked);
  if (event.buttons == PointerButtons{}) pointing_ = nullptr;  // Choose anew next time.
}

Router::Trackpad* Router::trackpad_in_use(bool begins) {
  if (touched_ && touched_->sink->is_ready()) return touched_;
  touched_ = nullptr;
  if (!begins) return nullptr;
  const auto found = std::ranges::find_if(trackpads_, [](const auto& pad) { return pad.sink->is_ready(); });
  if (found != trackpads_.end()) touched_ = &*found;
  return touched_;
}

void Router::take(const TouchEvent& event) {
  Trackpad* const pad = trackpad_in_use(!event.contacts.empty() || event.pressed);
  if (!pad) return;
  TouchEvent checked{.contacts = {}, .pressed = event.pressed};
  for (const TouchContact& contact : event.contacts) {
    if (checked.contacts.size() == kMostContacts) break;
    if (std::ranges::find(checked.contacts, contact.id, &TouchContact::id) != checked.contacts.end())
      continue;
    checked.contacts.push_back({.id = contact.id, .x = within_one(contact.x), .y = within_one(contact.y)});
  }
  pad->gesture.forget();
  if (checked.contacts.empty() && !checked.pressed) touched_ = nullptr;
  pad->sink->touch(checked);
}

void Router::take(const GestureEvent& event) {
  Trackpad* const pad = trackpad_in_use(event.phase == GesturePhase::begin);
  if (!pad) return;
  const auto fingers = pad->gesture.apply(event);
  if (!fingers) return;
  if (fingers->contacts.empty()) touched_ = nullptr;
  pad->sink->touch(*fingers);
}

}  // namespace alcove::input
