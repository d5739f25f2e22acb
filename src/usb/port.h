// A port of the root hub: the PORTSC register (xHCI 1.2, sections 4.15, 4.19 and 5.4.8).
#pragma once

#include <cstdint>
#include <memory>

#include "spec/xhci.h"
#include "usb/device.h"

namespace alcove::usb {

class Port {
 public:
  explicit Port(Speed speed) : speed_(speed) { reset(); }

  Speed speed() const { return speed_; }
  const std::shared_ptr<Device>& device() const { return device_; }

  // Each tells whether the guest is to hear of a change.
  bool attach(std::shared_ptr<Device> device);
  bool detach();
  bool write(uint32_t value);
  // After a write that asked for a reset of the bus: to be done in the controller's turn.
  bool is_resetting() const { return status_ & spec::xhci::kPortReset; }
  bool finish_reset();
  bool has_change() const { return status_ & spec::xhci::kPortChangeBits; }

  uint32_t read() const { return status_; }
  // Power-on. What is plugged in is seen as just plugged in.
  void reset();

 private:
  bool change(uint32_t bits);
  void set_link(uint32_t state);
  uint32_t link() const { return (status_ & spec::xhci::kPortLinkMask) >> spec::xhci::kPortLinkShift; }
  bool write_link(uint32_t state);
  bool begin_reset(bool warm);
  void connect();

  const Speed speed_;
  std::shared_ptr<Device> device_;
  uint32_t status_ = 0;
  bool warm_ = false;  // The reset that is under way.
};

}  // namespace alcove::usb
