#include "view/qt/keys.h"

#include <QKeyEvent>
#include <algorithm>
#include <array>
#include <utility>

namespace alcove::view::qt {

namespace {

// What has no character.
constexpr std::array kNamed = {
    std::pair{Qt::Key_Escape, Key::escape},
    std::pair{Qt::Key_Tab, Key::tab},
    std::pair{Qt::Key_Backtab, Key::tab},
    std::pair{Qt::Key_Backspace, Key::backspace},
    std::pair{Qt::Key_Return, Key::enter},
    std::pair{Qt::Key_Enter, Key::keypad_enter},
    std::pair{Qt::Key_Insert, Key::insert},
    std::pair{Qt::Key_Delete, Key::delete_forward},
    std::pair{Qt::Key_Pause, Key::pause},
    std::pair{Qt::Key_Print, Key::print_screen},
    std::pair{Qt::Key_SysReq, Key::print_screen},
    std::pair{Qt::Key_Home, Key::home},
    std::pair{Qt::Key_End, Key::end},
    std::pair{Qt::Key_Left, Key::left},
    std::pair{Qt::Key_Up, Key::up},
    std::pair{Qt::Key_Right, Key::right},
    std::pair{Qt::Key_Down, Key::down},
    std::pair{Qt::Key_PageUp, Key::page_up},
    std::pair{Qt::Key_PageDown, Key::page_down},
    std::pair{Qt::Key_Shift, Key::left_shift},
    std::pair{Qt::Key_Control, Key::left_control},
    std::pair{Qt::Key_Meta, Key::left_meta},
    std::pair{Qt::Key_Super_L, Key::left_meta},
    std::pair{Qt::Key_Super_R, Key::right_meta},
    std::pair{Qt::Key_Alt, Key::left_alt},
    std::pair{Qt::Key_AltGr, Key::right_alt},
    std::pair{Qt::Key_CapsLock, Key::caps_lock},
    std::pair{Qt::Key_NumLock, Key::num_lock},
    std::pair{Qt::Key_ScrollLock, Key::scroll_lock},
    std::pair{Qt::Key_Menu, Key::application},
};

std::optional<Key> key_of_meaning(int code) {
  if (const auto* found = std::ranges::find(kNamed, code, [](const auto& pair) { return int{pair.first}; });
      found != kNamed.end()) {
    return found->second;
  }
  if (code >= Qt::Key_F1 && code <= Qt::Key_F12)
    return static_cast<Key>(static_cast<int>(Key::f1) + code - Qt::Key_F1);
  if (code <= 0 || code > 0x7e) return std::nullopt;
  const char character = static_cast<char>(code);
  const auto events = key_events_for_text(std::string_view(&character, 1));
  if (!events) return std::nullopt;
  // Without the shift key before it.
  for (const KeyEvent& event : *events) {
    if (event.pressed && event.key != Key::left_shift) return event.key;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Key> key_of(const QKeyEvent& event) {
  // X11's key codes, which Wayland has taken over, are Linux' and eight.
  constexpr quint32 kFirst = 8;
  if (event.nativeScanCode() > kFirst) {
    if (const auto key = key_from_linux_code(event.nativeScanCode() - kFirst)) return key;
  }
  return key_of_meaning(event.key());
}

}  // namespace alcove::view::qt
