#include "devices/gpu/scanout.h"

#include <algorithm>

namespace alcove::devices::gpu {

void Scanout::show(uint32_t resource_id, const GpuRectangle& rectangle) {
  resource_id_ = resource_id;
  rectangle_ = rectangle;
  damage_.take();
  damage_.add({0, 0, rectangle.width, rectangle.height});
}

void Scanout::turn_off() {
  if (!is_on()) return;
  resource_id_ = 0;
  damage_.take();
  display_->blank();
}

void Scanout::flush(const GpuRectangle& part) {
  const uint64_t left = std::max(part.x, rectangle_.x), top = std::max(part.y, rectangle_.y);
  const uint64_t right = std::min(uint64_t{part.x} + part.width, uint64_t{rectangle_.x} + rectangle_.width);
  const uint64_t bottom =
      std::min(uint64_t{part.y} + part.height, uint64_t{rectangle_.y} + rectangle_.height);
  if (left >= right || top >= bottom) return;
  damage_.add({static_cast<uint32_t>(left - rectangle_.x), static_cast<uint32_t>(top - rectangle_.y),
               static_cast<uint32_t>(right - left), static_cast<uint32_t>(bottom - top)});
}

void Scanout::publish(const Resource& resource) {
  const auto damage = damage_.take();
  if (damage.empty()) return;
  const DisplaySize size{rectangle_.width, rectangle_.height};
  display_->show(size, damage, [&](std::span<uint32_t> pixels) {
    for (const DisplayRectangle& part : damage) {
      for (uint32_t y = part.y; y < part.y + part.height; ++y) {
        const auto row = pixels.subspan(size_t{y} * size.width + part.x, part.width);
        resource.read_row(rectangle_.x + part.x, rectangle_.y + y, row, false);
      }
    }
  });
}

void Scanout::set_cursor_shape(const Resource& resource, uint32_t hot_x, uint32_t hot_y) {
  std::vector<uint32_t> pixels(size_t{display::kCursorExtent} * display::kCursorExtent);
  for (uint32_t y = 0; y < display::kCursorExtent; ++y) {
    resource.read_row(
        0, y, std::span(pixels).subspan(size_t{y} * display::kCursorExtent, display::kCursorExtent), true);
  }
  display_->set_cursor_shape(pixels, hot_x, hot_y);
}

void Scanout::move_cursor(bool is_visible, uint32_t x, uint32_t y) {
  display_->set_cursor_position(is_visible, static_cast<int32_t>(x), static_cast<int32_t>(y));
}

}  // namespace alcove::devices::gpu
