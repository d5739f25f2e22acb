#include "devices/fs/file_system.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "spec/virtio.h"

namespace alcove::devices::fs {

namespace {

// A request of 1 MiB takes 256 pages, which Linux puts into one chain.
constexpr uint16_t kQueueSize = 1024;
constexpr size_t kMostHelpers = 4;

}  // namespace

FileSystem::FileSystem(std::unique_ptr<share::Server> server, const FileSystemOptions& options)
    : server_(std::move(server)),
      shared_memory_(options.memory
                         ? std::optional(virtio::SharedMemory{spec::virtio_fs::kDaxWindow, options.window})
                         : std::nullopt),
      window_(options.memory ? std::make_unique<DaxWindow>(*options.memory, options.window, *server_)
                             : nullptr),
      session_(*server_, window_.get()),
      helpers_(kMostHelpers) {
  const uint16_t request_queues = std::clamp<uint16_t>(options.queue_count, 1, 64);
  queue_sizes_.assign(spec::virtio_fs::kFirstRequestQueue + request_queues, kQueueSize);
  std::copy_n(options.tag.begin(), std::min(options.tag.size(), spec::virtio_fs::kTagSize),
              configuration_.tag);
  configuration_.request_queue_count = request_queues;
  const Lane::Events events{.unlocked =
                                [this] {
                                  for (const auto& lane : lanes_) lane->retry_locks();
                                },
                            .interrupted =
                                [this](uint64_t unique) {
                                  for (const auto& lane : lanes_) lane->give_up(unique);
                                }};
  for (unsigned index = 0; index < request_queues; ++index)
    lanes_.push_back(std::make_unique<Lane>(fmt::format("share {}", index), session_, helpers_, events));
}

FileSystem::~FileSystem() {
  FileSystem::deactivate();
}

uint16_t FileSystem::device_id() const {
  return spec::virtio::kFileSystemDevice;
}

void FileSystem::read_config(uint32_t offset, std::span<std::byte> out) {
  std::memcpy(out.data(), reinterpret_cast<const std::byte*>(&configuration_) + offset, out.size());
}

void FileSystem::activate(virtio::Activation activation) {
  for (size_t index = 0; index < activation.queues.size(); ++index) {
    if (!activation.queues[index]) continue;
    const size_t lane =
        index < spec::virtio_fs::kFirstRequestQueue ? 0 : index - spec::virtio_fs::kFirstRequestQueue;
    lanes_[lane]->attach(std::move(activation.queues[index]), activation.doorbells[index],
                         *activation.interrupts);
  }
}

void FileSystem::replace(share::Share share) {
  server_->replace(std::move(share));
  if (window_) window_->clear();
}

uint64_t FileSystem::request_count() const {
  uint64_t count = 0;
  for (const auto& lane : lanes_) count += lane->request_count();
  return count;
}

void FileSystem::deactivate() {
  FileSystem::pause();
  for (const auto& lane : lanes_) lane->detach();
  session_.reset();
}
void FileSystem::pause() {
  for (const auto& lane : lanes_) lane->hold();
  helpers_.drain();
  for (const auto& lane : lanes_) lane->settle();
}
void FileSystem::resume() {
  for (const auto& lane : lanes_) lane->resume();
}

}  // namespace alcove::devices::fs
