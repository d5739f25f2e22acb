// Executes the guest's commands (virtio 1.2, section 5.7.6): every number in them is read once and checked
// here.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <vector>

#include "devices/gpu/edid.h"
#include "devices/gpu/resource.h"
#include "devices/gpu/scanout.h"
#include "memory/guest_memory.h"
#include "virtio/queue.h"

namespace alcove::devices::gpu {

// The monitors as the guest is to see them; any thread.
class Monitors {
 public:
  explicit Monitors(std::vector<Mode> modes) : modes_(std::move(modes)) {}
  size_t count() const { return modes_.size(); }
  Mode mode(size_t index) const {
    const std::lock_guard lock(mutex_);
    return modes_[index];
  }
  void set(size_t index, const Mode& mode) {
    const std::lock_guard lock(mutex_);
    modes_[index] = mode;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Mode> modes_;
};

// For the device's thread.
class Renderer {
 public:
  // As many displays as monitors.
  Renderer(const Monitors& monitors, std::vector<std::unique_ptr<display::Display>> displays);

  void set_memory(memory::GuestMemory* memory) { memory_ = memory; }
  // Executes what is in the chain's readable part, and writes the response to its writable part; gives how
  // many bytes it wrote.
  uint32_t execute_control(virtio::Chain& chain);
  uint32_t execute_cursor(virtio::Chain& chain);
  // Makes frames of what is new.
  void publish();
  bool has_news() const;
  // No resources any more, displays off.
  void reset();

 private:
  GpuResponse dispatch(const virtio::Chain& chain, uint32_t type, std::vector<std::byte>& payload);
  GpuResponse display_info(std::vector<std::byte>& payload) const;
  GpuResponse edid(const virtio::Chain& chain, std::vector<std::byte>& payload) const;
  GpuResponse create_2d(const virtio::Chain& chain);
  GpuResponse unref(const virtio::Chain& chain);
  GpuResponse set_scanout(const virtio::Chain& chain);
  GpuResponse flush(const virtio::Chain& chain);
  GpuResponse transfer(const virtio::Chain& chain);
  GpuResponse attach_backing(const virtio::Chain& chain);
  GpuResponse detach_backing(const virtio::Chain& chain);
  GpuResponse cursor(const virtio::Chain& chain, bool with_shape);

  const Monitors& monitors_;
  std::vector<Scanout> scanouts_;
  std::vector<bool> cursor_visible_;  // By scanout.
  Resources resources_;
  memory::GuestMemory* memory_ = nullptr;
};

}  // namespace alcove::devices::gpu
