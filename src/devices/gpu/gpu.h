// The virtio GPU (virtio 1.2, section 5.7) without 3D.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "devices/gpu/renderer.h"
#include "display/display.h"
#include "virtio/device.h"
#include "virtio/queue_worker.h"

namespace alcove::devices::gpu {

class Gpu final : public virtio::Device {
 public:
  // 1 to 16 modes, and a display for each.
  Gpu(const std::vector<Mode>& modes, std::vector<std::unique_ptr<display::Display>> displays);
  ~Gpu() override;

  // Plugs another monitor in, so to speak. Any thread.
  void reconfigure(size_t scanout, const Mode& mode);
  size_t scanout_count() const { return monitors_.count(); }

  uint16_t device_id() const override;
  uint64_t features() const override;
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  uint32_t config_size() const override;
  void read_config(uint32_t offset, std::span<std::byte> out) override;
  void write_config(uint32_t offset, std::span<const std::byte> in) override;
  void activate(virtio::Activation activation) override;
  void deactivate() override;
  void pause() override { worker_.pause(); }
  void resume() override { worker_.resume(); }

 private:
  void publish_soon();
  void publish();

  static constexpr uint16_t kQueueSizes[] = {256, 16};

  Monitors monitors_;
  Renderer renderer_;
  std::atomic<uint32_t> events_ = 0;

  std::mutex interrupts_mutex_;  // Guards interrupts_: monitors are changed by any thread.
  virtio::Interrupts* interrupts_ = nullptr;

  // Of the worker's thread.
  exec::Clock::time_point last_frame_;
  std::optional<exec::EventLoop::TimerId> next_frame_;

  virtio::QueueWorker worker_{"gpu"};  // Last: it ends before what it uses.
};

}  // namespace alcove::devices::gpu
