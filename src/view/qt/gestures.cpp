#include "view/qt/gestures.h"

#include <QNativeGestureEvent>
#include <QPointF>
#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace alcove::view::qt {

namespace {

// libinput, which makes these events on both sides, takes a millimetre of a touchpad for about this many of
// its units (1000 to the inch, slowed down as a touchpad's motion is).
constexpr double kUnitsPerMillimetre = 1000 / 25.4 * 0.2968;

}  // namespace

std::vector<GestureEvent> Gestures::translate(const QNativeGestureEvent& event) {
  const auto fingers = static_cast<unsigned>(std::clamp(event.fingerCount(), 2, 5));
  std::vector<GestureEvent> events;
  const auto begin = [&](unsigned count) {
    if (!std::exchange(under_way_, true)) events.push_back({.phase = GesturePhase::begin, .fingers = count});
  };
  switch (event.gestureType()) {
    case Qt::BeginNativeGesture:
      under_way_ = false;
      begin(fingers);
      break;
    case Qt::EndNativeGesture:
      if (std::exchange(under_way_, false))
        events.push_back({.phase = GesturePhase::end, .fingers = fingers});
      break;
    case Qt::PanNativeGesture:
      begin(fingers);
      events.push_back({.fingers = fingers,
                        .dx = event.delta().x() / kUnitsPerMillimetre,
                        .dy = event.delta().y() / kUnitsPerMillimetre});
      break;
    case Qt::ZoomNativeGesture:
      begin(fingers);
      events.push_back({.fingers = fingers, .magnification = event.value()});
      break;
    case Qt::RotateNativeGesture:
      begin(fingers);
      events.push_back({.fingers = fingers, .rotation = event.value()});
      break;
    case Qt::SwipeNativeGesture: {  // Told as a whole, with its direction: 0 is to the right, 90 up.
      constexpr unsigned kFingers = 3;
      constexpr int kSteps = 10;
      constexpr double kStep = 3;  // Millimetres.
      const double angle = event.value() / 180 * std::numbers::pi;
      if (std::exchange(under_way_, false))
        events.push_back({.phase = GesturePhase::end, .fingers = fingers});
      events.push_back({.phase = GesturePhase::begin, .fingers = kFingers});
      for (int i = 0; i < kSteps; ++i)
        events.push_back(
            {.fingers = kFingers, .dx = kStep * std::cos(angle), .dy = -kStep * std::sin(angle)});
      events.push_back({.phase = GesturePhase::end, .fingers = kFingers});
      break;
    }
    default:
      break;
  }
  return events;
}

}  // namespace alcove::view::qt
