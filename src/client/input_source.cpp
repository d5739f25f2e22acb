#include "client/input_source.h"

#include <utility>

namespace alcove {

namespace client {

bool InputOutbox::push(const InputEvent& event, bool releases) {
  const auto* const pointer = std::get_if<PointerEvent>(&event);
  auto* const last = events_.empty() ? nullptr : std::get_if<PointerEvent>(&events_.back());
  if (pointer && last && last->buttons == pointer->buttons) {
    const double wheel_x = last->wheel_x + pointer->wheel_x;
    const double wheel_y = last->wheel_y + pointer->wheel_y;
    *last = *pointer;
    last->wheel_x = wheel_x;
    last->wheel_y = wheel_y;
    return true;
  }
  if (events_.size() >= kMost && !releases) return false;
  events_.push_back(event);
  return true;
}

}  // namespace client

// What an event does to what this source holds.

InputSource::Implementation::Effect InputSource::Implementation::effect(const KeyEvent& event) const {
  return {.matters = keys_[static_cast<size_t>(event.key)] != event.pressed, .releases = !event.pressed};
}

InputSource::Implementation::Effect InputSource::Implementation::effect(const PointerEvent& event) const {
  return {.releases = event.buttons == PointerButtons{} && pointer_.buttons != event.buttons};
}

InputSource::Implementation::Effect InputSource::Implementation::effect(const TouchEvent& event) const {
  const bool nothing = event.contacts.empty() && !event.pressed;
  return {.matters = touches_ || !nothing, .releases = nothing};
}

InputSource::Implementation::Effect InputSource::Implementation::effect(const GestureEvent& event) const {
  return {.matters = gesture_ || event.phase == GesturePhase::begin,
          .releases = event.phase == GesturePhase::end};
}

void InputSource::Implementation::note(const KeyEvent& event) {
  keys_[static_cast<size_t>(event.key)] = event.pressed;
}

void InputSource::Implementation::note(const PointerEvent& event) {
  pointer_ = event;
}

void InputSource::Implementation::note(const TouchEvent& event) {
  touches_ = !event.contacts.empty() || event.pressed;
}

void InputSource::Implementation::note(const GestureEvent& event) {
  gesture_ = event.phase != GesturePhase::end;
}

void InputSource::Implementation::forget() {
  keys_.reset();
  pointer_ = {};
  touches_ = false;
  gesture_ = false;
}

void InputSource::Implementation::forget_other_runs(const client::InputTarget& target) {
  const uint64_t number = target.run_number();
  if (std::exchange(run_number_, number) != number) forget();
}

Result<> InputSource::Implementation::send(const InputEvent& event) {
  const auto target = target_.lock();
  if (!target)
    return fail(ErrorCode::invalid_virtual_machine_state, "", "the VirtualMachine of this input is gone");
  const std::lock_guard lock(mutex_);
  forget_other_runs(*target);
  const auto [matters, releases] = std::visit([&](const auto& kind) { return effect(kind); }, event);
  if (!matters) return {};
  auto sent = target->send_input(event, releases);
  if (sent) std::visit([&](const auto& kind) { note(kind); }, event);
  return sent;
}

void InputSource::Implementation::release_all() {
  const auto target = target_.lock();
  const std::lock_guard lock(mutex_);
  if (target) {
    forget_other_runs(*target);
    // What can't be sent was sent to a machine that has stopped.
    for (size_t usage = 0; usage < keys_.size() && keys_.any(); ++usage) {
      if (keys_[usage])
        (void)target->send_input(KeyEvent{.key = static_cast<Key>(usage), .pressed = false}, true);
    }
    if (pointer_.buttons != PointerButtons{})
      (void)target->send_input(PointerEvent{.x = pointer_.x, .y = pointer_.y}, true);
    if (touches_) (void)target->send_input(TouchEvent{}, true);
    if (gesture_) (void)target->send_input(GestureEvent{.phase = GesturePhase::end}, true);
  }
  forget();
}

InputSource::InputSource(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}
InputSource::InputSource(InputSource&&) noexcept = default;
InputSource& InputSource::operator=(InputSource&&) noexcept = default;
InputSource::~InputSource() = default;

Result<> InputSource::send(const InputEvent& event) {
  if (implementation_) return implementation_->send(event);
  return fail(ErrorCode::invalid_virtual_machine_state, "", "this source of input belongs to no machine");
}

void InputSource::release_all() {
  if (implementation_) implementation_->release_all();
}

}  // namespace alcove
