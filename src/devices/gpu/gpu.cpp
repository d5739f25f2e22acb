#include "devices/gpu/gpu.h"

#include <algorithm>
#include <cstring>

#include "spec/virtio.h"

namespace alcove::devices::gpu {

using namespace spec::virtio;

namespace {

// The shortest time between two frames: what a guest draws faster than a monitor shows is drawn over.
constexpr std::chrono::milliseconds kFrameTime{15};

}  // namespace

Gpu::Gpu(const std::vector<Mode>& modes, std::vector<std::unique_ptr<display::Display>> displays)
    : monitors_(modes), renderer_(monitors_, std::move(displays)) {}

Gpu::~Gpu() {
  deactivate();
}

void Gpu::reconfigure(size_t scanout, const Mode& mode) {
  if (scanout >= monitors_.count()) return;
  monitors_.set(scanout, mode);
  events_ |= kGpuEventDisplay;
  const std::lock_guard lock(interrupts_mutex_);
  if (interrupts_) interrupts_->configuration();
}

uint16_t Gpu::device_id() const {
  return kGpuDevice;
}

uint64_t Gpu::features() const {
  return kGpuFeatureEdid;
}

uint32_t Gpu::config_size() const {
  return sizeof(GpuConfiguration);
}

void Gpu::read_config(uint32_t offset, std::span<std::byte> out) {
  const GpuConfiguration configuration{.events_read = events_,
                                       .events_clear = 0,
                                       .num_scanouts = static_cast<uint32_t>(monitors_.count()),
                                       .num_capsets = 0};
  std::memcpy(out.data(), std::as_bytes(std::span(&configuration, 1)).data() + offset, out.size());
}

// Section 5.7.4: writing a bit to events_clear takes it out of events_read.
void Gpu::write_config(uint32_t offset, std::span<const std::byte> in) {
  GpuConfiguration written{};
  std::memcpy(std::as_writable_bytes(std::span(&written, 1)).data() + offset, in.data(), in.size());
  events_ &= ~written.events_clear;
}

void Gpu::activate(virtio::Activation activation) {
  {
    const std::lock_guard lock(interrupts_mutex_);
    interrupts_ = activation.interrupts;
  }
  worker_.loop().call([&] { renderer_.set_memory(activation.memory); });
  const auto attach = [&](unsigned index, auto execute) {
    if (!activation.queues[index]) return;
    worker_.attach(std::move(activation.queues[index]), activation.doorbells[index], *activation.interrupts,
                   [this, execute](virtio::Queue& queue, virtio::Chain chain) {
                     queue.push(chain, (renderer_.*execute)(chain));
                     publish_soon();
                     return true;
                   });
  };
  attach(kGpuControlQueue, &Renderer::execute_control);
  attach(kGpuCursorQueue, &Renderer::execute_cursor);
}

void Gpu::publish_soon() {
  if (next_frame_ || !renderer_.has_news()) return;
  // Even if it is due at once: behind the commands that are there already, which usually belong to it.
  next_frame_ = worker_.loop().call_at(std::max(last_frame_ + kFrameTime, exec::Clock::now()), [this] {
    next_frame_.reset();
    publish();
  });
}

void Gpu::publish() {
  renderer_.publish();
  last_frame_ = exec::Clock::now();
}

void Gpu::deactivate() {
  {
    const std::lock_guard lock(interrupts_mutex_);
    interrupts_ = nullptr;
  }
  events_ = 0;  // Whoever comes next looks at the monitors anyway.
  worker_.detach();
  worker_.loop().call([this] {
    if (next_frame_) worker_.loop().cancel(*next_frame_);
    next_frame_.reset();
    renderer_.reset();
  });
}

}  // namespace alcove::devices::gpu
