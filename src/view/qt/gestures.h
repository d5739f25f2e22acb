// Gestures that the host's window system has recognized on its trackpad.
#pragma once

#include <alcove/input.h>

#include <vector>

class QNativeGestureEvent;

namespace alcove::view::qt {

class Gestures {
 public:
  // What the guest's trackpad is to do for it.
  std::vector<GestureEvent> translate(const QNativeGestureEvent& event);

 private:
  bool under_way_ = false;
};

}  // namespace alcove::view::qt
