#include "devices/balloon/balloon.h"

#include <algorithm>
#include <cstring>

#include "spec/virtio.h"
#include "spec/virtio_balloon.h"

namespace alcove::devices::balloon {

using namespace spec::virtio;

namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr auto kStatisticsPatience = std::chrono::milliseconds(1000);
constexpr size_t kMostStatistics = 64;
constexpr size_t kMostWaiting = 64;
// Page numbers taken from one request; Linux sends 256. More than this would keep the thread for seconds.
constexpr uint64_t kMostPages = 1 << 18;

// Gives runs of neighbouring pages back in one call each, whichever way they run.
class Discarder {
 public:
  explicit Discarder(memory::GuestMemory& memory) : memory_(memory) {}
  ~Discarder() { flush(); }
  void add(uint64_t page) {
    if (count_ > 0 && page == first_ + count_) {
      ++count_;
    } else if (count_ > 0 && page + 1 == first_) {
      --first_;
      ++count_;
    } else {
      flush();
      first_ = page;
      count_ = 1;
    }
  }

 private:
  void flush() {
    if (!discard(first_, count_)) {
      for (uint64_t i = 0; i < count_; ++i) discard(first_ + i, 1);  // Partly outside, or across regions.
    }
    count_ = 0;
  }
  bool discard(uint64_t page, uint64_t count) {
    const memory::Region* region = memory_.find(page * kBalloonPageSize, count * kBalloonPageSize);
    if (!region || region->read_only) return false;
    memory_.discard(page * kBalloonPageSize, count * kBalloonPageSize);
    return true;
  }
  memory::GuestMemory& memory_;
  uint64_t first_ = 0;
  uint64_t count_ = 0;
};

std::optional<uint64_t>* statistic(MemoryBalloonStatistics& statistics, uint16_t tag) {
  switch (tag) {
    case kBalloonSwapIn:
      return &statistics.swapped_in;
    case kBalloonSwapOut:
      return &statistics.swapped_out;
    case kBalloonMajorFaults:
      return &statistics.major_faults;
    case kBalloonMinorFaults:
      return &statistics.minor_faults;
    case kBalloonFreeMemory:
      return &statistics.free_memory;
    case kBalloonTotalMemory:
      return &statistics.total_memory;
    case kBalloonAvailableMemory:
      return &statistics.available_memory;
    case kBalloonDiskCaches:
      return &statistics.disk_caches;
    default:
      return nullptr;
  }
}

// Which queue the driver reports free pages through. The specification numbers queues by the full list of
// features; Linux before 6.11 leaves no gap for those that were not negotiated.
std::optional<unsigned> reporting_queue(const virtio::Activation& activation) {
  if (!(activation.features & kBalloonFeaturePageReporting)) return std::nullopt;
  const unsigned first =
      activation.features & kBalloonFeatureStatistics ? kBalloonHintingQueue : kBalloonStatisticsQueue;
  for (unsigned index = kBalloonReportingQueue; index >= first; --index) {
    if (activation.queues[index]) return index;
  }
  return std::nullopt;
}

}  // namespace

Balloon::Balloon(const BalloonOptions& options)
    : options_(options), target_(options.memory_size), worker_("balloon") {}

Balloon::~Balloon() {
  Balloon::deactivate();
}

uint16_t Balloon::device_id() const {
  return kBalloonDevice;
}

uint64_t Balloon::features() const {
  uint64_t features = kBalloonFeatureStatistics;
  if (options_.free_page_reporting) features |= kBalloonFeaturePageReporting;
  if (options_.deflate_on_out_of_memory) features |= kBalloonFeatureDeflateOnOutOfMemory;
  return features;
}

void Balloon::set_target(uint64_t bytes) {
  // The limits need not be multiples of 1 MiB, so they come after the rounding.
  target_ = std::clamp(bytes / kMiB * kMiB, std::min(options_.minimum_memory_size, options_.memory_size),
                       options_.memory_size);
  std::lock_guard lock(interrupts_mutex_);
  if (interrupts_) interrupts_->configuration();
}

uint64_t Balloon::current_memory_size() const {
  return options_.memory_size - std::min(options_.memory_size, actual_ * kBalloonPageSize);
}

void Balloon::forget() {
  target_ = options_.memory_size;
  reported_ = 0;
}

uint32_t Balloon::config_size() const {
  return sizeof(BalloonConfiguration);
}

void Balloon::read_config(uint32_t offset, std::span<std::byte> out) {
  const BalloonConfiguration configuration{
      .num_pages = static_cast<uint32_t>((options_.memory_size - target_) / kBalloonPageSize),
      .actual = actual_};
  std::memcpy(out.data(), reinterpret_cast<const std::byte*>(&configuration) + offset, out.size());
}

void Balloon::write_config(uint32_t offset, std::span<const std::byte> in) {
  uint32_t value = 0;
  if (offset != offsetof(BalloonConfiguration, actual) || in.size() != sizeof value) return;
  std::memcpy(&value, in.data(), sizeof value);
  actual_ = value;
}

virtio::QueueWorker::Serve Balloon::server(unsigned index, const virtio::Activation& activation) {
  if (index == kBalloonInflateQueue) {
    return [this](virtio::Queue& queue, const virtio::Chain& chain) { return inflate(queue, chain); };
  }
  if (index == kBalloonStatisticsQueue && activation.features & kBalloonFeatureStatistics) {
    return [this](virtio::Queue& queue, virtio::Chain chain) {
      return take_statistics(queue, std::move(chain));
    };
  }
  if (index == reporting_queue(activation)) {
    return [this](virtio::Queue& queue, const virtio::Chain& chain) { return take_report(queue, chain); };
  }
  // Deflation: the pages come back when the guest touches them.
  return [](virtio::Queue& queue, const virtio::Chain& chain) {
    queue.push(chain, 0);
    return true;
  };
}

void Balloon::activate(virtio::Activation activation) {
  {
    std::lock_guard lock(interrupts_mutex_);
    interrupts_ = activation.interrupts;
  }
  std::vector<virtio::QueueWorker::Serve> servers;
  servers.reserve(activation.queues.size());
  for (unsigned index = 0; index < activation.queues.size(); ++index)
    servers.push_back(server(index, activation));
  worker_.loop().call([&] {
    memory_ = activation.memory;
    if (activation.features & kBalloonFeatureStatistics) {
      statistics_queue_ = activation.queues[kBalloonStatisticsQueue].get();
    }
  });
  for (unsigned index = 0; index < activation.queues.size(); ++index) {
    if (!activation.queues[index]) continue;
    worker_.attach(std::move(activation.queues[index]), activation.doorbells[index], *activation.interrupts,
                   std::move(servers[index]));
  }
}

void Balloon::deactivate() {
  {
    std::lock_guard lock(interrupts_mutex_);
    interrupts_ = nullptr;
  }
  worker_.detach();
  worker_.loop().call([this] {
    statistics_queue_ = nullptr;
    statistics_buffer_.reset();
    statistics_asked_ = false;
    paused_ = false;
    memory_ = nullptr;
    actual_ = 0;
    complete_all(known_statistics());
  });
}

void Balloon::pause() {
  worker_.pause();
  worker_.loop().call([this] { paused_ = true; });
}

void Balloon::resume() {
  worker_.loop().call([this] {
    paused_ = false;
    if (!waiting_.empty()) ask_for_statistics();
  });
  worker_.resume();
}

bool Balloon::inflate(virtio::Queue& queue, const virtio::Chain& chain) {
  {
    Discarder discarder(*memory_);
    std::array<uint32_t, 256> pages;
    const uint64_t end = std::min(chain.readable_size(), kMostPages * sizeof pages[0]);
    for (uint64_t offset = 0; offset < end; offset += sizeof pages) {
      const size_t bytes = chain.read(offset, std::as_writable_bytes(std::span(pages)));
      for (size_t i = 0; i < bytes / sizeof pages[0]; ++i) discarder.add(pages[i]);
    }
  }
  queue.push(chain, 0);
  return true;
}

bool Balloon::take_report(virtio::Queue& queue, const virtio::Chain& chain) {
  for (const virtio::Slice& slice : chain.writable()) {
    memory_->discard(slice.guest_address, slice.size);
    reported_ += slice.size;
  }
  queue.push(chain, 0);
  return true;
}

// Statistics: the driver leaves one buffer with us; given back, it comes again with new figures.

bool Balloon::take_statistics(virtio::Queue& queue, virtio::Chain chain) {
  MemoryBalloonStatistics statistics = known_statistics();
  for (size_t i = 0; i < kMostStatistics; ++i) {
    BalloonStatistic item;
    const auto bytes = std::as_writable_bytes(std::span(&item, 1));
    if (chain.read(i * sizeof item, bytes) < sizeof item) break;
    if (auto* field = statistic(statistics, item.tag)) *field = uint64_t{item.value};
  }
  if (statistics_buffer_) queue.push(*statistics_buffer_, 0);  // One is enough.
  statistics_buffer_ = std::move(chain);
  if (statistics_asked_) {
    statistics_asked_ = false;
    complete_all(statistics);
  } else if (!waiting_.empty()) {
    ask_for_statistics();  // Asked before the driver was ready.
  }
  return true;
}

void Balloon::ask_for_statistics() {
  if (statistics_asked_ || paused_ || !statistics_buffer_ || !statistics_queue_) return;
  statistics_asked_ = true;
  statistics_queue_->push(*statistics_buffer_, 0);
  statistics_buffer_.reset();
  statistics_queue_->notify();
}

void Balloon::request_statistics(Completion completion) {
  worker_.loop().post([this, completion = std::move(completion)]() mutable {
    // Without a driver there is nobody to ask, and callers without end are not queued without end.
    if (!statistics_queue_ || waiting_.size() >= kMostWaiting) return completion(known_statistics());
    const uint64_t id = next_waiting_++;
    waiting_.push_back({id, std::move(completion)});
    worker_.loop().call_at(exec::Clock::now() + kStatisticsPatience, [this, id] {
      const auto found = std::ranges::find(waiting_, id, &Waiting::id);
      if (found == waiting_.end()) return;
      Completion late = std::move(found->completion);
      waiting_.erase(found);
      late(known_statistics());
    });
    ask_for_statistics();
  });
}

void Balloon::complete_all(const MemoryBalloonStatistics& statistics) {
  for (Waiting& waiting : std::exchange(waiting_, {})) waiting.completion(statistics);
}

MemoryBalloonStatistics Balloon::known_statistics() const {
  return {.current_memory_size = current_memory_size(), .reported_free_memory = reported_};
}

}  // namespace alcove::devices::balloon
