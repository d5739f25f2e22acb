#include "input/gestures.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace alcove::input {
namespace {

constexpr double kMargin = 3;          // Millimetres from the edges, where guests suspect palms.
constexpr double kSmallestRadius = 7;  // Fingers side by side.

// Gestures' fingers must not be taken for those of a view's touches.
constexpr uint32_t kFirstId = 0x8000'0000;

bool is_finite(const GestureEvent& event) {
  return std::isfinite(event.dx) && std::isfinite(event.dy) && std::isfinite(event.magnification) &&
         std::isfinite(event.rotation);
}

}  // namespace

std::optional<TouchEvent> GestureFingers::apply(const GestureEvent& event) {
  if (!is_finite(event)) return std::nullopt;
  switch (event.phase) {
    case GesturePhase::begin:
      fingers_ = std::clamp(event.fingers, 2u, 5u);
      first_id_ = kFirstId | ((first_id_ + 8) & 0xffff);
      x_ = width_ / 2;
      y_ = height_ / 2;
      radius_ = std::min(width_, height_) / 4;
      angle_ = 0;
      break;
    case GesturePhase::update:
      if (fingers_ == 0) return std::nullopt;
      x_ += event.dx;
      y_ += event.dy;
      radius_ *= std::max(0.1, 1 + event.magnification);
      angle_ = std::remainder(angle_ + event.rotation * std::numbers::pi / 180, 2 * std::numbers::pi);
      keep_on_surface();
      break;
    case GesturePhase::end:
      if (fingers_ == 0) return std::nullopt;
      fingers_ = 0;
      return TouchEvent{};
  }
  return contacts();
}

void GestureFingers::keep_on_surface() {
  const double largest = std::max(kSmallestRadius, std::min(width_, height_) / 2 - kMargin);
  radius_ = std::clamp(radius_, std::min(kSmallestRadius, largest), largest);
  const double room_x = std::max(0.0, width_ / 2 - radius_ - kMargin);
  const double room_y = std::max(0.0, height_ / 2 - radius_ - kMargin);
  x_ = std::clamp(x_, width_ / 2 - room_x, width_ / 2 + room_x);
  y_ = std::clamp(y_, height_ / 2 - room_y, height_ / 2 + room_y);
}

TouchEvent GestureFingers::contacts() const {
  TouchEvent event;
  for (unsigned finger = 0; finger < fingers_; ++finger) {
    const double angle = angle_ + finger * 2 * std::numbers::pi / fingers_;
    event.contacts.push_back({.id = first_id_ + finger,
                              .x = std::clamp((x_ + radius_ * std::cos(angle)) / width_, 0.0, 1.0),
                              .y = std::clamp((y_ + radius_ * std::sin(angle)) / height_, 0.0, 1.0)});
  }
  return event;
}

}  // namespace alcove::input
