#include "devices/hid/keyboard.h"

#include <algorithm>

namespace alcove::devices::hid {

using namespace spec::hid;

namespace {

constexpr size_t kReportSize8 = 8, kFirstKey = 2, kKeysAtOnce = 6;

Bytes report_descriptor() {
  Bytes bytes;
  for (const unsigned value : std::initializer_list<unsigned>{
           kUsagePage, kPageDesktop, kUsage, kDesktopKeyboard, kCollection, kApplication,
           // Eight modifiers.
           kUsagePage, kPageKeys, kUsageMinimum, kFirstModifier, kUsageMaximum, kLastModifier,
           kLogicalMinimum, 0, kLogicalMaximum, 1, kReportSize, 1, kReportCount, 8, kInput, kVariable,
           // A byte that means nothing.
           kReportCount, 1, kReportSize, 8, kInput, kConstant,
           // Five lamps.
           kReportCount, 5, kReportSize, 1, kUsagePage, kPageLeds, kUsageMinimum, 1, kUsageMaximum, 5,
           kOutput, kVariable, kReportCount, 1, kReportSize, 3, kOutput, kConstant,
           // Six keys.
           kReportCount, unsigned{kKeysAtOnce}, kReportSize, 8, kLogicalMinimum, 0, kLogicalMaximum2, 0xFF, 0,
           kUsagePage, kPageKeys, kUsageMinimum, 0, kUsageMaximum, 0xFF, kInput, 0, kEndCollection}) {
    bytes.push_back(static_cast<std::byte>(value));
  }
  return bytes;
}

}  // namespace

Keyboard::Keyboard(exec::Executor& executor)
    : Hid({.product = spec::usb::kProductKeyboard,
           .name = "USB Keyboard",
           .subclass = kSubclassBoot,
           .protocol = kProtocolKeyboard,
           .report_descriptor = report_descriptor(),
           .report_size = kReportSize8},
          executor) {}

void Keyboard::key(const KeyEvent& event) {
  in_turn([this, event] { queue_.push(event); });
}

std::optional<Bytes> Keyboard::next_report() {
  const auto event = queue_.pop();
  if (!event) return std::nullopt;
  down_[static_cast<uint16_t>(event->key)] = event->pressed;
  return report();
}

Bytes Keyboard::report() const {
  Bytes bytes(kReportSize8);
  size_t count = 0;
  for (size_t usage = 4; usage < down_.size(); ++usage) {
    if (!down_[usage]) continue;
    if (usage >= kFirstModifier && usage <= kLastModifier) {
      bytes[0] |= std::byte{1} << (usage - kFirstModifier);
    } else if (count++ < kKeysAtOnce) {
      bytes[kFirstKey + count - 1] = static_cast<std::byte>(usage);
    }
  }
  // Appendix C: too many keys are told as none that is known.
  if (count > kKeysAtOnce) std::fill(bytes.begin() + kFirstKey, bytes.end(), std::byte{kErrorRollOver});
  return bytes;
}

void Keyboard::set_report(std::span<const std::byte> report) {
  if (!report.empty()) leds_ = std::to_integer<uint8_t>(report[0]);
}

void Keyboard::forget() {
  queue_.clear();
  down_.reset();
  leds_ = 0;
}

}  // namespace alcove::devices::hid
