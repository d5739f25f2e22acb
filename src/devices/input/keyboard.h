// A keyboard as a virtio input device.
#pragma once

#include "devices/input/input.h"
#include "input/queues.h"
#include "input/sinks.h"

namespace alcove::devices::input {

class Keyboard final : public Input, public alcove::input::KeyboardSink {
 public:
  explicit Keyboard(exec::EventLoop& loop);
  ~Keyboard() override { deactivate(); }

  bool is_ready() const override { return has_driver(); }
  void key(const KeyEvent& event) override;

 private:
  void begin() override { queue_.clear(); }
  void next(std::vector<Event>& events) override;

  alcove::input::KeyQueue queue_;
};

}  // namespace alcove::devices::input
