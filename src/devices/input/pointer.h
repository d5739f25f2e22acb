// A pointing device that tells positions on the screen, as a virtio input device.
#pragma once

#include "devices/input/input.h"
#include "input/queues.h"
#include "input/sinks.h"

namespace alcove::devices::input {

class Pointer final : public Input, public alcove::input::PointerSink {
 public:
  explicit Pointer(exec::EventLoop& loop);
  ~Pointer() override { deactivate(); }

  bool is_ready() const override { return has_driver(); }
  void pointer(const PointerEvent& event) override;

 private:
  // Turns of a wheel in whole units: 120 a notch for new guests, notches for old.
  class Wheel {
   public:
    Wheel(uint16_t fine_code, uint16_t code) : fine_code_(fine_code), code_(code) {}
    void turn(double notches, std::vector<Event>& events);

   private:
    uint16_t fine_code_, code_;
    double rest_ = 0;  // Less than a unit.
    int units_ = 0;    // Less than a notch.
  };

  void begin() override;
  void next(std::vector<Event>& events) override;

  alcove::input::PointerQueue queue_;
  PointerEvent told_;  // What the guest knows.
  Wheel horizontal_, vertical_;
};

}  // namespace alcove::devices::input
