// Which parts of a picture changed: few rectangles, which together cover all that was added.
#pragma once

#include <alcove/graphics.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace alcove {

inline bool contains(const DisplayRectangle& outer, const DisplayRectangle& inner) {
  return inner.x >= outer.x && inner.y >= outer.y && inner.x + inner.width <= outer.x + outer.width &&
         inner.y + inner.height <= outer.y + outer.height;
}

inline DisplayRectangle bounds(const DisplayRectangle& a, const DisplayRectangle& b) {
  const uint32_t x = std::min(a.x, b.x), y = std::min(a.y, b.y);
  return {x, y, std::max(a.x + a.width, b.x + b.width) - x, std::max(a.y + a.height, b.y + b.height) - y};
}

// What of `rectangle` lies in a picture of this size; empty (width or height 0) if nothing does. Takes any
// numbers.
inline DisplayRectangle clip(const DisplayRectangle& rectangle, DisplaySize size) {
  if (rectangle.x >= size.width || rectangle.y >= size.height) return {};
  return {rectangle.x, rectangle.y, std::min(rectangle.width, size.width - rectangle.x),
          std::min(rectangle.height, size.height - rectangle.y)};
}

class Damage {
 public:
  static constexpr size_t kMostRectangles = 16;

  // `added` lies in some picture: its sums don't overflow.
  void add(const DisplayRectangle& added) {
    if (added.width == 0 || added.height == 0) return;
    for (const DisplayRectangle& known : rectangles_) {
      if (contains(known, added)) return;
    }
    std::erase_if(rectangles_, [&](const DisplayRectangle& known) { return contains(added, known); });
    rectangles_.push_back(added);
    if (rectangles_.size() <= kMostRectangles) return;
    DisplayRectangle all = rectangles_[0];
    for (const DisplayRectangle& rectangle : rectangles_) all = bounds(all, rectangle);
    rectangles_ = {all};
  }
  bool is_empty() const { return rectangles_.empty(); }
  std::vector<DisplayRectangle> take() { return std::exchange(rectangles_, {}); }

 private:
  std::vector<DisplayRectangle> rectangles_;
};

}  // namespace alcove
