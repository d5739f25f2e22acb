// Names of keys, and the keys that write a text.
#include <alcove/input.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace alcove {
namespace {

using Named = std::pair<Key, std::string_view>;

// The first name of a key is the one it is printed with.
constexpr std::array kNames = {
    Named{Key::enter, "enter"},
    Named{Key::enter, "return"},
    Named{Key::escape, "escape"},
    Named{Key::escape, "esc"},
    Named{Key::backspace, "backspace"},
    Named{Key::tab, "tab"},
    Named{Key::space, "space"},
    Named{Key::minus, "minus"},
    Named{Key::equal, "equal"},
    Named{Key::left_bracket, "left_bracket"},
    Named{Key::right_bracket, "right_bracket"},
    Named{Key::backslash, "backslash"},
    Named{Key::non_us_hash, "non_us_hash"},
    Named{Key::semicolon, "semicolon"},
    Named{Key::apostrophe, "apostrophe"},
    Named{Key::grave, "grave"},
    Named{Key::comma, "comma"},
    Named{Key::period, "period"},
    Named{Key::slash, "slash"},
    Named{Key::caps_lock, "caps_lock"},
    Named{Key::print_screen, "print_screen"},
    Named{Key::print_screen, "sysrq"},
    Named{Key::scroll_lock, "scroll_lock"},
    Named{Key::pause, "pause"},
    Named{Key::insert, "insert"},
    Named{Key::home, "home"},
    Named{Key::page_up, "page_up"},
    Named{Key::page_up, "pgup"},
    Named{Key::delete_forward, "delete"},
    Named{Key::delete_forward, "del"},
    Named{Key::end, "end"},
    Named{Key::page_down, "page_down"},
    Named{Key::page_down, "pgdn"},
    Named{Key::right, "right"},
    Named{Key::left, "left"},
    Named{Key::down, "down"},
    Named{Key::up, "up"},
    Named{Key::num_lock, "num_lock"},
    Named{Key::keypad_divide, "keypad_divide"},
    Named{Key::keypad_multiply, "keypad_multiply"},
    Named{Key::keypad_subtract, "keypad_subtract"},
    Named{Key::keypad_add, "keypad_add"},
    Named{Key::keypad_enter, "keypad_enter"},
    Named{Key::keypad_decimal, "keypad_decimal"},
    Named{Key::keypad_equal, "keypad_equal"},
    Named{Key::keypad_comma, "keypad_comma"},
    Named{Key::non_us_backslash, "non_us_backslash"},
    Named{Key::application, "application"},
    Named{Key::power, "power"},
    Named{Key::help, "help"},
    Named{Key::menu, "menu"},
    Named{Key::select, "select"},
    Named{Key::stop, "stop"},
    Named{Key::again, "again"},
    Named{Key::undo, "undo"},
    Named{Key::cut, "cut"},
    Named{Key::copy, "copy"},
    Named{Key::paste, "paste"},
    Named{Key::find, "find"},
    Named{Key::mute, "mute"},
    Named{Key::volume_up, "volume_up"},
    Named{Key::volume_down, "volume_down"},
    Named{Key::left_control, "left_control"},
    Named{Key::left_control, "ctrl"},
    Named{Key::left_control, "control"},
    Named{Key::left_shift, "left_shift"},
    Named{Key::left_shift, "shift"},
    Named{Key::left_alt, "left_alt"},
    Named{Key::left_alt, "alt"},
    Named{Key::left_meta, "left_meta"},
    Named{Key::left_meta, "meta"},
    Named{Key::left_meta, "super"},
    Named{Key::right_control, "right_control"},
    Named{Key::right_shift, "right_shift"},
    Named{Key::right_alt, "right_alt"},
    Named{Key::right_alt, "altgr"},
    Named{Key::right_meta, "right_meta"},
};

// Runs of keys whose names count.
struct Run {
  Key first;
  std::string_view names;  // Separated by spaces.
};
constexpr std::array kRuns = {
    Run{Key::a, "a b c d e f g h i j k l m n o p q r s t u v w x y z"},
    Run{Key::digit_1, "1 2 3 4 5 6 7 8 9 0"},
    Run{Key::f1, "f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 f11 f12"},
    Run{Key::f13, "f13 f14 f15 f16 f17 f18 f19 f20 f21 f22 f23 f24"},
    Run{Key::keypad_1,
        "keypad_1 keypad_2 keypad_3 keypad_4 keypad_5 keypad_6 keypad_7 keypad_8 keypad_9 keypad_0"},
    Run{Key::international_1,
        "international_1 international_2 international_3 international_4 international_5 international_6"},
    Run{Key::language_1, "language_1 language_2 language_3 language_4 language_5"},
};

Key later(Key first, size_t distance) {
  return static_cast<Key>(static_cast<size_t>(first) + distance);
}

// Calls function(key, name) for every name; until it returns true.
template <class Function>
void for_each_name(Function function) {
  for (const auto& [key, name] : kNames) {
    if (function(key, name)) return;
  }
  for (const Run& run : kRuns) {
    size_t index = 0;
    for (size_t start = 0; start < run.names.size(); ++index) {
      const size_t end = std::min(run.names.find(' ', start), run.names.size());
      if (function(later(run.first, index), run.names.substr(start, end - start))) return;
      start = end + 1;
    }
  }
}

struct Stroke {
  Key key;
  bool shift;
};

std::optional<Stroke> stroke_for(char character) {
  if (character >= 'a' && character <= 'z')
    return Stroke{later(Key::a, static_cast<size_t>(character - 'a')), false};
  if (character >= 'A' && character <= 'Z')
    return Stroke{later(Key::a, static_cast<size_t>(character - 'A')), true};
  switch (character) {
    case '\n':
    case '\r':
      return Stroke{Key::enter, false};
    case '\t':
      return Stroke{Key::tab, false};
    case '\b':
      return Stroke{Key::backspace, false};
    case '\x1b':
      return Stroke{Key::escape, false};
    case ' ':
      return Stroke{Key::space, false};
    default:
      break;
  }
  // As the keys lie from digit_1 to digit_0.
  constexpr std::string_view kDigits = "1234567890", kShiftedDigits = "!@#$%^&*()";
  constexpr std::pair<std::string_view, bool> kRows[] = {{kDigits, false}, {kShiftedDigits, true}};
  for (const auto& [row, shift] : kRows) {
    if (const size_t at = row.find(character); at != row.npos) return Stroke{later(Key::digit_1, at), shift};
  }
  constexpr std::array kSignKeys = {Key::minus,     Key::equal,     Key::left_bracket, Key::right_bracket,
                                    Key::backslash, Key::semicolon, Key::apostrophe,   Key::grave,
                                    Key::comma,     Key::period,    Key::slash};
  constexpr std::string_view kPlain = "-=[]\\;'`,./", kShifted = "_+{}|:\"~<>?";
  if (const size_t at = kPlain.find(character); at != kPlain.npos) return Stroke{kSignKeys[at], false};
  if (const size_t at = kShifted.find(character); at != kShifted.npos) return Stroke{kSignKeys[at], true};
  return std::nullopt;
}

}  // namespace

std::optional<Key> key_from_string(std::string_view text) {
  std::string lower(text);
  for (char& character : lower) {
    if (character >= 'A' && character <= 'Z') character = static_cast<char>(character - 'A' + 'a');
  }
  std::optional<Key> found;
  for_each_name([&](Key key, std::string_view name) {
    if (name == lower) found = key;
    return found.has_value();
  });
  return found;
}

std::string_view to_string(Key wanted) {
  std::string_view found;
  for_each_name([&](Key key, std::string_view name) {
    if (key == wanted) found = name;
    return key == wanted;
  });
  return found;
}

Result<std::vector<KeyEvent>> parse_key_combination(std::string_view text) {
  std::vector<KeyEvent> events;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find('-', start), text.size());
    const std::string_view name = text.substr(start, end - start);
    const auto key = key_from_string(name);
    if (!key) {
      return fail(ErrorCode::not_supported, "", fmt::format("there is no key \"{}\"", name),
                  "name keys like ctrl-alt-f2, shift-a, enter, page_up");
    }
    events.push_back({.key = *key, .pressed = true});
    start = end + 1;
  }
  for (size_t index = events.size(); index-- > 0;) {
    events.push_back({.key = events[index].key, .pressed = false});
  }
  return events;
}

Result<std::vector<KeyEvent>> key_events_for_text(std::string_view text) {
  std::vector<KeyEvent> events;
  for (size_t index = 0; index < text.size(); ++index) {
    const auto stroke = stroke_for(text[index]);
    if (!stroke) {
      return fail(ErrorCode::not_supported, "",
                  fmt::format("no key of a US keyboard writes the character at {}", index),
                  "ASCII characters can be typed");
    }
    if (stroke->shift) events.push_back({.key = Key::left_shift, .pressed = true});
    events.push_back({.key = stroke->key, .pressed = true});
    events.push_back({.key = stroke->key, .pressed = false});
    if (stroke->shift) events.push_back({.key = Key::left_shift, .pressed = false});
  }
  return events;
}

}  // namespace alcove
