#include "view/rfb/keys.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace alcove::view::rfb {

namespace {

using enum Key;
constexpr Key kNone{};

// Set 1 up to 0x58, in its order.
constexpr std::array kPlain = {
    kNone,
    escape,
    digit_1,
    digit_2,
    digit_3,
    digit_4,
    digit_5,
    digit_6,
    digit_7,
    digit_8,
    digit_9,
    digit_0,
    minus,
    equal,
    backspace,
    tab,
    q,
    w,
    e,
    r,
    t,
    y,
    u,
    i,
    o,
    p,
    left_bracket,
    right_bracket,
    enter,
    left_control,
    a,
    s,
    d,
    f,
    g,
    h,
    j,
    k,
    l,
    semicolon,
    apostrophe,
    grave,
    left_shift,
    backslash,
    z,
    x,
    c,
    v,
    b,
    n,
    m,
    comma,
    period,
    slash,
    right_shift,
    keypad_multiply,
    left_alt,
    space,
    caps_lock,
    f1,
    f2,
    f3,
    f4,
    f5,
    f6,
    f7,
    f8,
    f9,
    f10,
    num_lock,
    scroll_lock,
    keypad_7,
    keypad_8,
    keypad_9,
    keypad_subtract,
    keypad_4,
    keypad_5,
    keypad_6,
    keypad_add,
    keypad_1,
    keypad_2,
    keypad_3,
    keypad_0,
    keypad_decimal,
    print_screen,
    kNone,
    non_us_backslash,
    f11,
    f12,
};

struct Code {
  uint32_t code;
  Key key;
};

constexpr Code kOthers[] = {
    {0x59, keypad_equal},
    {0x5d, f14},
    {0x5e, f15},
    {0x64, f13},
    {0x70, international_2},
    {0x73, international_1},
    {0x79, international_4},
    {0x7b, international_5},
    {0x7d, international_3},
    {0x7e, keypad_comma},
    {0x9c, keypad_enter},
    {0x9d, right_control},
    {0xa0, mute},
    {0xae, volume_down},
    {0xb0, volume_up},
    {0xb5, keypad_divide},
    {0xb7, print_screen},
    {0xb8, right_alt},
    {0xc6, pause},
    {0xc7, home},
    {0xc8, up},
    {0xc9, page_up},
    {0xcb, left},
    {0xcd, right},
    {0xcf, end},
    {0xd0, down},
    {0xd1, page_down},
    {0xd2, insert},
    {0xd3, delete_forward},
    {0xdb, left_meta},
    {0xdc, right_meta},
    {0xdd, application},
    {0xde, power},
};

// keysymdef.h's names, by value.
constexpr Code kKeysyms[] = {
    {0xff08, backspace},
    {0xff09, tab},
    {0xff0a, enter},
    {0xff0d, enter},
    {0xff13, pause},
    {0xff14, scroll_lock},
    {0xff15, print_screen},
    {0xff1b, escape},
    {0xff50, home},
    {0xff51, left},
    {0xff52, up},
    {0xff53, right},
    {0xff54, down},
    {0xff55, page_up},
    {0xff56, page_down},
    {0xff57, end},
    {0xff61, print_screen},
    {0xff63, insert},
    {0xff67, application},
    {0xff6b, pause},
    {0xff7f, num_lock},
    {0xff8d, keypad_enter},
    {0xff95, keypad_7},
    {0xff96, keypad_4},
    {0xff97, keypad_8},
    {0xff98, keypad_6},
    {0xff99, keypad_2},
    {0xff9a, keypad_9},
    {0xff9b, keypad_3},
    {0xff9c, keypad_1},
    {0xff9d, keypad_5},
    {0xff9e, keypad_0},
    {0xff9f, keypad_decimal},
    {0xffaa, keypad_multiply},
    {0xffab, keypad_add},
    {0xffac, keypad_comma},
    {0xffad, keypad_subtract},
    {0xffae, keypad_decimal},
    {0xffaf, keypad_divide},
    {0xffb0, keypad_0},
    {0xffbd, keypad_equal},
    {0xffe1, left_shift},
    {0xffe2, right_shift},
    {0xffe3, left_control},
    {0xffe4, right_control},
    {0xffe5, caps_lock},
    {0xffe7, left_meta},
    {0xffe8, right_meta},
    {0xffe9, left_alt},
    {0xffea, right_alt},
    {0xffeb, left_meta},
    {0xffec, right_meta},
    {0xfe03, right_alt},
    {0xfe20, tab},
    {0xffff, delete_forward},
};

template <size_t size>
std::optional<Key> look_up(const Code (&codes)[size], uint32_t code) {
  const auto found = std::ranges::find(codes, code, &Code::code);
  if (found == std::end(codes)) return std::nullopt;
  return found->key;
}

constexpr Key from(Key first, uint32_t index) {
  return static_cast<Key>(static_cast<uint32_t>(first) + index);
}

// What is printed on a US keyboard's keys, without and with Shift.
std::optional<Key> printed(char character) {
  constexpr std::string_view kPrinted = "-=[]\\;'`,./ ", kShifted = "_+{}|:\"~<>? ";
  constexpr std::array kKeys = {minus,      equal, left_bracket, right_bracket, backslash, semicolon,
                                apostrophe, grave, comma,        period,        slash,     space};
  constexpr std::string_view kDigits = "1234567890", kShiftedDigits = "!@#$%^&*()";
  if (character >= 'a' && character <= 'z') return from(a, static_cast<uint32_t>(character - 'a'));
  if (character >= 'A' && character <= 'Z') return from(a, static_cast<uint32_t>(character - 'A'));
  for (const std::string_view digits : {kDigits, kShiftedDigits}) {
    if (const size_t at = digits.find(character); at != digits.npos)
      return from(digit_1, static_cast<uint32_t>(at));
  }
  for (const std::string_view row : {kPrinted, kShifted}) {
    if (const size_t at = row.find(character); at != row.npos) return kKeys[at];
  }
  return std::nullopt;
}

}  // namespace

std::optional<Key> key_from_scan_code(uint32_t code) {
  if (code < kPlain.size()) {
    const Key key = kPlain[code];
    if (key == kNone) return std::nullopt;
    return key;
  }
  return look_up(kOthers, code);
}

std::optional<Key> key_from_keysym(uint32_t keysym) {
  if (keysym >= 0x20 && keysym < 0x7f) return printed(static_cast<char>(keysym));
  if (keysym >= 0xffb1 && keysym <= 0xffb9) return from(keypad_1, keysym - 0xffb1);
  if (keysym >= 0xffbe && keysym <= 0xffc9) return from(f1, keysym - 0xffbe);
  if (keysym >= 0xffca && keysym <= 0xffd5) return from(f13, keysym - 0xffca);
  return look_up(kKeysyms, keysym);
}

}  // namespace alcove::view::rfb
