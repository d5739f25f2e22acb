// What device models of keyboards and pointing devices implement to get events.
#pragma once

#include <alcove/input.h>

namespace alcove::input {

// Members are called on any thread, one at a time for each sink, and never wait: a device that the guest does
// not serve keeps little and drops the rest (queues.h).
class Sink {
 public:
  virtual ~Sink() = default;
  // Whether the guest's driver is there, so that events get anywhere. Where several devices could take an
  // event, the first that is ready does.
  virtual bool is_ready() const = 0;
};

class KeyboardSink : public Sink {
 public:
  virtual void key(const KeyEvent& event) = 0;
};

class PointerSink : public Sink {
 public:
  // Positions are within 0 to 1, wheels are finite.
  virtual void pointer(const PointerEvent& event) = 0;
};

inline constexpr size_t kMostContacts = 5;

class TrackpadSink : public Sink {
 public:
  // At most kMostContacts with different ids, positions within 0 to 1.
  virtual void touch(const TouchEvent& event) = 0;
  // The surface in millimetres.
  virtual double width() const = 0;
  virtual double height() const = 0;
};

}  // namespace alcove::input
