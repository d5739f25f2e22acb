#pragma once

#include <alcove/error.h>
#include <alcove/mac_address.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "exec/event_loop.h"
#include "network/frame_port.h"
#include "network/guest_addresses.h"
#include "network/network.h"

namespace alcove::network {

struct CableOptions {
  MACAddress mac_address;  // The guest's, by which its addresses are told from others'.
  // Called on the loop after addresses() changed, at most ten times a second.
  std::function<void()> addresses_changed;
  // Called on the loop, once, after connect(): nothing goes through any more. May destroy the cable.
  std::function<void(Error)> failed;
};

// A cable to whatever is behind a descriptor of the host's: a socket, a tap interface. Frames that this does
// not take at once wait for it.
class CableNetwork final : public Network {
 public:
  // The loop must run. Nothing is read before connect().
  CableNetwork(exec::EventLoop& loop, std::unique_ptr<FramePort> port, CableOptions options);
  ~CableNetwork() override;

  void connect(FrameReceiver* receiver) override;
  void transmit(Bytes frame, size_t segment_size) override;
  uint16_t mtu() const override { return port_->mtu(); }
  void pause() override;
  void resume() override;
  std::vector<std::string> addresses() const override;  // Any thread.

 private:
  // What waits at most: a window or two of a fast connection.
  static constexpr size_t kMostWaitingBytes = 2 << 20, kMostWaiting = 4096;
  struct Waiting {
    std::vector<std::byte> frame;
    size_t segment_size;
  };
  void watch();
  void unwatch();
  void ready(uint32_t events);
  void send(Bytes frame, size_t segment_size);
  void drain();
  void receive();
  void check();
  void fail();
  void addresses_changed();

  exec::EventLoop& loop_;
  const std::unique_ptr<FramePort> port_;
  const CableOptions options_;
  FrameReceiver* receiver_ = nullptr;
  GuestAddresses addresses_;
  std::deque<Waiting> waiting_;
  size_t waiting_bytes_ = 0;
  bool paused_ = false, failed_ = false;
  uint32_t watched_ = 0;  // Events.
  std::optional<exec::EventLoop::TimerId> notification_, check_;
};

}  // namespace alcove::network
