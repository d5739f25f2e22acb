#include "usb/port.h"

#include <utility>

namespace alcove::usb {

using namespace spec::xhci;

void Port::reset() {
  status_ = kPortPower;
  set_link(kLinkRxDetect);
  if (device_) connect();
}

void Port::set_link(uint32_t state) {
  status_ = (status_ & ~kPortLinkMask) | state << kPortLinkShift;
}

// Section 4.19.2: an event comes with the first change; others join it until the guest has cleared all.
bool Port::change(uint32_t bits) {
  const bool first = !has_change();
  status_ |= bits;
  return first;
}

void Port::connect() {
  const uint32_t id = speed_ == Speed::super ? kSpeedSuper : kSpeedHigh;
  status_ = (status_ & ~kPortSpeedMask) | id << kPortSpeedShift | kPortConnected | kPortConnectChange;
  if (speed_ == Speed::super) {
    // SuperSpeed links train by themselves (section 4.19.1.2).
    status_ |= kPortEnabled;
    set_link(kLinkU0);
  } else {
    set_link(kLinkPolling);
  }
}

bool Port::attach(std::shared_ptr<Device> device) {
  device_ = std::move(device);
  const bool first = !has_change();
  connect();
  return first;
}

bool Port::detach() {
  device_ = nullptr;
  const bool first = change(kPortConnectChange);
  status_ &= ~(kPortConnected | kPortEnabled | kPortReset | kPortSpeedMask);
  set_link(kLinkRxDetect);
  return first;
}

bool Port::begin_reset(bool warm) {
  if (!device_) return false;
  warm_ = warm;
  status_ |= kPortReset;
  return false;
}

bool Port::finish_reset() {
  if (!is_resetting() || !device_) return false;
  device_->reset();
  status_ = (status_ & ~kPortReset) | kPortEnabled;
  set_link(kLinkU0);
  return change(kPortResetChange | (warm_ ? kPortWarmResetChange : 0));
}

bool Port::write_link(uint32_t state) {
  if (!device_) {
    if (speed_ == Speed::super && (state == kLinkRxDetect || state == kLinkDisabled)) set_link(state);
    return false;
  }
  switch (state) {
    case kLinkU0: {
      const bool resumes = link() == kLinkU3 || link() == kLinkResume;
      if (!(status_ & kPortEnabled)) return false;
      set_link(kLinkU0);
      return resumes && change(kPortLinkChange);
    }
    case kLinkU3:
      if (status_ & kPortEnabled) set_link(kLinkU3);
      return false;
    case kLinkResume:
      if (link() == kLinkU3) set_link(kLinkResume);
      return false;
    case kLinkDisabled:
      if (speed_ != Speed::super) return false;
      status_ &= ~kPortEnabled;
      set_link(kLinkDisabled);
      return false;
    case kLinkRxDetect:
      if (speed_ != Speed::super || link() != kLinkDisabled) return false;
      status_ |= kPortEnabled;
      set_link(kLinkU0);
      return change(kPortLinkChange);
    default:
      return false;
  }
}

bool Port::write(uint32_t value) {
  status_ &= ~(value & kPortChangeBits);
  status_ = (status_ & ~kPortWakeBits) | (value & kPortWakeBits);
  if (speed_ == Speed::super && (value & kPortWarmReset)) return begin_reset(true);
  if (value & kPortReset) return begin_reset(false);
  if ((value & kPortEnabled) && (status_ & kPortEnabled)) {
    status_ &= ~kPortEnabled;
    set_link(speed_ == Speed::super ? kLinkDisabled : kLinkPolling);
    return false;
  }
  if (value & kPortLinkStrobe) return write_link((value & kPortLinkMask) >> kPortLinkShift);
  return false;
}

}  // namespace alcove::usb
