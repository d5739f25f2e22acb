#include "view/window/messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
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

// The sizes in a line "clipboard"; nothing for what is no such line, or too much.
std::optional<ClipboardContents> sized_contents(std::string_view line) {
  Words words(line);
  if (words.word() != "clipboard") return std::nullopt;
  ClipboardContents contents;
  const auto size = [&]() -> std::optional<uint64_t> {
    if (words.rest().starts_with('-')) {
      words.word();
      return std::nullopt;
    }
    return words.number(Clipboard::maximum_size());
  };
  const auto text_size = size(), png_size = size();
  if (words.failed() || !words.at_end()) return std::nullopt;
  if (text_size.value_or(0) + png_size.value_or(0) > Clipboard::maximum_size()) return std::nullopt;
  if (text_size) contents.text.emplace(*text_size, '\0');
  if (png_size) contents.png.emplace(*png_size);
  return contents;
}

}  // namespace

std::optional<Incoming::Item> Incoming::next() {
  if (failed_) return std::nullopt;
  if (!arriving_) {
    const size_t end = bytes_.find('\n');
    failed_ = end == std::string::npos ? bytes_.size() > kMostLine : end > kMostLine;
    if (failed_ || end == std::string::npos) return std::nullopt;
    std::string line = bytes_.substr(0, end);
    bytes_.erase(0, end + 1);
    if (!line.starts_with("clipboard ")) return line;
    arriving_ = sized_contents(line);
    if (!arriving_) {
      failed_ = true;
      return std::nullopt;
    }
  }
  const size_t size = arriving_->size();
  if (bytes_.size() < size) return std::nullopt;
  std::string_view rest(bytes_);
  const auto fill = [&](auto& form) {
    if (!form) return;
    std::memcpy(form->data(), rest.data(), form->size());
    rest.remove_prefix(form->size());
  };
  fill(arriving_->text);
  fill(arriving_->png);
  bytes_.erase(0, size);
  return std::exchange(arriving_, std::nullopt);
}

std::string to_bytes(const ClipboardContents& contents) {
  const auto size = [](const auto& form) { return form ? std::to_string(form->size()) : "-"; };
  std::string bytes = fmt::format("clipboard {} {}\n", size(contents.text), size(contents.png));
  if (contents.text) bytes += *contents.text;
  if (contents.png) bytes.append(reinterpret_cast<const char*>(contents.png->data()), contents.png->size());
  return bytes;
}

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
