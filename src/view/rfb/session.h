// One client of a display: the protocol without the connection, which hands bytes in and takes bytes out.
#pragma once

#include <alcove/graphics.h>
#include <alcove/input.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/damage.h"
#include "view/rfb/cut_text.h"
#include "view/rfb/encoder.h"
#include "view/rfb/pixel_format.h"

namespace alcove::view::rfb {

// What a session shows and steers.
class Screen {
 public:
  virtual ~Screen() = default;
  virtual DisplayReader& reader() = 0;
  virtual DisplaySize size() const = 0;  // Until something was shown.
  virtual std::string name() const = 0;
  virtual void send_key(const KeyEvent& event) = 0;
  // Where the pointer is on this display, 0 to 1.
  virtual void send_pointer(const PointerEvent& event) = 0;
  // The client's window has another size; whether the guest is asked to follow.
  virtual bool resize(DisplaySize size) = 0;
  // The client copied something.
  virtual void set_clipboard(std::string text) = 0;
};

class Session {
 public:
  explicit Session(Screen& screen);

  // What the client sent, in whatever pieces. False: it broke the protocol, and is to be cut off after
  // what take_output() still has.
  bool receive(std::span<const uint8_t> bytes);
  // Something is new on the display.
  void display_changed() { display_changed_ = true; }
  // The guest copied something.
  void clipboard_changed(std::string text) { cut_text_.set_guest_text(std::move(text)); }
  // What to send; to be called when all that it gave before has been sent. A frame is made only then, so that
  // a slow client misses frames instead of having them wait.
  std::string take_output();

 private:
  enum class Phase { version, security, initialisation, running, broken };
  // Takes one message off the beginning of `in`: how long it was; 0 while it is not complete.
  size_t take_message(std::span<const uint8_t> in);
  size_t take_version(std::span<const uint8_t> in);
  size_t take_security(std::span<const uint8_t> in);
  size_t take_initialisation(std::span<const uint8_t> in);
  size_t take_request(std::span<const uint8_t> in);
  size_t take_encodings(std::span<const uint8_t> in);
  size_t take_cut_text(std::span<const uint8_t> in);
  size_t take_desktop_size(std::span<const uint8_t> in);
  size_t take_qemu(std::span<const uint8_t> in);
  size_t break_off();

  void key(std::optional<Key> key, bool pressed);
  void pointer(uint8_t buttons, uint16_t x, uint16_t y);
  void request_update(bool incremental, const DisplayRectangle& part);
  void add_damage(const DisplayRectangle& part);
  void look();
  void make_update();
  unsigned append_size(std::string& rectangles);
  unsigned append_cursor(std::string& rectangles);

  Screen& screen_;
  Phase phase_ = Phase::version;
  int minor_version_ = 8;
  std::string received_, output_;
  CutText cut_text_;

  PixelFormat format_;
  int32_t encoding_;
  bool has_desktop_size_ = false, has_extended_desktop_size_ = false;
  bool has_cursor_ = false, has_cursor_with_alpha_ = false;
  bool extended_key_announced_ = false, wants_extended_key_ = false;

  DisplayFrame frame_;
  DisplaySize size_;  // As the client knows it.
  Damage damage_;     // What of frame_ it does not have yet.
  bool display_changed_ = true;
  bool update_wanted_ = false;
  // An answer to the client's own wish, or the first one.
  std::optional<uint16_t> resize_status_;
  bool size_announced_ = false;
  DisplayCursor cursor_;
  bool cursor_sent_ = true;  // As long as there is none.
  uint8_t buttons_ = 0;
  Encoder encoder_;
};

}  // namespace alcove::view::rfb
