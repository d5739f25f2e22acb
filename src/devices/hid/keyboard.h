// A USB keyboard: its reports are those of the boot protocol (HID 1.11, appendix B.1) in either protocol.
#pragma once

#include <bitset>

#include "devices/hid/hid.h"
#include "input/queues.h"
#include "input/sinks.h"

namespace alcove::devices::hid {

class Keyboard final : public Hid, public input::KeyboardSink {
 public:
  explicit Keyboard(exec::Executor& executor);

  bool is_ready() const override { return has_driver(); }
  void key(const KeyEvent& event) override;

  // Num Lock, Caps Lock, Scroll Lock from bit 0, as the guest last set them. Any thread.
  uint8_t leds() const { return leds_; }

 private:
  std::optional<Bytes> next_report() override;
  Bytes report() const override;
  void set_report(std::span<const std::byte> report) override;
  void forget() override;

  input::KeyQueue queue_;
  std::bitset<input::KeyQueue::kKeys> down_;  // As the guest has been told.
  std::atomic<uint8_t> leds_ = 0;
};

}  // namespace alcove::devices::hid
