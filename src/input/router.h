// Leads events to the devices that take them, and knows what it has pressed on each.
#pragma once

#include <alcove/input.h>

#include <bitset>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "input/gestures.h"
#include "input/sinks.h"

namespace alcove::input {

// Any thread, but for what adds and removes devices: before the machine runs and after. Devices outlive its
// use.
class Router {
 public:
  // In the order of the configuration.
  void add(KeyboardSink& keyboard) { keyboards_.push_back(&keyboard); }
  void add(PointerSink& pointer) { pointers_.push_back(&pointer); }
  void add(TrackpadSink& trackpad);

  // Distrusts what it is given: positions, numbers of fingers. What no device takes is dropped.
  void send(const InputEvent& event);

 private:
  struct Trackpad {
    TrackpadSink* sink;
    GestureFingers gesture;
  };
  void take(const KeyEvent& event);
  void take(const PointerEvent& event);
  void take(const TouchEvent& event);
  void take(const GestureEvent& event);
  Trackpad* trackpad_in_use(bool begins);

  std::mutex mutex_;  // Guards the members below, and serialises calls of the sinks.
  std::vector<KeyboardSink*> keyboards_;
  std::vector<PointerSink*> pointers_;
  std::vector<Trackpad> trackpads_;
  std::map<Key, KeyboardSink*> pressed_;  // Where each key that is down went.
  PointerSink* pointing_ = nullptr;       // Where buttons are down.
  Trackpad* touched_ = nullptr;           // Where fingers are.
};

}  // namespace alcove::input
