#include "devices/input/trackpad.h"

#include <linux/input-event-codes.h>
#include <linux/input.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace alcove::devices::input {

namespace {

constexpr uint32_t kUnitsPerMillimetre = 40;
constexpr uint32_t kTrackingIds = 0x10000;
// By how many fingers there are.
constexpr std::array<uint16_t, 6> kTools = {
    0, BTN_TOOL_FINGER, BTN_TOOL_DOUBLETAP, BTN_TOOL_TRIPLETAP, BTN_TOOL_QUADTAP, BTN_TOOL_QUINTTAP};

Description description(uint16_t width, uint16_t height) {
  Description pad{.name = "Alcove Virtio Trackpad", .product = 3};
  pad.properties.set(INPUT_PROP_POINTER);
  pad.properties.set(INPUT_PROP_BUTTONPAD);
  pad.events[EV_KEY] = {kTools.begin() + 1, kTools.end()};
  pad.events[EV_KEY].push_back(BTN_LEFT);
  pad.events[EV_KEY].push_back(BTN_TOUCH);
  pad.events[EV_ABS] = {ABS_X, ABS_Y, ABS_MT_SLOT, ABS_MT_POSITION_X, ABS_MT_POSITION_Y, ABS_MT_TRACKING_ID};
  const auto axis = [](uint16_t length) {
    return AxisInformation{
        .minimum = 0, .maximum = length * kUnitsPerMillimetre, .resolution = kUnitsPerMillimetre};
  };
  pad.axes[ABS_X] = pad.axes[ABS_MT_POSITION_X] = axis(width);
  pad.axes[ABS_Y] = pad.axes[ABS_MT_POSITION_Y] = axis(height);
  pad.axes[ABS_MT_SLOT] = {.minimum = 0, .maximum = alcove::input::kMostContacts - 1};
  pad.axes[ABS_MT_TRACKING_ID] = {.minimum = 0, .maximum = kTrackingIds - 1};
  return pad;
}

}  // namespace

Trackpad::Trackpad(exec::EventLoop& loop, uint16_t width, uint16_t height)
    : Input(loop, description(width, height)), width_(width), height_(height) {}

void Trackpad::touch(const TouchEvent& event) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push(event);
  }
  wake();
}

void Trackpad::begin() {
  queue_.clear();
  slots_ = {};
  selected_ = fingers_ = 0;
  pressed_ = false;
}

Trackpad::Slot* Trackpad::find(std::optional<uint32_t> finger) {
  const auto found = std::ranges::find(slots_, finger, &Slot::finger);
  return found == slots_.end() ? nullptr : &*found;
}

void Trackpad::select(const Slot& slot, std::vector<Event>& events) {
  const auto index = static_cast<size_t>(&slot - slots_.data());
  if (std::exchange(selected_, index) != index)
    events.push_back({EV_ABS, ABS_MT_SLOT, static_cast<uint32_t>(index)});
}

void Trackpad::lift_others(const TouchEvent& event, std::vector<Event>& events) {
  for (Slot& slot : slots_) {
    if (!slot.finger ||
        std::ranges::find(event.contacts, *slot.finger, &TouchContact::id) != event.contacts.end())
      continue;
    select(slot, events);
    events.push_back({EV_ABS, ABS_MT_TRACKING_ID, ~uint32_t{0}});
    slot.finger.reset();
    --fingers_;
  }
}

void Trackpad::place(const TouchContact& contact, std::vector<Event>& events) {
  const auto scaled = [](double part, uint16_t length) {
    return static_cast<uint32_t>(std::lround(part * length * kUnitsPerMillimetre));
  };
  const uint32_t x = scaled(contact.x, width_);
  const uint32_t y = scaled(contact.y, height_);
  Slot* slot = find(contact.id);
  const bool is_new = !slot;
  if (is_new) slot = find(std::nullopt);
  if (!slot) return;  // More fingers than slots.
  if (!is_new && slot->x == x && slot->y == y) return;
  select(*slot, events);
  if (is_new) {
    events.push_back({EV_ABS, ABS_MT_TRACKING_ID, next_tracking_id_});
    next_tracking_id_ = (next_tracking_id_ + 1) % kTrackingIds;
    slot->finger = contact.id;
    ++fingers_;
  }
  if (is_new || slot->x != x) events.push_back({EV_ABS, ABS_MT_POSITION_X, x});
  if (is_new || slot->y != y) events.push_back({EV_ABS, ABS_MT_POSITION_Y, y});
  slot->x = x;
  slot->y = y;
}

void Trackpad::next(std::vector<Event>& events) {
  while (events.empty()) {
    const auto event = queue_.pop();
    if (!event) return;
    const size_t fingers = fingers_;
    lift_others(*event, events);
    for (const TouchContact& contact : event->contacts) place(contact, events);
    if (fingers != fingers_) {
      if ((fingers == 0) != (fingers_ == 0)) events.push_back({EV_KEY, BTN_TOUCH, fingers_ != 0});
      if (fingers) events.push_back({EV_KEY, kTools[fingers], 0});
      if (fingers_) events.push_back({EV_KEY, kTools[fingers_], 1});
    }
    const auto first = std::ranges::find_if(slots_, [](const Slot& slot) { return slot.finger.has_value(); });
    if (first != slots_.end()) {
      if (std::exchange(x_, first->x) != first->x) events.push_back({EV_ABS, ABS_X, first->x});
      if (std::exchange(y_, first->y) != first->y) events.push_back({EV_ABS, ABS_Y, first->y});
    }
    if (std::exchange(pressed_, event->pressed) != event->pressed)
      events.push_back({EV_KEY, BTN_LEFT, event->pressed});
  }
}

}  // namespace alcove::devices::input
