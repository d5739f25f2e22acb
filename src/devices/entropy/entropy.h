// The virtio entropy device (virtio 1.2, section 5.4), fed by getrandom(2).
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "virtio/device.h"
#include "virtio/queue_worker.h"

namespace alcove::devices::entropy {

// Most bytes that one request gets; drivers ask again for more.
inline constexpr uint32_t kMaximumRequest = 64 << 10;

class Entropy final : public virtio::Device {
 public:
  Entropy() : worker_("entropy") {}
  ~Entropy() override { worker_.detach(); }

  uint16_t device_id() const override;
  uint64_t features() const override { return 0; }
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  uint32_t config_size() const override { return 0; }
  void read_config(uint32_t, std::span<std::byte>) override {}
  void activate(virtio::Activation activation) override;
  void deactivate() override { worker_.detach(); }
  void pause() override { worker_.pause(); }
  void resume() override { worker_.resume(); }

 private:
  static constexpr uint16_t kQueueSizes[] = {64};
  virtio::QueueWorker worker_;
};

}  // namespace alcove::devices::entropy
