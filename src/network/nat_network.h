// The guest behind the host's address: TCP, UDP and IPv4's pings go out through ordinary sockets of the host.
#pragma once

#include <alcove/mac_address.h>
#include <alcove/network.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "exec/event_loop.h"
#include "network/guest_addresses.h"
#include "network/nat_switches.h"
#include "network/network.h"
#include "network/slirp_stack.h"

namespace alcove::network {

struct NatOptions {
  MACAddress mac_address;  // The guest's, by which its addresses are told from others'.
  NatAddresses addresses = {};
  PrivateNetwork wishes = {};  // Those that `addresses` has not fulfilled already.
  std::vector<PortForward> port_forwards;
  // Called on the loop after addresses() changed, at most ten times a second.
  std::function<void()> addresses_changed;
};

// The guest reaches what the host reaches, the host's own loopback services included, under 10.0.2.2 and
// fec0::2, and these by no other address. Frames of other kinds than ARP, IPv4 and IPv6 are lost.
class NatNetwork final : public Network {
 public:
  // The loop must run. On error `where` is the attachment's field, e.g. "port_forwards[1].host_port".
  static Result<std::unique_ptr<NatNetwork>> create(exec::EventLoop& loop, NatOptions options);
  ~NatNetwork() override;

  // Any thread. add_forward() gives the forward in effect, with the port chosen for host_port 0;
  // remove_forward() wants it so, and leaves connections alone.
  Result<PortForward> add_forward(const PortForward& forward) override;
  Result<> remove_forward(const PortForward& forward) override;
  std::vector<PortForward> forwards() const override;
  std::vector<std::string> addresses() const override;
  // Frames from the guest that went nowhere: of another kind, too long, to whom it may not address, or for
  // want of sockets or memory.
  uint64_t refused_frames() const;

  void connect(FrameReceiver* receiver) override { receiver_ = receiver; }
  void transmit(std::span<const std::byte> frame, size_t segment_size) override;
  uint16_t mtu() const override { return options_.addresses.mtu; }
  void pause() override { stack_->pause(); }
  void resume() override { stack_->resume(); }

 private:
  NatNetwork(exec::EventLoop& loop, NatOptions options);
  bool admissible(const Packet& packet, Bytes frame) const;
  bool may_keep(const Packet& packet);
  void to_guest(Bytes frame);
  void addresses_changed();

  exec::EventLoop& loop_;
  const NatOptions options_;
  const size_t socket_limit_;
  const NatSwitches switches_;
  // From here on the loop's thread only.
  std::unique_ptr<SlirpStack> stack_;
  FrameReceiver* receiver_ = nullptr;
  GuestAddresses addresses_;
  std::vector<PortForward> forwards_;
  uint64_t refused_frames_ = 0;
  exec::Clock::time_point parts_since_;
  size_t parts_kept_ = 0;  // Since then, at most.
  std::optional<exec::EventLoop::TimerId> notification_;
};

}  // namespace alcove::network
