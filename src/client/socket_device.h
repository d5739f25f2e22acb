// A live socket device: its listeners, and connections that the application asks for.
#pragma once

#include <alcove/socket.h>

#include <map>
#include <memory>
#include <mutex>

#include "client/device_requests.h"

namespace alcove::client {

class SocketDeviceProxy final : public VirtioSocketDevice {
 public:
  SocketDeviceProxy(DeviceRequests& requests, uint32_t guest_cid)
      : requests_(requests), guest_cid_(guest_cid) {}

  uint32_t guest_cid() const override { return guest_cid_; }
  void connect(uint32_t port, std::chrono::milliseconds timeout, Connected completion) override;
  void set_socket_listener(std::shared_ptr<VirtioSocketListener> listener, uint32_t port) override;
  void remove_socket_listener(uint32_t port) override;

  // The guest wants to connect. On the executor.
  void decide(uint64_t connection, uint32_t source_port, uint32_t port);

 private:
  DeviceRequests& requests_;
  const uint32_t guest_cid_;
  std::mutex mutex_;  // Guards listeners_.
  std::map<uint32_t, std::shared_ptr<VirtioSocketListener>> listeners_;
};

}  // namespace alcove::client
