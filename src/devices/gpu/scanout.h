// What one display shows: a part of a resource, and which parts of that are new.
#pragma once

#include <memory>

#include "devices/gpu/resource.h"
#include "display/display.h"
#include "support/damage.h"

namespace alcove::devices::gpu {

class Scanout {
 public:
  explicit Scanout(std::unique_ptr<display::Display> display) : display_(std::move(display)) {}

  // Shows `rectangle`, which the resource contains and a display can show.
  void show(uint32_t resource_id, const GpuRectangle& rectangle);
  void turn_off();
  // A part of the resource is new.
  void flush(const GpuRectangle& part);
  // A frame for whoever looks, if there is anything new. `resource` is the one shown.
  void publish(const Resource& resource);

  uint32_t resource_id() const { return resource_id_; }  // 0: off.
  bool has_news() const { return !damage_.is_empty(); }
  bool is_on() const { return resource_id_ != 0; }

  // `resource` is of the cursor's size.
  void set_cursor_shape(const Resource& resource, uint32_t hot_x, uint32_t hot_y);
  void move_cursor(bool is_visible, uint32_t x, uint32_t y);

 private:
  std::unique_ptr<display::Display> display_;
  uint32_t resource_id_ = 0;
  GpuRectangle rectangle_{};
  Damage damage_;  // Within the display.
};

}  // namespace alcove::devices::gpu
