// A display without a machine, for tests.
#pragma once

#include <vector>

#include "view/rfb/session.h"

namespace alcove::view::rfb::testing {

class FakeScreen final : public Screen, public DisplayReader {
 public:
  DisplayFrame shown;
  std::vector<DisplayRectangle> changed;
  DisplayCursor shape;
  std::vector<KeyEvent> keys;
  std::vector<PointerEvent> pointers;
  std::vector<DisplaySize> sizes;
  std::vector<std::string> copied;
  bool can_resize = true;

  void show(DisplayFrame frame) {
    changed = {{0, 0, frame.size.width, frame.size.height}};
    shown = std::move(frame);
  }

  int descriptor() const override { return -1; }
  std::vector<DisplayRectangle> read(DisplayFrame& frame) override {
    frame = shown;
    return std::exchange(changed, {});
  }
  DisplayCursor cursor(uint64_t known_shape) override {
    DisplayCursor cursor = shape;
    if (known_shape == shape.shape) cursor.pixels.clear();
    return cursor;
  }

  Result<> lend(int) const override { return fail(ErrorCode::not_supported, "", "no process reads this"); }

  DisplayReader& reader() override { return *this; }
  DisplaySize size() const override { return {800, 600}; }
  std::string name() const override { return "test"; }
  void send_key(const KeyEvent& event) override { keys.push_back(event); }
  void send_pointer(const PointerEvent& event) override { pointers.push_back(event); }
  bool resize(DisplaySize size) override {
    sizes.push_back(size);
    return can_resize;
  }
  void set_clipboard(std::string text) override { copied.push_back(std::move(text)); }
};

}  // namespace alcove::view::rfb::testing
