// The VirtualMachine's side of input: which events it takes, and their way to its process.
#include <fmt/format.h>

#include <utility>

#include "client/implementation.h"
#include "control/input_messages.h"

namespace alcove {
namespace {

// A process that does not read gets no more than this; after a while it is looked at again.
constexpr size_t kLargestBacklog = 64 * 1024;
constexpr std::chrono::milliseconds kLookAgain{10};

template <class... Kinds>
bool has_any(const auto& devices) {
  for (const auto& device : devices) {
    if ((std::holds_alternative<Kinds>(device) || ...)) return true;
  }
  return false;
}

Result<> check_device(const VirtualMachineConfiguration& configuration, const InputEvent& event) {
  if (std::holds_alternative<KeyEvent>(event)) {
    if (!configuration.keyboards.empty()) return {};
    return fail(ErrorCode::not_supported, "keyboards", "the machine has no keyboard", "configure one");
  }
  if (std::holds_alternative<PointerEvent>(event)) {
    if (has_any<USBScreenCoordinatePointingDeviceConfiguration,
                VirtioScreenCoordinatePointingDeviceConfiguration>(configuration.pointing_devices)) {
      return {};
    }
    return fail(ErrorCode::not_supported, "pointing_devices",
                "the machine has no screen coordinate pointing device", "configure one");
  }
  if (has_any<VirtioTrackpadConfiguration>(configuration.pointing_devices)) return {};
  return fail(ErrorCode::not_supported, "pointing_devices", "the machine has no trackpad",
              "configure a VirtioTrackpadConfiguration");
}

}  // namespace

uint64_t VirtualMachine::Implementation::run_number() const {
  const std::lock_guard lock(mutex_);
  return run_number_;
}

Result<> VirtualMachine::Implementation::send_input(const InputEvent& event, bool releases) {
  if (auto there = check_device(configuration_, event); !there) return there;
  const std::lock_guard lock(mutex_);
  if (closed_ || (state_ != State::running && state_ != State::paused)) {
    return fail(ErrorCode::invalid_virtual_machine_state, "",
                fmt::format("can't send input to a machine that is {}", to_string(state_)));
  }
  const bool was_empty = input_.empty();
  if (!input_.push(event, releases)) {
    return fail(ErrorCode::virtual_machine_limit_exceeded, "",
                "the machine does not take input as fast as it comes");
  }
  if (was_empty) io_->loop().post([this] { flush_input(); });
  return {};
}

void VirtualMachine::Implementation::flush_input() {
  if (process_ && process_->backlog() > kLargestBacklog) {
    io_->loop().call_at(exec::Clock::now() + kLookAgain, [this] { flush_input(); });
    return;
  }
  std::deque<InputEvent> events;
  {
    const std::lock_guard lock(mutex_);
    events = input_.take();
  }
  Json list = Json::array();
  for (const InputEvent& event : events) list.push_back(control::to_json(event));
  if (process_) process_->send({{"request", "input"}, {"events", std::move(list)}});
}

InputSource VirtualMachine::open_input_source() {
  return InputSource(std::make_unique<InputSource::Implementation>(implementation_));
}

}  // namespace alcove
