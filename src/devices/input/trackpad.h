// A multi-touch trackpad as a virtio input device: slots that tell of each finger (Linux' multi-touch
// protocol, type B), on a surface of a known size that can be pressed down as a whole.
#pragma once

#include <array>
#include <optional>

#include "devices/input/input.h"
#include "input/queues.h"
#include "input/sinks.h"

namespace alcove::devices::input {

class Trackpad final : public Input, public alcove::input::TrackpadSink {
 public:
  // The surface in millimetres.
  Trackpad(exec::EventLoop& loop, uint16_t width, uint16_t height);
  ~Trackpad() override { deactivate(); }

  bool is_ready() const override { return has_driver(); }
  void touch(const TouchEvent& event) override;
  double width() const override { return width_; }
  double height() const override { return height_; }

 private:
  struct Slot {
    std::optional<uint32_t> finger;  // Its id; none: the slot is free.
    uint32_t x = 0, y = 0;
  };
  void begin() override;
  void next(std::vector<Event>& events) override;
  void lift_others(const TouchEvent& event, std::vector<Event>& events);
  void place(const TouchContact& contact, std::vector<Event>& events);
  Slot* find(std::optional<uint32_t> finger);
  void select(const Slot& slot, std::vector<Event>& events);

  const uint16_t width_, height_;
  alcove::input::TouchQueue queue_;
  // What the guest knows.
  std::array<Slot, alcove::input::kMostContacts> slots_;
  size_t selected_ = 0;
  size_t fingers_ = 0;
  uint32_t next_tracking_id_ = 0;
  bool pressed_ = false;
  uint32_t x_ = 0, y_ = 0;  // Of the finger for guests that know but one.
};

}  // namespace alcove::devices::input
