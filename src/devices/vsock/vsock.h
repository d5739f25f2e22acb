// The virtio socket device (virtio 1.2, section 5.10): stream sockets between the guest and the host. At the
// host's end each connection is a UNIX stream socket, given by whoever speaks there; the kernel's AF_VSOCK
// has no part in it.
#pragma once

#include <memory>

#include "devices/vsock/switchboard.h"
#include "virtio/device.h"

namespace alcove::devices::vsock {

class Vsock final : public virtio::Device {
 public:
  // `asked` is called on the device's thread; see Switchboard.
  Vsock(uint64_t guest_cid, Switchboard::Asked asked);
  ~Vsock() override;

  // Has `socket` be connected to a port of the guest's. `connected` is called once, on the device's thread:
  // with an error, and `socket` is closed, if the guest refuses or does not answer in time. Any thread.
  void connect(uint32_t guest_port, UniqueFd socket, std::chrono::milliseconds timeout,
               Switchboard::Connected connected);
  // What `asked` asked: without a socket the guest is refused. `answered` is called once, on the device's
  // thread: with an error if the guest does not want to connect any more. Any thread.
  void answer(uint64_t id, UniqueFd socket, std::move_only_function<void(Result<>)> answered);
  // Those under way and those that only their sockets know, too. Any thread.
  size_t connection_count();

  uint16_t device_id() const override;
  uint64_t features() const override { return 0; }
  std::span<const uint16_t> queue_sizes() const override;
  uint32_t config_size() const override { return sizeof configuration_; }
  void read_config(uint32_t offset, std::span<std::byte> out) override;
  void activate(virtio::Activation activation) override;
  void deactivate() override;
  void pause() override;
  void resume() override;

 private:
  const wire::Configuration configuration_;
  const Switchboard::Asked asked_;
  // The loop's thread.
  Switchboard::Questions questions_;
  std::unique_ptr<Switchboard> switchboard_;  // While the driver uses the device.
  exec::LoopThread thread_;                   // Last: it ends before what it uses.
};

}  // namespace alcove::devices::vsock
