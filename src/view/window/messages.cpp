#include "view/window/messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace alcove::view::window {

namespace {

constexpr std::string_view kHello = "hello 1";
constexpr std::array kWords = {std::pair{Word::hello, kHello},
                               std::pair{Word::release, std::string_view("release")},
                               std::pair{Word::shut_down, std::string_view("shut_down")},
                               std::pair{Word::stop, std::string_view("stop")}};
constexpr auto kLastState = static_cast<unsigned>(VirtualMachineState::restoring);

// Takes words off a line. What is not there or no such number makes it fail.
class Words {
 public:
  explicit Words(std::string_view line) : rest_(line) {}

  std::string_view word() {
    const std::string_view word = rest_.substr(0, rest_.find(' '));
    failed_ = failed_ || word.empty();
    rest_.remove_prefix(std::min(word.size() + 1, rest_.size()));
    return word;
  }
  template <class Number>
  Number number(Number most) {
    const std::string_view text = word();
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !(value <= most)) failed_ = true;
    return failed_ ? Number{} : value;
  }
  double real() {
    constexpr double kMost = 1e9;
    const double value = number(kMost);
    if (!(value >= -kMost)) failed_ = true;
    return failed_ ? 0 : value;
  }
  bool flag() { return number(1u) == 1; }
  bool at_end() const { return rest_.empty(); }
  bool failed() const { return failed_; }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

unsigned bits(const PointerButtons& buttons) {
  return unsigned{buttons.left} | unsigned{buttons.right} << 1 | unsigned{buttons.middle} << 2 |
         unsigned{buttons.back} << 3 | unsigned{buttons.forward} << 4;
}
PointerButtons buttons_of(unsigned bits) {
  return {.left = (bits & 1) != 0,
          .right = (bits & 2) != 0,
          .middle = (bits & 4) != 0,
          .back = (bits & 8) != 0,
          .forward = (bits & 16) != 0};
}

std::string text(const KeyEvent& event) {
  return fmt::format("key {} {:d}", static_cast<unsigned>(event.key), event.pressed);
}
std::string text(const PointerEvent& event) {
  return fmt::format("pointer {} {} {} {} {}", event.x, event.y, bits(event.buttons), event.wheel_x,
                     event.wheel_y);
}
std::string text(const TouchEvent& event) {
  std::string line = fmt::format("touch {:d}", event.pressed);
  for (const TouchContact& contact : event.contacts)
    line += fmt::format(" {} {} {}", contact.id, contact.x, contact.y);
  return line;
}
std::string text(const GestureEvent& event) {
  return fmt::format("gesture {} {} {} {} {} {}", static_cast<unsigned>(event.phase), event.fingers, event.dx,
                     event.dy, event.magnification, event.rotation);
}
std::string text(const InputEvent& event) {
  return std::visit([](const auto& kind) { return text(kind); }, event);
}
std::string text(const VirtioGraphicsScanoutConfiguration& configuration) {
  return fmt::format("reconfigure {} {} {}", configuration.width, configuration.height,
                     configuration.pixels_per_inch);
}
std::string text(Word word) {
  return std::string(std::ranges::find(kWords, word, [](const auto& pair) { return pair.first; })->second);
}

// The arguments are taken in the order of the members, as braces have them.
std::optional<Message> parse(std::string_view kind, Words& words) {
  constexpr unsigned kMost16 = 0xffff, kMost = 1u << 30;
  if (kind == "key") {
    const auto key = static_cast<Key>(words.number(kMost16));
    return KeyEvent{.key = key, .pressed = words.flag()};
  }
  if (kind == "pointer") {
    const double x = words.real(), y = words.real();
    const PointerButtons buttons = buttons_of(words.number(31u));
    const double wheel_x = words.real(), wheel_y = words.real();
    return PointerEvent{.x = x, .y = y, .buttons = buttons, .wheel_x = wheel_x, .wheel_y = wheel_y};
  }
  if (kind == "touch") {
    TouchEvent event{.contacts = {}, .pressed = words.flag()};
    while (!words.at_end() && !words.failed()) {
      const uint32_t id = words.number(kMost);
      const double x = words.real(), y = words.real();
      event.contacts.push_back({.id = id, .x = x, .y = y});
    }
    return event;
  }
  if (kind == "gesture") {
    GestureEvent event{.phase = static_cast<GesturePhase>(words.number(2u)),
                       .fingers = words.number(kMost16)};
    event.dx = words.real();
    event.dy = words.real();
    event.magnification = words.real();
    event.rotation = words.real();
    return event;
  }
  if (kind == "reconfigure") {
    VirtioGraphicsScanoutConfiguration configuration;
    configuration.width = words.number(kMost16);
    configuration.height = words.number(kMost16);
    configuration.pixels_per_inch = words.number(kMost16);
    return configuration;
  }
  return std::nullopt;
}

}  // namespace

std::string to_line(const Message& message) {
  return std::visit([](const auto& kind) { return text(kind); }, message) + '\n';
}

std::string to_line(const Situation& situation) {
  std::string name = situation.name.substr(0, kMostLine / 2);
  std::ranges::replace_if(name, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return fmt::format("situation {} {} {} {} {}\n", static_cast<unsigned>(situation.state), situation.starts,
                     situation.size.width, situation.size.height, name);
}

std::optional<Message> message_from_line(std::string_view line) {
  for (const auto& [word, name] : kWords) {
    if (line == name) return word;
  }
  Words words(line);
  const std::string_view kind = words.word();
  auto message = parse(kind, words);
  if (words.failed() || !words.at_end()) return std::nullopt;
  return message;
}

std::optional<Situation> situation_from_line(std::string_view line) {
  Words words(line);
  if (words.word() != "situation") return std::nullopt;
  Situation situation;
  situation.state = static_cast<VirtualMachineState>(words.number(kLastState));
  situation.starts = words.number(std::numeric_limits<uint64_t>::max());
  situation.size.width = words.number(0xffffu);
  situation.size.height = words.number(0xffffu);
  situation.name = words.rest();
  if (words.failed()) return std::nullopt;
  return situation;
}

}  // namespace alcove::view::window
