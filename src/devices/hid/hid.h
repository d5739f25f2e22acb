// What USB keyboards and pointing devices have in common: one interrupt endpoint, whose transfers wait for
// reports, and the requests of the HID class (HID 1.11, section 7).
#pragma once

#include <atomic>
#include <optional>

#include "exec/event_loop.h"
#include "spec/hid.h"
#include "usb/function_device.h"

namespace alcove::devices::hid {

using usb::Bytes;

struct HidDescription {
  uint16_t product = 0;
  std::string name;
  uint8_t subclass = 0, protocol = 0;
  Bytes report_descriptor;
  uint16_t report_size = 0;
};

// Events come on any thread; all else happens in the controller's turn, which ends before the device.
class Hid : public usb::FunctionDevice {
 public:
  void reset() override;
  void submit(usb::Transfer& transfer) override;
  bool cancel(usb::Transfer& transfer) override;
  void pause() override { paused_ = true; }
  void resume() override;

 protected:
  Hid(const HidDescription& description, exec::Executor& executor);

  // The next report; nothing while nothing has happened.
  virtual std::optional<Bytes> next_report() = 0;
  // The state as it is.
  virtual Bytes report() const = 0;
  virtual void set_report(std::span<const std::byte> /*report*/) {}
  // The guest's driver begins anew: it knows of nothing that is pressed.
  virtual void forget() = 0;

  // Whether the guest's driver asks for reports. Any thread.
  bool has_driver() const { return has_driver_; }
  // Runs the task in the controller's turn, and sends what there is to send then. Any thread.
  template <class Task>
  void in_turn(Task task) {
    executor_.post([this, task = std::move(task)] {
      task();
      serve();
    });
  }

 private:
  std::optional<Bytes> interface_request(const spec::usb::SetupPacket& setup,
                                         std::span<const std::byte> data) override;
  void configured() override { restart(); }
  void restart();
  void serve();

  const Bytes report_descriptor_;
  exec::Executor& executor_;
  usb::Transfer* waiting_ = nullptr;
  uint8_t protocol_ = spec::hid::kProtocolReport;
  uint8_t idle_ = 0;
  std::atomic<bool> has_driver_ = false;
  std::atomic<bool> paused_ = false;
};

}  // namespace alcove::devices::hid
