// What the program that shows a window and the process that has the machine say to each other, over a stream
// socket of the Unix domain: lines of words.
//
// The window begins with `hello 1`; then its display is lent to it (DisplayReader::lend()), and a `situation`
// follows, now and whenever it changes:
//   situation STATE STARTS WIDTH HEIGHT NAME…
//     STATE: the number of a VirtualMachineState; the size: of the display
//
// The window says:
//   key USAGE PRESSED
//   pointer X Y BUTTONS WHEEL_X WHEEL_Y
//     on the display; BUTTONS: bits 0 left, 1 right, 2 middle, 3 back, 4 forward
//   touch PRESSED [ID X Y]…
//   gesture PHASE FINGERS DX DY MAGNIFICATION ROTATION
//     PHASE: 0 begin, 1 update, 2 end
//   reconfigure WIDTH HEIGHT PIXELS_PER_INCH
//   release
//     of all that it holds down
//   shut_down
//     by the power button
//   stop
//     by force
#pragma once

#include <alcove/graphics.h>
#include <alcove/input.h>
#include <alcove/virtual_machine.h>

#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace alcove::view::window {

inline constexpr size_t kMostLine = 1024;

enum class Word { hello, release, shut_down, stop };
using Message = std::variant<Word, InputEvent, VirtioGraphicsScanoutConfiguration>;

struct Situation {
  VirtualMachineState state = VirtualMachineState::stopped;
  uint64_t starts = 0;  // See ShownMachine.
  DisplaySize size;
  std::string name;

  bool operator==(const Situation&) const = default;
};

// With its end of line.
std::string to_line(const Message& message);
std::string to_line(const Situation& situation);
// Without it. Nothing for what is no such line.
std::optional<Message> message_from_line(std::string_view line);
std::optional<Situation> situation_from_line(std::string_view line);

}  // namespace alcove::view::window
