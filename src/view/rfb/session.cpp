#include "view/rfb/session.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

#include "view/rfb/input.h"
#include "view/rfb/keys.h"
#include "view/rfb/output.h"
#include "view/rfb/protocol.h"

namespace alcove::view::rfb {

namespace {

void put_rectangle(std::string& out, uint16_t x, uint16_t y, DisplaySize size, int32_t encoding) {
  put16(out, x);
  put16(out, y);
  put16(out, static_cast<uint16_t>(size.width));
  put16(out, static_cast<uint16_t>(size.height));
  put32(out, static_cast<uint32_t>(encoding));
}

}  // namespace

Session::Session(Screen& screen) : screen_(screen), output_(kVersion), encoding_(kEncodingRaw) {}

size_t Session::break_off() {
  phase_ = Phase::broken;
  return 0;
}

bool Session::receive(std::span<const uint8_t> bytes) {
  if (phase_ == Phase::broken) return false;
  received_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  size_t done = 0;
  while (phase_ != Phase::broken && done < received_.size()) {
    const auto in =
        std::span(reinterpret_cast<const uint8_t*>(received_.data()), received_.size()).subspan(done);
    const size_t taken = take_message(in);
    if (taken == 0) break;
    done += taken;
  }
  received_.erase(0, done);
  return phase_ != Phase::broken;
}

size_t Session::take_message(std::span<const uint8_t> in) {
  switch (phase_) {
    case Phase::version:
      return take_version(in);
    case Phase::security:
      return take_security(in);
    case Phase::initialisation:
      return take_initialisation(in);
    case Phase::running:
      return take_request(in);
    case Phase::broken:
      break;
  }
  return 0;
}

// Section 7.1.1: "RFB 003.00x\n"; some clients have other numbers, which mean 3.3.
size_t Session::take_version(std::span<const uint8_t> in) {
  if (in.size() < kVersion.size()) return 0;
  const std::string_view text(reinterpret_cast<const char*>(in.data()), kVersion.size());
  if (!text.starts_with("RFB 003.") || !text.ends_with('\n')) return break_off();
  int minor = 0;
  std::from_chars(text.data() + 8, text.data() + 11, minor);
  minor_version_ = minor >= 8 ? 8 : minor == 7 ? 7 : 3;
  if (minor_version_ == 3) {
    put32(output_, kSecurityNone);
    phase_ = Phase::initialisation;
  } else {
    put8(output_, 1);
    put8(output_, kSecurityNone);
    phase_ = Phase::security;
  }
  return kVersion.size();
}

size_t Session::take_security(std::span<const uint8_t> in) {
  if (in[0] != kSecurityNone) return break_off();
  if (minor_version_ >= 8) put32(output_, 0);  // Section 7.1.3.
  phase_ = Phase::initialisation;
  return 1;
}

// Section 7.3.
size_t Session::take_initialisation(std::span<const uint8_t>) {
  look();
  size_ = frame_.size.width != 0 ? frame_.size : screen_.size();
  put16(output_, static_cast<uint16_t>(size_.width));
  put16(output_, static_cast<uint16_t>(size_.height));
  format_.put(output_);
  const std::string name = screen_.name();
  put32(output_, static_cast<uint32_t>(name.size()));
  output_ += name;
  phase_ = Phase::running;
  return 1;  // Whether it shares the display: it does.
}

size_t Session::take_request(std::span<const uint8_t> in) {
  const auto whole = [&](size_t size) { return in.size() >= size; };
  switch (static_cast<ClientMessage>(in[0])) {
    case ClientMessage::set_pixel_format: {
      if (!whole(20)) return 0;
      const auto format = PixelFormat::parse(in.subspan<4, PixelFormat::kWireSize>());
      if (!format) return break_off();
      format_ = *format;
      cursor_sent_ = cursor_.shape == 0;
      return 20;
    }
    case ClientMessage::set_encodings:
      return take_encodings(in);
    case ClientMessage::framebuffer_update_request:
      if (!whole(10)) return 0;
      request_update(in[1] != 0, {get16(in, 2), get16(in, 4), get16(in, 6), get16(in, 8)});
      return 10;
    case ClientMessage::key_event:
      if (!whole(8)) return 0;
      key(key_from_keysym(get32(in, 4)), in[1] != 0);
      return 8;
    case ClientMessage::pointer_event:
      if (!whole(6)) return 0;
      pointer(in[1], get16(in, 2), get16(in, 4));
      return 6;
    case ClientMessage::client_cut_text:
      return take_cut_text(in);
    case ClientMessage::set_desktop_size:
      return take_desktop_size(in);
    case ClientMessage::qemu:
      return take_qemu(in);
  }
  return break_off();
}

// Section 7.5.2: by the client's preference.
size_t Session::take_encodings(std::span<const uint8_t> in) {
  if (in.size() < 4) return 0;
  const size_t count = get16(in, 2);
  if (in.size() < 4 + 4 * count) return 0;
  std::optional<int32_t> preferred;
  has_desktop_size_ = has_extended_desktop_size_ = has_cursor_ = has_cursor_with_alpha_ = false;
  wants_extended_key_ = false;
  for (size_t i = 0; i < count; ++i) {
    const auto encoding = static_cast<int32_t>(get32(in, 4 + 4 * i));
    switch (encoding) {
      case kEncodingRaw:
      case kEncodingTight:
      case kEncodingZrle:
        if (!preferred) preferred = encoding;
        break;
      case kEncodingDesktopSize:
        has_desktop_size_ = true;
        break;
      case kEncodingExtendedDesktopSize:
        has_extended_desktop_size_ = true;
        break;
      case kEncodingCursor:
        has_cursor_ = true;
        break;
      case kEncodingCursorWithAlpha:
        has_cursor_with_alpha_ = true;
        break;
      case kEncodingExtendedClipboard:
        cut_text_.extend();
        break;
      case kEncodingQemuExtendedKey:
        wants_extended_key_ = true;
        break;
      default:
        break;
    }
  }
  encoding_ = preferred.value_or(kEncodingRaw);
  cursor_sent_ = cursor_.shape == 0;
  return 4 + 4 * count;
}

size_t Session::take_cut_text(std::span<const uint8_t> in) {
  if (in.size() < 8) return 0;
  const auto told = static_cast<int32_t>(get32(in, 4));
  // A negative length tells extended messages from plain ones.
  const bool is_extended = told < 0 && cut_text_.is_extended();
  const auto size = static_cast<uint32_t>(is_extended ? -int64_t{told} : told);
  if (size > CutText::kMostMessage) return break_off();
  if (in.size() < 8 + size_t{size}) return 0;
  const auto body = in.subspan(8, size);
  bool broken = false;
  auto text = is_extended ? cut_text_.take_extended(body, broken) : cut_text_.take_plain(body);
  if (broken) return break_off();
  if (text) screen_.set_clipboard(*std::move(text));
  return 8 + size_t{size};
}

size_t Session::take_desktop_size(std::span<const uint8_t> in) {
  if (in.size() < 8) return 0;
  const size_t size = 8 + size_t{16} * in[6];
  if (in.size() < size) return 0;
  const DisplaySize wanted{get16(in, 2), get16(in, 4)};
  if (in[6] != 1) {
    resize_status_ = kStatusInvalidLayout;  // We show one display.
  } else {
    resize_status_ = screen_.resize(wanted) ? kStatusForwarded : kStatusProhibited;
  }
  return size;
}

size_t Session::take_qemu(std::span<const uint8_t> in) {
  if (in.size() < 2) return 0;
  if (in[1] != kQemuExtendedKeyEvent) return break_off();
  if (in.size() < 12) return 0;
  auto code = key_from_scan_code(get32(in, 8));
  if (!code) code = key_from_keysym(get32(in, 4));
  key(code, get16(in, 2) != 0);
  return 12;
}

void Session::key(std::optional<Key> key, bool pressed) {
  if (key) screen_.send_key({.key = *key, .pressed = pressed});
}

void Session::pointer(uint8_t buttons, uint16_t x, uint16_t y) {
  const uint8_t pressed = buttons & ~buttons_;
  buttons_ = buttons;
  const auto place = [](uint16_t at, uint32_t extent) {
    return extent == 0 ? 0.0 : std::min((at + 0.5) / extent, 1.0);
  };
  PointerEvent event{.x = place(x, size_.width),
                     .y = place(y, size_.height),
                     .buttons = {.left = (buttons & kButtonLeft) != 0,
                                 .right = (buttons & kButtonRight) != 0,
                                 .middle = (buttons & kButtonMiddle) != 0,
                                 .back = (buttons & kButtonBack) != 0}};
  event.wheel_y =
      static_cast<double>((pressed & kWheelUp) != 0) - static_cast<double>((pressed & kWheelDown) != 0);
  event.wheel_x =
      static_cast<double>((pressed & kWheelRight) != 0) - static_cast<double>((pressed & kWheelLeft) != 0);
  screen_.send_pointer(event);
}

void Session::request_update(bool incremental, const DisplayRectangle& part) {
  update_wanted_ = true;
  if (!incremental) add_damage(clip(part, frame_.size));
}

void Session::add_damage(const DisplayRectangle& part) {
  damage_.add(part);
}

// Takes what is new.
void Session::look() {
  if (!std::exchange(display_changed_, false)) return;
  for (const DisplayRectangle& part : screen_.reader().read(frame_)) add_damage(part);
  DisplayCursor cursor = screen_.reader().cursor(cursor_.shape);
  const bool has_new_shape = cursor.shape != cursor_.shape;
  if (has_new_shape || cursor.is_visible != cursor_.is_visible) cursor_sent_ = false;
  if (!has_new_shape) cursor.pixels = std::move(cursor_.pixels);
  cursor_ = std::move(cursor);
}

std::string Session::take_output() {
  if (output_.empty() && phase_ == Phase::running) {
    cut_text_.append_output(output_);
    if (update_wanted_) make_update();
  }
  return std::exchange(output_, {});
}

// Section 7.6.1.
void Session::make_update() {
  look();
  std::string rectangles;
  unsigned count = append_size(rectangles);
  if (wants_extended_key_ && !std::exchange(extended_key_announced_, true)) {
    put_rectangle(rectangles, 0, 0, {}, kEncodingQemuExtendedKey);
    ++count;
  }
  count += append_cursor(rectangles);
  for (DisplayRectangle part : damage_.take()) {
    part = clip(part, size_);  // A client that can't follow the size sees what there is room for.
    part = clip(part, frame_.size);
    if (part.width == 0 || part.height == 0) continue;
    count += encoder_.append(rectangles, frame_, part, encoding_, format_);
  }
  if (count == 0) return;
  update_wanted_ = false;
  put8(output_, kFramebufferUpdate);
  put8(output_, 0);
  put16(output_, static_cast<uint16_t>(count));
  output_ += rectangles;
}

// The display's size, if the client does not know it yet, or has asked for one.
unsigned Session::append_size(std::string& rectangles) {
  unsigned count = 0;
  const bool changed = frame_.size.width != 0 && frame_.size != size_;
  const auto extended = [&](uint16_t reason, uint16_t status) {
    put_rectangle(rectangles, reason, status, size_, kEncodingExtendedDesktopSize);
    put8(rectangles, 1);  // One screen,
    rectangles.append(3, '\0');
    put32(rectangles, 1);  // its number,
    put32(rectangles, 0);  // its place,
    put16(rectangles, static_cast<uint16_t>(size_.width));
    put16(rectangles, static_cast<uint16_t>(size_.height));
    put32(rectangles, 0);  // and no flags.
    ++count;
  };
  if (has_extended_desktop_size_) {
    if (changed) size_ = frame_.size;
    if (const auto status = std::exchange(resize_status_, std::nullopt)) extended(kReasonThisClient, *status);
    if (changed || !std::exchange(size_announced_, true)) extended(kReasonServer, 0);
  } else if (has_desktop_size_ && changed) {
    size_ = frame_.size;
    put_rectangle(rectangles, 0, 0, size_, kEncodingDesktopSize);
    ++count;
  }
  return count;
}

// Section 7.8.1, and its form with alpha.
unsigned Session::append_cursor(std::string& rectangles) {
  if (cursor_sent_ || (!has_cursor_ && !has_cursor_with_alpha_)) return 0;
  cursor_sent_ = true;
  const DisplaySize size = cursor_.is_visible ? cursor_.size : DisplaySize{};
  const auto hot_x = static_cast<uint16_t>(size.width != 0 ? cursor_.hot_x : 0);
  const auto hot_y = static_cast<uint16_t>(size.width != 0 ? cursor_.hot_y : 0);
  const auto pixels = std::span(cursor_.pixels).first(size_t{size.width} * size.height);
  if (has_cursor_with_alpha_) {
    put_rectangle(rectangles, hot_x, hot_y, size, kEncodingCursorWithAlpha);
    put32(rectangles, static_cast<uint32_t>(kEncodingRaw));
    for (const uint32_t pixel : pixels) {
      for (const unsigned shift : {16, 8, 0, 24}) put8(rectangles, static_cast<uint8_t>(pixel >> shift));
    }
    return 1;
  }
  put_rectangle(rectangles, hot_x, hot_y, size, kEncodingCursor);
  format_.append(rectangles, pixels);
  for (uint32_t y = 0; y < size.height; ++y) {
    for (uint32_t x = 0; x < size.width; x += 8) {
      uint8_t mask = 0;
      for (uint32_t bit = 0; bit < 8 && x + bit < size.width; ++bit)
        mask |= static_cast<uint8_t>((pixels[size_t{y} * size.width + x + bit] >> 31) << (7 - bit));
      put8(rectangles, mask);
    }
  }
  return 1;
}

}  // namespace alcove::view::rfb
