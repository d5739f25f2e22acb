// Turns gestures that a host has recognized back into fingers on a trackpad.
#pragma once

#include <alcove/input.h>

#include <optional>

namespace alcove::input {

class GestureFingers {
 public:
  // The trackpad's surface in millimetres.
  GestureFingers(double width, double height) : width_(width), height_(height) {}

  // Nothing where the event belongs to no gesture.
  std::optional<TouchEvent> apply(const GestureEvent& event);
  // The fingers are lifted without an event.
  void forget() { fingers_ = 0; }

 private:
  TouchEvent contacts() const;
  void keep_on_surface();

  double width_;
  double height_;
  unsigned fingers_ = 0;  // 0: no gesture is under way.
  uint32_t first_id_ = 0;
  // Millimetres from the surface's left far corner; the fingers stand on a circle.
  double x_ = 0;
  double y_ = 0;
  double radius_ = 0;
  double angle_ = 0;  // Radians, clockwise.
};

}  // namespace alcove::input
