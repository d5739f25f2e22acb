// The host's side of one display: what the device shows goes to whoever looks.
#pragma once

#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "display/frame_memory.h"
#include "support/unique_fd.h"

namespace alcove::display {

// Belongs to the device's thread.
class Display {
 public:
  // `changed` is an eventfd, written when there is something new; never waited for. None: nobody is told.
  Display(FrameMemory memory, UniqueFd changed) : memory_(std::move(memory)), changed_(std::move(changed)) {}

  FrameMemory& memory() { return memory_; }

  // Shows a frame of this size: `paint(pixels)` changes the parts in `damage`.
  template <class Paint>
  void show(DisplaySize size, std::span<const DisplayRectangle> damage, Paint paint) {
    paint(memory_.begin_frame(size));
    memory_.end_frame(damage);
    tell();
  }
  // Black, of the last size.
  void blank() {
    const DisplaySize size = memory_.size();
    if (size == DisplaySize{}) return;
    const DisplayRectangle all{0, 0, size.width, size.height};
    show(size, std::span(&all, 1), [](std::span<uint32_t> pixels) { std::ranges::fill(pixels, 0u); });
  }
  void set_cursor_shape(std::span<const uint32_t> pixels, uint32_t hot_x, uint32_t hot_y) {
    memory_.set_cursor_shape(pixels, hot_x, hot_y);
  }
  void set_cursor_position(bool is_visible, int32_t x, int32_t y) {
    memory_.set_cursor_position(is_visible, x, y);
    tell();
  }

 private:
  // The eventfd is non-blocking: should its count ever be full, it is readable all the more.
  void tell() {
    if (changed_) eventfd_write(changed_.get(), 1);
  }

  FrameMemory memory_;
  UniqueFd changed_;
};

}  // namespace alcove::display
