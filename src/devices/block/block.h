// The virtio block device (virtio 1.2, section 5.2).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "devices/block/request.h"
#include "spec/virtio_block.h"
#include "storage/disk.h"
#include "virtio/device.h"
#include "virtio/queue_worker.h"

namespace alcove::devices::block {

struct BlockOptions {
  std::string identifier;    // Up to 20 bytes of ASCII; what GET_ID answers.
  uint16_t queue_count = 1;  // 1 to 64; a thread each.
};

class Block final : public virtio::Device {
 public:
  Block(std::unique_ptr<storage::Disk> disk, const BlockOptions& options);
  ~Block() override;

  uint16_t device_id() const override;
  uint64_t features() const override;
  std::span<const uint16_t> queue_sizes() const override { return queue_sizes_; }
  uint32_t config_size() const override { return sizeof configuration_; }
  void read_config(uint32_t offset, std::span<std::byte> out) override;
  void activate(virtio::Activation activation) override;
  void deactivate() override;
  void pause() override;
  void resume() override;

  // The disk has another size from now on: the guest is told. Any thread.
  void size_changed();

  // Requests answered since the start, and those among them that the host failed. Any thread.
  uint64_t request_count() const { return request_count_; }
  uint64_t error_count() const { return error_count_; }
  int last_error() const { return last_error_; }  // errno; 0 if there was none.

 private:
  bool serve(virtio::Queue& queue, virtio::Chain chain, uint64_t features);

  std::unique_ptr<storage::Disk> disk_;
  std::array<char, spec::virtio::kBlockIdSize> identifier_{};
  std::vector<uint16_t> queue_sizes_;
  spec::virtio::BlockConfiguration configuration_{};
  std::atomic<uint64_t> request_count_ = 0;
  std::atomic<uint64_t> error_count_ = 0;
  std::atomic<int> last_error_ = 0;
  std::mutex interrupts_mutex_;  // Guards interrupts_.
  virtio::Interrupts* interrupts_ = nullptr;
  std::vector<std::unique_ptr<virtio::QueueWorker>> workers_;  // One for each queue.
};

}  // namespace alcove::devices::block
