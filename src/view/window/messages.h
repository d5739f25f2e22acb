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
//
// Both say what is on their clipboard:
//   clipboard TEXT_SIZE PNG_SIZE
//     and right behind it that many bytes of text and of a picture; "-" for none
#pragma once

#include <alcove/clipboard.h>
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

// What has arrived, taken apart. A line that is too long, or contents that are too large, make it fail for
// good.
class Incoming {
 public:
  using Item = std::variant<std::string, ClipboardContents>;  // A line without its end.

  void feed(std::string_view bytes) { bytes_.append(bytes); }
  // Nothing if more is needed.
  std::optional<Item> next();
  bool failed() const { return failed_; }

 private:
  std::string bytes_;
  std::optional<ClipboardContents> arriving_;  // Of the right sizes already.
  bool failed_ = false;
};

// With all that follows the line.
std::string to_bytes(const ClipboardContents& contents);
// With its end of line.
std::string to_line(const Message& message);
std::string to_line(const Situation& situation);
// Without it. Nothing for what is no such line.
std::optional<Message> message_from_line(std::string_view line);
std::optional<Situation> situation_from_line(std::string_view line);

}  // namespace alcove::view::window
