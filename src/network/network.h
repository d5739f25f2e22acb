// The host's end of a network device's cable.
#pragma once

#include <cstddef>
#include <span>

namespace alcove::network {

// The device at the guest's end.
class FrameReceiver {
 public:
  virtual ~FrameReceiver() = default;
  // A frame for the guest, with all checksums right. May not call transmit().
  virtual void receive(std::span<const std::byte> frame) = 0;
};

// All members belong to the event loop that the network was made with, which is the device's as well.
class Network {
 public:
  virtual ~Network() = default;

  // Null: nothing is plugged in, and frames for the guest are lost.
  virtual void connect(FrameReceiver* receiver) = 0;
  // A frame from the guest, with all checksums right and at most the MTU and an Ethernet header long; but an
  // IPv4 packet with TCP may be up to 65535 bytes, as if it had been put together from segments.
  virtual void transmit(std::span<const std::byte> frame) = 0;

  // While the guest stands still, time stands still for its connections.
  virtual void pause() = 0;
  virtual void resume() = 0;
};

}  // namespace alcove::network
