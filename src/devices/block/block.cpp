#include "devices/block/block.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "spec/virtio.h"

namespace alcove::devices::block {

using namespace spec::virtio;

namespace {

constexpr uint16_t kQueueSize = 256;

}  // namespace

Block::Block(std::unique_ptr<storage::Disk> disk, const BlockOptions& options)
    : disk_(std::move(disk)), queue_sizes_(std::clamp<uint16_t>(options.queue_count, 1, 64), kQueueSize) {
  std::copy_n(options.identifier.begin(), std::min(options.identifier.size(), identifier_.size()),
              identifier_.begin());
  configuration_.seg_max = kQueueSize - 2;  // Header and status take a descriptor each.
  configuration_.blk_size = kBlockSectorSize;
  // Hosts store blocks of 4 KiB; guests that align to them spare the host from reading before it writes.
  configuration_.physical_block_exp = 3;
  configuration_.min_io_size = 8;
  configuration_.num_queues = static_cast<uint16_t>(queue_sizes_.size());
  configuration_.max_discard_sectors = kMaximumRangeSectors;
  configuration_.max_discard_seg = kMaximumRanges;
  configuration_.discard_sector_alignment = 8;
  configuration_.max_write_zeroes_sectors = kMaximumRangeSectors;
  configuration_.max_write_zeroes_seg = kMaximumRanges;
  configuration_.write_zeroes_may_unmap = 1;
  for (size_t i = 0; i < queue_sizes_.size(); ++i) {
    workers_.push_back(std::make_unique<virtio::QueueWorker>(fmt::format("block {}", i)));
  }
}

Block::~Block() {
  Block::deactivate();
}

uint16_t Block::device_id() const {
  return kBlockDevice;
}

uint64_t Block::features() const {
  uint64_t features =
      kBlockFeatureSegmentMax | kBlockFeatureBlockSize | kBlockFeatureFlush | kBlockFeatureTopology;
  if (queue_sizes_.size() > 1) features |= kBlockFeatureMultiQueue;
  features |= disk_->is_read_only() ? kBlockFeatureReadOnly : kBlockFeatureDiscard | kBlockFeatureWriteZeroes;
  return features;
}

void Block::read_config(uint32_t offset, std::span<std::byte> out) {
  auto configuration = configuration_;
  configuration.capacity = disk_->size() / kBlockSectorSize;
  std::memcpy(out.data(), reinterpret_cast<const std::byte*>(&configuration) + offset, out.size());
}

void Block::size_changed() {
  const std::lock_guard lock(interrupts_mutex_);
  if (interrupts_) interrupts_->configuration();
}

void Block::activate(virtio::Activation activation) {
  {
    const std::lock_guard lock(interrupts_mutex_);
    interrupts_ = activation.interrupts;
  }
  for (size_t i = 0; i < activation.queues.size(); ++i) {
    if (!activation.queues[i]) continue;
    workers_[i]->attach(std::move(activation.queues[i]), activation.doorbells[i], *activation.interrupts,
                        [this, features = activation.features](virtio::Queue& queue, virtio::Chain chain) {
                          return serve(queue, std::move(chain), features);
                        });
  }
}

bool Block::serve(virtio::Queue& queue, virtio::Chain chain, uint64_t features) {
  auto parsed = parse(std::move(chain),
                      {.features = features, .disk_size = disk_->size(), .read_only = disk_->is_read_only()});
  if (!parsed) return false;
  Processed processed = process(std::move(*parsed), *disk_, identifier_);
  ++request_count_;
  if (processed.error != 0) {
    ++error_count_;
    last_error_ = processed.error;
  }
  finish(std::move(processed), queue);
  queue.notify();  // At once, not after the batch: the next request may take long.
  return true;
}

void Block::deactivate() {
  {
    const std::lock_guard lock(interrupts_mutex_);
    interrupts_ = nullptr;
  }
  for (auto& worker : workers_) worker->detach();
}
void Block::pause() {
  for (auto& worker : workers_) worker->pause();
}
void Block::resume() {
  for (auto& worker : workers_) worker->resume();
}

}  // namespace alcove::devices::block
