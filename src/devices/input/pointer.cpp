#include "devices/input/pointer.h"

#include <linux/input-event-codes.h>

#include <cmath>

namespace alcove::devices::input {

namespace {

constexpr uint32_t kMaximum = 32767;
constexpr int kUnitsPerNotch = 120;

Description description() {
  Description pointer{.name = "Alcove Virtio Pointer", .product = 2};
  pointer.events[EV_KEY] = {BTN_LEFT, BTN_RIGHT, BTN_MIDDLE, BTN_SIDE, BTN_EXTRA};
  pointer.events[EV_REL] = {REL_HWHEEL, REL_WHEEL, REL_WHEEL_HI_RES, REL_HWHEEL_HI_RES};
  pointer.events[EV_ABS] = {ABS_X, ABS_Y};
  pointer.axes[ABS_X] = pointer.axes[ABS_Y] = AxisInformation{.minimum = 0, .maximum = kMaximum};
  return pointer;
}

uint32_t position(double value) {
  return static_cast<uint32_t>(std::lround(value * kMaximum));
}

}  // namespace

Pointer::Pointer(exec::EventLoop& loop)
    : Input(loop, description()),
      horizontal_(REL_HWHEEL_HI_RES, REL_HWHEEL),
      vertical_(REL_WHEEL_HI_RES, REL_WHEEL) {}

void Pointer::Wheel::turn(double notches, std::vector<Event>& events) {
  rest_ += notches * kUnitsPerNotch;
  const double whole = std::trunc(rest_);
  if (whole == 0) return;
  rest_ -= whole;
  const int units = static_cast<int>(whole);
  events.push_back({EV_REL, fine_code_, static_cast<uint32_t>(units)});
  units_ += units;
  const int turned = units_ / kUnitsPerNotch;
  units_ %= kUnitsPerNotch;
  if (turned) events.push_back({EV_REL, code_, static_cast<uint32_t>(turned)});
}

void Pointer::pointer(const PointerEvent& event) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push(event);
  }
  wake();
}

void Pointer::begin() {
  queue_.clear();
  told_ = {.x = -1, .y = -1};
}

void Pointer::next(std::vector<Event>& events) {
  // An event that tells nothing new is no report.
  while (events.empty()) {
    const auto event = queue_.pop();
    if (!event) return;
    if (event->x != told_.x) events.push_back({EV_ABS, ABS_X, position(event->x)});
    if (event->y != told_.y) events.push_back({EV_ABS, ABS_Y, position(event->y)});
    const auto button = [&](uint16_t code, bool PointerButtons::* member) {
      if (event->buttons.*member != told_.buttons.*member)
        events.push_back({EV_KEY, code, event->buttons.*member});
    };
    button(BTN_LEFT, &PointerButtons::left);
    button(BTN_RIGHT, &PointerButtons::right);
    button(BTN_MIDDLE, &PointerButtons::middle);
    button(BTN_SIDE, &PointerButtons::back);
    button(BTN_EXTRA, &PointerButtons::forward);
    horizontal_.turn(event->wheel_x, events);
    vertical_.turn(event->wheel_y, events);
    told_ = *event;
  }
}

}  // namespace alcove::devices::input
