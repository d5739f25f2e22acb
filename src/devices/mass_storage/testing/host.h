// A USB host for tests, with transfers from its own memory, and a disk that traps on what no device may ask.
#pragma once

#include <cstring>
#include <functional>
#include <memory>

#include "devices/mass_storage/mass_storage.h"

namespace alcove::devices::mass_storage::testing {

constexpr uint64_t kDiskSize = 64 << 10;

class CheckedDisk final : public storage::Disk {
 public:
  uint64_t size() const override { return kDiskSize; }
  bool is_read_only() const override { return false; }
  storage::IoResult read(uint64_t offset, std::span<const iovec> buffers) override {
    for (const iovec& buffer : buffers) {
      std::memcpy(buffer.iov_base, at(offset, buffer.iov_len), buffer.iov_len);
      offset += buffer.iov_len;
    }
    return result();
  }
  bool try_read(uint64_t offset, std::span<const iovec> buffers) override {
    return holds_all && read(offset, buffers).has_value();
  }
  storage::IoResult write(uint64_t offset, std::span<const iovec> buffers) override {
    for (const iovec& buffer : buffers) {
      std::memcpy(at(offset, buffer.iov_len), buffer.iov_base, buffer.iov_len);
      offset += buffer.iov_len;
    }
    return result();
  }
  storage::IoResult flush() override {
    ++flushes;
    if (on_flush) on_flush();
    return result();
  }
  storage::IoResult discard(uint64_t offset, uint64_t size) override {
    std::memset(at(offset, size), 0, size);
    return result();
  }
  storage::IoResult write_zeroes(uint64_t offset, uint64_t size, bool) override {
    return discard(offset, size);
  }

  std::vector<std::byte> contents = std::vector<std::byte>(kDiskSize);
  std::atomic<unsigned> flushes = 0;
  std::atomic<bool> holds_all = false;  // The host has all of it in memory.
  std::atomic<int> error = 0;
  std::function<void()> on_flush;  // On the device's thread.

 private:
  std::byte* at(uint64_t offset, uint64_t size) {
    if (offset > kDiskSize || size > kDiskSize - offset) __builtin_trap();
    return contents.data() + offset;
  }
  storage::IoResult result() const {
    if (error != 0) return std::unexpected(error.load());
    return {};
  }
};

class HostTransfer : public usb::Transfer {
 public:
  HostTransfer(uint8_t endpoint, std::vector<std::byte> contents, uint16_t stream = 0)
      : bytes(std::move(contents)) {
    endpoint_ = endpoint;
    stream_ = stream;
    size_ = bytes.size();
    // In two pieces.
    const size_t half = bytes.size() / 2;
    if (half != 0) buffers_.push_back({.iov_base = bytes.data(), .iov_len = half});
    if (!bytes.empty()) buffers_.push_back({.iov_base = bytes.data() + half, .iov_len = bytes.size() - half});
  }
  void complete(Status how, uint64_t size) override {
    if (status || size > bytes.size()) __builtin_trap();
    status = how;
    transferred = size;
  }
  std::vector<std::byte> bytes;
  std::optional<Status> status;
  uint64_t transferred = 0;
};

class Host {
 public:
  explicit Host(MassStorageOptions options = {}) {
    auto made = std::make_unique<CheckedDisk>();
    disk = made.get();
    options.serial = "0123456789AB";
    device = std::make_shared<MassStorage>(std::move(made), options, loop_.loop());
    request({.request_type = 0x00, .request = spec::usb::kSetConfiguration, .value = 1});
  }
  ~Host() {
    if (device) device->pause();
  }
  void pull_out() {
    loop_.loop().call([&] { device = nullptr; });
    run_posted();
  }
  // Whoever uses all of this from one task saves the changes of threads.
  exec::EventLoop& loop() { return loop_.loop(); }

  std::optional<Bytes> request(const spec::usb::SetupPacket& setup, std::span<const std::byte> data = {}) {
    std::optional<Bytes> answer;
    loop_.loop().call([&] { answer = device->control(setup, data); });
    return answer;
  }
  void reset() {
    loop_.loop().call([&] { device->reset(); });
  }
  void submit(HostTransfer& transfer) {
    loop_.loop().call([&] { device->submit(transfer); });
  }
  // Another disc, empty, or none: then there is no `disk`. Settle it before more is asked.
  void change_disc(bool has_one) {
    auto made = has_one ? std::make_unique<CheckedDisk>() : nullptr;
    disk = made.get();
    device->change_medium(std::move(made), [] {});
  }
  // False: it is under way.
  bool cancel(HostTransfer& transfer) {
    bool done = false;
    loop_.loop().call([&] { done = transfer.status || device->cancel(transfer); });
    return done;
  }
  // Until the device has done what it can.
  void settle() {
    for (int i = 0; i < 2; ++i) {
      device->pause();
      device->resume();
      run_posted();
    }
  }

  CheckedDisk* disk = nullptr;

 private:
  void run_posted() {
    if (loop_.loop().on_this_thread()) return loop_.loop().run_posted();
    loop_.loop().call([] {});
  }
  exec::LoopThread loop_{"test"};

 public:
  std::shared_ptr<MassStorage> device;
};

}  // namespace alcove::devices::mass_storage::testing
