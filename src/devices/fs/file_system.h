// The virtio file system device (virtio 1.2, section 5.11), with its server.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "devices/fs/helpers.h"
#include "devices/fs/lane.h"
#include "devices/fs/session.h"
#include "share/server.h"
#include "spec/virtio_fs.h"
#include "virtio/device.h"

namespace alcove::devices::fs {

struct FileSystemOptions {
  std::string tag;           // Up to 36 bytes.
  uint16_t queue_count = 1;  // For requests, 1 to 64; a thread each.
  // Whose window shows files; null: none does. It outlives the device.
  memory::GuestMemory* memory = nullptr;
  size_t window = 0;
};

class FileSystem final : public virtio::Device {
 public:
  FileSystem(std::unique_ptr<share::Server> server, const FileSystemOptions& options);
  ~FileSystem() override;

  uint16_t device_id() const override;
  uint64_t features() const override { return 0; }
  std::span<const uint16_t> queue_sizes() const override { return queue_sizes_; }
  uint32_t config_size() const override { return sizeof configuration_; }
  std::optional<virtio::SharedMemory> shared_memory() const override { return shared_memory_; }
  void read_config(uint32_t offset, std::span<std::byte> out) override;
  void activate(virtio::Activation activation) override;
  void deactivate() override;
  void pause() override;
  void resume() override;

  // Another share from now on; see share::Server. Any thread.
  void replace(share::Share share);
  share::Server& server() { return *server_; }
  // Requests answered since the start. Any thread.
  uint64_t request_count() const;

 private:
  std::unique_ptr<share::Server> server_;
  std::optional<virtio::SharedMemory> shared_memory_;
  std::unique_ptr<DaxWindow> window_;  // With that.
  Session session_;
  std::vector<uint16_t> queue_sizes_;
  spec::virtio_fs::Configuration configuration_{};
  Helpers helpers_;
  // One for each queue of requests; the first serves the urgent ones, too.
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace alcove::devices::fs
