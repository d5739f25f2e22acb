// A display's picture in memory that the machine's process writes and applications read: one copy for all of
// them. Nobody waits for anybody: a reader that met a writer tries again.
#pragma once

#include <alcove/graphics.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "support/unique_fd.h"

namespace alcove::display {

inline constexpr uint32_t kMaximumExtent = 4096;  // Of a picture, in each direction.
inline constexpr uint32_t kCursorExtent = 64;     // Of a cursor: exactly.

// One writer, on one thread; any number of readers anywhere. Readers don't trust what they find: whatever the
// writer's process does to the memory, they stay within it.
class FrameMemory {
 public:
  // A new one, in a memfd that can't be resized by whoever gets descriptor(). Pages are allocated as they are
  // written.
  static Result<FrameMemory> create();
  static Result<FrameMemory> open(UniqueFd descriptor);
  // For readers alone.
  static Result<FrameMemory> open_read_only(UniqueFd descriptor);

  FrameMemory(FrameMemory&& other) noexcept;
  FrameMemory& operator=(FrameMemory&&) = delete;
  ~FrameMemory();

  int descriptor() const { return descriptor_.get(); }
  // Another descriptor of it, through which nobody can write.
  Result<UniqueFd> read_only_descriptor() const;

  // Begins a frame of this size, at most kMaximumExtent each way: gives its pixels, which hold the last frame
  // if the size is the same. Between these two calls nothing else is called.
  std::span<uint32_t> begin_frame(DisplaySize size);
  // Ends it: these parts differ from the last frame. They lie within the size.
  void end_frame(std::span<const DisplayRectangle> damage);

  // kCursorExtent² pixels, 0xAARRGGBB.
  void set_cursor_shape(std::span<const uint32_t> pixels, uint32_t hot_x, uint32_t hot_y);
  void set_cursor_position(bool is_visible, int32_t x, int32_t y);

  DisplaySize size() const;

  // How far a reader has come.
  struct Position {
    uint64_t damage = 0;
    bool has_frame = false;
  };
  // Brings `frame` up to date from `position` on; gives what changed.
  std::vector<DisplayRectangle> read(DisplayFrame& frame, Position& position) const;
  DisplayCursor read_cursor(uint64_t known_shape) const;

 private:
  struct Shared;
  FrameMemory(UniqueFd descriptor, Shared* shared);
  static Result<FrameMemory> map(UniqueFd descriptor, int protection);
  bool try_read(DisplayFrame& frame, Position& position, std::vector<DisplayRectangle>& changed) const;

  UniqueFd descriptor_;
  Shared* shared_;
};

}  // namespace alcove::display
