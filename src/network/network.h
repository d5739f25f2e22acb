// The host's end of a network device's cable.
#pragma once

#include <alcove/network.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace alcove::network {

// What is known of the checksums in a frame: of IPv4, TCP, UDP and ICMP.
enum class Checksums {
  right,
  unknown,  // Whoever gets the frame looks itself.
};

// The device at the guest's end.
class FrameReceiver {
 public:
  virtual ~FrameReceiver() = default;
  // A frame for the guest. May not call transmit().
  virtual void receive(std::span<const std::byte> frame, Checksums checksums) = 0;
};

// All members belong to the event loop that the network was made with, which is the device's as well.
class Network {
 public:
  virtual ~Network() = default;

  // Null: nothing is plugged in, and frames for the guest are lost.
  virtual void connect(FrameReceiver* receiver) = 0;
  // A frame from the guest, with all checksums right and at most largest_frame(frame, mtu()) long; but an
  // IPv4 packet with TCP may be up to 65535 bytes, to be sent as segments with `segment_size` bytes of data
  // each: what the guest says, unless it is 0.
  virtual void transmit(std::span<const std::byte> frame, size_t segment_size) = 0;
  // The largest IP packet, in bytes: 68 to 65535. The same for the network's life.
  virtual uint16_t mtu() const { return 1500; }

  // While the guest stands still, time stands still for its connections.
  virtual void pause() = 0;
  virtual void resume() = 0;

  // What the guest uses, as GuestAddresses tells.
  virtual std::vector<std::string> addresses() const = 0;
  // NAT's; others have none, and the two that change them fail.
  virtual std::vector<PortForward> forwards() const { return {}; }
  virtual Result<PortForward> add_forward(const PortForward& forward);
  virtual Result<> remove_forward(const PortForward& forward);
};

}  // namespace alcove::network
