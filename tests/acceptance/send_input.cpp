// Runs a machine and, once its guest says "SEND INPUT" on a serial port, moves fingers, pointer and keys;
// prints what that port shows until the machine ends. What tests/acceptance/input looks at. usage: send_input
// MACHINE.toml
#include <alcove/alcove.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <iostream>
#include <thread>

using namespace alcove;

namespace {

void rest() {
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

// Ends the program: what is not sent can't be seen.
void send(InputSource& source, const InputEvent& event) {
  if (const auto sent = source.send(event); !sent) {
    std::cerr << sent.error().message() << '\n';
    std::exit(1);
  }
  rest();
}

void gesture(InputSource& source, const GestureEvent& step) {
  send(source, GestureEvent{.phase = GesturePhase::begin, .fingers = step.fingers});
  for (int i = 0; i < 25; ++i) send(source, step);
  send(source, GestureEvent{.phase = GesturePhase::end, .fingers = step.fingers});
  std::this_thread::sleep_for(std::chrono::seconds(1));
}

void send_touches(InputSource& source) {
  for (int i = 0; i <= 40; ++i) {
    const double part = 0.3 + i * 0.01;
    send(source, TouchEvent{.contacts = {{.id = 1, .x = part, .y = part}}});
  }
  send(source, TouchEvent{});
  std::this_thread::sleep_for(std::chrono::seconds(1));
  gesture(source, {.fingers = 2, .dy = 1.5});
  gesture(source, {.fingers = 2, .magnification = 0.02, .rotation = 2});
  gesture(source, {.fingers = 3, .dx = 1.5});
  send(source, TouchEvent{.contacts = {{.id = 2, .x = 0.5, .y = 0.5}}});
  send(source, TouchEvent{.contacts = {{.id = 2, .x = 0.5, .y = 0.5}}, .pressed = true});
  send(source, TouchEvent{});
}

void send_positions_and_keys(InputSource& source) {
  for (int i = 0; i <= 20; ++i) send(source, PointerEvent{.x = i / 20.0, .y = i / 40.0});
  send(source, PointerEvent{.x = 1, .y = 0.5, .wheel_y = -1});
  send(source, PointerEvent{.x = 1, .y = 0.5, .buttons = {.right = true}});
  send(source, PointerEvent{.x = 1, .y = 0.5});
  const auto keys = parse_key_combination("shift-a");
  for (const KeyEvent& key : *keys) send(source, key);
  send(source, KeyEvent{Key::f12, true});
  send(source, KeyEvent{Key::f12, false});
}

}  // namespace

int main(int argument_count, char** arguments) {
  if (argument_count != 2) return std::cerr << "usage: send_input MACHINE.toml\n", 2;
  const auto configuration = VirtualMachineConfiguration::load(arguments[1]);
  if (!configuration) return std::cerr << configuration.error().message() << '\n', 1;
  auto machine = VirtualMachine::create(*configuration);
  if (!machine) return std::cerr << machine.error().message() << '\n', 1;
  std::promise<Result<>> started;
  (*machine)->start([&](Result<> result) { started.set_value(std::move(result)); });
  if (const auto result = started.get_future().get(); !result)
    return std::cerr << result.error().message() << '\n', 1;

  const bool has_trackpad = std::ranges::any_of(configuration->pointing_devices, [](const auto& device) {
    return std::holds_alternative<VirtioTrackpadConfiguration>(device);
  });
  InputSource source = (*machine)->open_input_source();
  bool sent = false;
  size_t shown = 0;
  const SerialPort& port = *(*machine)->serial_ports().back();
  while (true) {
    const bool is_over = (*machine)->state() != VirtualMachineState::running;
    const std::string log = port.log();
    std::cout << log.substr(std::min(shown, log.size())) << std::flush;
    shown = log.size();
    if (is_over) break;
    if (!sent && log.find("SEND INPUT") != std::string::npos) {
      sent = true;
      if (has_trackpad) send_touches(source);
      send_positions_and_keys(source);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  const Result<> ended = (*machine)->wait_until_stopped();
  if (!ended) std::cerr << ended.error().message() << '\n';
  return ended && sent ? 0 : 1;
}
