// A USB pointing device that tells positions on the screen, with five buttons and two wheels.
#pragma once

#include "devices/hid/hid.h"
#include "input/queues.h"
#include "input/sinks.h"

namespace alcove::devices::hid {

class Pointer final : public Hid, public input::PointerSink {
 public:
  explicit Pointer(exec::Executor& executor);

  bool is_ready() const override { return has_driver(); }
  void pointer(const PointerEvent& event) override;

 private:
  std::optional<Bytes> next_report() override;
  Bytes report() const override { return make_report(0, 0); }
  void forget() override;
  Bytes make_report(int wheel_x, int wheel_y) const;

  input::PointerQueue queue_;
  PointerEvent told_;
  double left_x_ = 0, left_y_ = 0;  // Turns of the wheels that have not been told.
};

}  // namespace alcove::devices::hid
