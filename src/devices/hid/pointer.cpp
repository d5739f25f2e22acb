#include "devices/hid/pointer.h"

#include <algorithm>
#include <cmath>

namespace alcove::devices::hid {

using namespace spec::hid;

namespace {

constexpr unsigned kMaximum = 0x7FFF, kButtons = 5;
constexpr uint16_t kReportLength = 7;
constexpr double kMostNotches = 127, kMostKept = 10000;

Bytes report_descriptor() {
  Bytes bytes;
  for (const unsigned value : std::initializer_list<unsigned>{
           kUsagePage, kPageDesktop, kUsage, kDesktopMouse, kCollection, kApplication, kUsage,
           kDesktopPointer, kCollection, kPhysical,
           // Buttons, and bits that fill their byte.
           kUsagePage, kPageButtons, kUsageMinimum, 1, kUsageMaximum, kButtons, kLogicalMinimum, 0,
           kLogicalMaximum, 1, kReportCount, kButtons, kReportSize, 1, kInput, kVariable, kReportCount, 1,
           kReportSize, 8 - kButtons, kInput, kConstant,
           // Where it is.
           kUsagePage, kPageDesktop, kUsage, kDesktopX, kUsage, kDesktopY, kLogicalMinimum, 0,
           kLogicalMaximum2, kMaximum & 0xFF, kMaximum >> 8, kReportSize, 16, kReportCount, 2, kInput,
           kVariable,
           // Wheels.
           kUsage, kDesktopWheel, kLogicalMinimum, 0x81, kLogicalMaximum, 0x7F, kReportSize, 8, kReportCount,
           1, kInput, kVariable | kRelative, kUsagePage, kPageConsumer, kUsage2, kConsumerPan & 0xFF,
           kConsumerPan >> 8, kInput, kVariable | kRelative, kEndCollection, kEndCollection}) {
    bytes.push_back(static_cast<std::byte>(value));
  }
  return bytes;
}

// Whole notches, as many as a report can tell; the rest stays.
int take_notches(double& left) {
  const double whole = std::clamp(std::trunc(left), -kMostNotches, kMostNotches);
  left -= whole;
  return static_cast<int>(whole);
}

unsigned position(double part) {
  return static_cast<unsigned>(std::lround(std::clamp(part, 0.0, 1.0) * kMaximum));
}

}  // namespace

Pointer::Pointer(exec::Executor& executor)
    : Hid({.product = spec::usb::kProductTablet,
           .name = "USB Tablet",
           .report_descriptor = report_descriptor(),
           .report_size = kReportLength},
          executor) {}

void Pointer::pointer(const PointerEvent& event) {
  in_turn([this, event] { queue_.push(event); });
}

std::optional<Bytes> Pointer::next_report() {
  if (const auto event = queue_.pop()) {
    left_x_ = std::clamp(left_x_ + event->wheel_x, -kMostKept, kMostKept);
    left_y_ = std::clamp(left_y_ + event->wheel_y, -kMostKept, kMostKept);
    told_ = *event;
  } else if (std::abs(left_x_) < 1 && std::abs(left_y_) < 1) {
    return std::nullopt;
  }
  const int wheel_x = take_notches(left_x_), wheel_y = take_notches(left_y_);
  return make_report(wheel_x, wheel_y);
}

Bytes Pointer::make_report(int wheel_x, int wheel_y) const {
  const PointerButtons& buttons = told_.buttons;
  const unsigned x = position(told_.x), y = position(told_.y);
  const unsigned pressed = (buttons.left ? 1u : 0u) | (buttons.right ? 2u : 0u) | (buttons.middle ? 4u : 0u) |
                           (buttons.back ? 8u : 0u) | (buttons.forward ? 16u : 0u);
  Bytes bytes;
  for (const unsigned value :
       {pressed, x & 0xFF, x >> 8, y & 0xFF, y >> 8, static_cast<unsigned>(wheel_y) & 0xFF,
        static_cast<unsigned>(wheel_x) & 0xFF}) {
    bytes.push_back(static_cast<std::byte>(value));
  }
  return bytes;
}

void Pointer::forget() {
  queue_.clear();
  told_ = {};
  left_x_ = left_y_ = 0;
}

}  // namespace alcove::devices::hid
