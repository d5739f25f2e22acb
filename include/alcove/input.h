// Keyboards, pointing devices and trackpads, and the events that reach the guest through them: from a view,
// or from any program without one.
#pragma once

#include <alcove/error.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace alcove {

// A key by its place on the keyboard: the usage of the USB HID Usage Tables' page 0x07 (Keyboard/Keypad),
// named by what a US keyboard has printed there. What the key means is the guest's layout's affair. Values
// without a name may be used too.
// clang-format off
enum class Key : uint16_t {
  a = 0x04, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z,
  digit_1 = 0x1e, digit_2, digit_3, digit_4, digit_5, digit_6, digit_7, digit_8, digit_9, digit_0,
  enter = 0x28, escape, backspace, tab, space, minus, equal, left_bracket, right_bracket, backslash,
  non_us_hash = 0x32, semicolon, apostrophe, grave, comma, period, slash, caps_lock,
  f1 = 0x3a, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12,
  print_screen = 0x46, scroll_lock, pause, insert, home, page_up, delete_forward, end, page_down,
  right = 0x4f, left, down, up,
  num_lock = 0x53, keypad_divide, keypad_multiply, keypad_subtract, keypad_add, keypad_enter,
  keypad_1 = 0x59, keypad_2, keypad_3, keypad_4, keypad_5, keypad_6, keypad_7, keypad_8, keypad_9, keypad_0,
  keypad_decimal = 0x63, non_us_backslash, application, power, keypad_equal,
  f13 = 0x68, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23, f24,
  help = 0x75, menu, select, stop, again, undo, cut, copy, paste, find, mute, volume_up, volume_down,
  keypad_comma = 0x85,
  international_1 = 0x87, international_2, international_3, international_4, international_5, international_6,
  language_1 = 0x90, language_2, language_3, language_4, language_5,
  left_control = 0xe0, left_shift, left_alt, left_meta, right_control, right_shift, right_alt, right_meta,
};
// clang-format on

// A key goes down or up. A press of a key that is down is ignored: guests repeat keys themselves.
struct KeyEvent {
  Key key = Key::space;
  bool pressed = false;

  bool operator==(const KeyEvent&) const = default;
};

struct PointerButtons {
  bool left = false;
  bool right = false;
  bool middle = false;
  bool back = false;
  bool forward = false;

  bool operator==(const PointerButtons&) const = default;
};

// Where the pointer is now, which buttons are down now, and how far wheels have turned since the event
// before.
struct PointerEvent {
  // 0 (left, top) to 1 (right, bottom) of the guest's screen: of the rectangle around all its displays. What
  // lies outside is moved to the edge.
  double x = 0;
  double y = 0;
  PointerButtons buttons;
  double wheel_x = 0;  // To the right, in notches of a mouse's wheel; fractions add up.
  double wheel_y = 0;  // Up, away from the user.

  bool operator==(const PointerEvent&) const = default;
};

// A finger on the trackpad.
struct TouchContact {
  uint32_t id = 0;  // The same as long as the finger touches; any number that no other finger has.
  // 0 (left, far) to 1 (right, near) of the trackpad's surface.
  double x = 0;
  double y = 0;

  bool operator==(const TouchContact&) const = default;
};

// All fingers on the trackpad now (five at most: those after are left out), and whether it is pressed down.
struct TouchEvent {
  std::vector<TouchContact> contacts;
  bool pressed = false;

  bool operator==(const TouchEvent&) const = default;
};

enum class GesturePhase { begin, update, end };

// A gesture that the host has recognized already: it is put back into fingers that move on the trackpad, for
// the guest to recognize. The changes are those since the event before; with `begin` and `end` they are 0.
struct GestureEvent {
  GesturePhase phase = GesturePhase::update;
  unsigned fingers = 2;      // 2 to 5: as many take part. With `begin`; later the same.
  double dx = 0;             // Swipe or scroll, to the right, in millimetres on the trackpad.
  double dy = 0;             // Towards the user, in millimetres.
  double magnification = 0;  // Pinch: 0.1 is a tenth larger, -0.1 a tenth smaller.
  double rotation = 0;       // In degrees, clockwise.

  bool operator==(const GestureEvent&) const = default;
};

using InputEvent = std::variant<KeyEvent, PointerEvent, TouchEvent, GestureEvent>;

// Sends events to a machine's devices: keys to a keyboard, pointer events to a screen coordinate pointing
// device, touches and gestures to a trackpad; where there are several, to the first that the guest has a
// driver for. Made by VirtualMachine::open_input_source(), one for each view or other place where events come
// from.
//
// What it holds down (keys, buttons, fingers) is released when it is destroyed. May outlive the machine,
// whose end releases everything, too. Every member may be called from any thread.
class [[nodiscard]] InputSource {
 public:
  class Implementation;
  InputSource() = default;  // Leads nowhere.
  explicit InputSource(std::unique_ptr<Implementation> implementation);
  InputSource(InputSource&&) noexcept;
  InputSource& operator=(InputSource&&) noexcept;
  ~InputSource();

  // Never waits. Fails with invalid_virtual_machine_state unless the machine runs, and with not_supported if
  // no device of its configuration takes such events. Success means that the event is on its way; a guest
  // that does not ask for events loses those that are too many, but never the release of what it saw pressed.
  Result<> send(const InputEvent& event);
  // Releases what it holds down, as when a view loses the keyboard.
  void release_all();

 private:
  std::unique_ptr<Implementation> implementation_;
};

// "a", "f2", "enter", "ctrl", "left_control"…, as Key has them, and common short forms.
std::optional<Key> key_from_string(std::string_view name);
std::string_view to_string(Key key);  // Empty for keys without a name.
// From Linux' code for it (KEY_A…), which X11 and Wayland give as their own code less 8.
std::optional<Key> key_from_linux_code(uint32_t code);

// "ctrl-alt-f2", "shift-a", "enter": presses in this order, releases in the reverse.
Result<std::vector<KeyEvent>> parse_key_combination(std::string_view text);
// The presses and releases that write a text on a US keyboard; the line end is Enter. ASCII only.
Result<std::vector<KeyEvent>> key_events_for_text(std::string_view text);

// A USB keyboard, which firmware has drivers for, too.
struct USBKeyboardConfiguration {
  bool operator==(const USBKeyboardConfiguration&) const = default;
};

// A keyboard as a virtio input device, for guests that have a driver (Linux); firmware has none.
struct VirtioKeyboardConfiguration {
  bool operator==(const VirtioKeyboardConfiguration&) const = default;
};

using KeyboardConfiguration = std::variant<USBKeyboardConfiguration, VirtioKeyboardConfiguration>;

// A USB pointing device that tells positions on the screen, so that no pointer needs to be grabbed.
struct USBScreenCoordinatePointingDeviceConfiguration {
  bool operator==(const USBScreenCoordinatePointingDeviceConfiguration&) const = default;
};

// The same as a virtio input device, for guests that have a driver (Linux).
struct VirtioScreenCoordinatePointingDeviceConfiguration {
  bool operator==(const VirtioScreenCoordinatePointingDeviceConfiguration&) const = default;
};

// A multi-touch trackpad as a virtio input device: libinput in Linux guests makes pointer motion, scrolling,
// swipes, pinches and rotations of its fingers. Best beside a screen coordinate pointing device, which serves
// until the guest's driver is there.
struct VirtioTrackpadConfiguration {
  // The surface, in millimetres: 20 to 500.
  uint16_t width = 160;
  uint16_t height = 110;

  bool operator==(const VirtioTrackpadConfiguration&) const = default;
};

using PointingDeviceConfiguration =
    std::variant<USBScreenCoordinatePointingDeviceConfiguration,
                 VirtioScreenCoordinatePointingDeviceConfiguration, VirtioTrackpadConfiguration>;

}  // namespace alcove
