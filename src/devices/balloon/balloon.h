// The virtio memory balloon (virtio 1.2, section 5.5): inflation, deflation, statistics, free page reporting.
// What the guest gives up really goes back to the host.
#pragma once

#include <alcove/devices.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "memory/guest_memory.h"
#include "virtio/device.h"
#include "virtio/queue_worker.h"

namespace alcove::devices::balloon {

struct BalloonOptions {
  uint64_t memory_size = 0;          // The guest's, in bytes.
  uint64_t minimum_memory_size = 0;  // The smallest target.
  bool free_page_reporting = true;
  bool deflate_on_out_of_memory = true;
};

class Balloon final : public virtio::Device {
 public:
  explicit Balloon(const BalloonOptions& options);
  ~Balloon() override;

  // Asks the guest to make do with so much: rounded down to 1 MiB, then limited to the smallest and the
  // whole. Any thread, like the five below.
  void set_target(uint64_t bytes);
  uint64_t target() const { return target_; }
  // What the guest has left itself.
  uint64_t current_memory_size() const;
  uint64_t reported_free_memory() const { return reported_; }
  // Asks the guest for its statistics and calls `completion` once, on any thread; within a second, at worst
  // with what is known without it.
  void request_statistics(std::move_only_function<void(MemoryBalloonStatistics)> completion);
  // The machine starts anew: the target is the whole memory again, and nothing was reported.
  void forget();

  uint16_t device_id() const override;
  uint64_t features() const override;
  std::span<const uint16_t> queue_sizes() const override { return kQueueSizes; }
  uint32_t config_size() const override;
  void read_config(uint32_t offset, std::span<std::byte> out) override;
  void write_config(uint32_t offset, std::span<const std::byte> in) override;
  void activate(virtio::Activation activation) override;
  void deactivate() override;
  void pause() override;
  void resume() override;

 private:
  using Completion = std::move_only_function<void(MemoryBalloonStatistics)>;
  struct Waiting {
    uint64_t id;
    Completion completion;
  };
  MemoryBalloonStatistics known_statistics() const;
  bool inflate(virtio::Queue& queue, const virtio::Chain& chain);
  bool take_statistics(virtio::Queue& queue, virtio::Chain chain);
  bool take_report(virtio::Queue& queue, const virtio::Chain& chain);
  void ask_for_statistics();
  void complete_all(const MemoryBalloonStatistics& statistics);
  virtio::QueueWorker::Serve server(unsigned queue, const virtio::Activation& activation);

  static constexpr uint16_t kQueueSizes[] = {128, 128, 16, 128, 128};

  const BalloonOptions options_;
  std::atomic<uint64_t> target_;
  std::atomic<uint32_t> actual_ = 0;  // Pages, as the driver says.
  std::atomic<uint64_t> reported_ = 0;

  std::mutex interrupts_mutex_;  // Guards interrupts_: targets are set by any thread.
  virtio::Interrupts* interrupts_ = nullptr;

  // The worker's thread, between activate() and deactivate().
  memory::GuestMemory* memory_ = nullptr;
  virtio::Queue* statistics_queue_ = nullptr;
  std::optional<virtio::Chain> statistics_buffer_;  // The driver's; given back to ask for new figures.
  bool statistics_asked_ = false;
  bool paused_ = false;
  std::vector<Waiting> waiting_;
  uint64_t next_waiting_ = 0;

  virtio::QueueWorker worker_;
};

}  // namespace alcove::devices::balloon
