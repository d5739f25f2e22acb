#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "network/cable_network.h"
#include "network/nat_network.h"
#include "network/source_guard.h"
#include "support/unique_fd.h"

namespace alcove::network {

struct SharedNetworkOptions {
  MACAddress mac_address;
  // What the switch chose.
  NatAddresses addresses;
  bool reaches_peers = false;
  PrivateNetwork wishes = {};  // Those that the switch has not fulfilled already.
  std::vector<PortForward> port_forwards;
  // As CableOptions has them.
  std::function<void()> addresses_changed;
  std::function<void(Error)> failed;
};

// A machine's part of a shared network: its way out is a NAT of its own, so that no machine stands in
// another's way there; frames for its peers, and questions for their names, go to the switch.
class SharedNetwork final : public Network {
 public:
  // `link` is a connection to the switch that has joined. The loop must run. Errors are NatNetwork's.
  static Result<std::unique_ptr<SharedNetwork>> create(exec::EventLoop& loop, UniqueFd link,
                                                       SharedNetworkOptions options);

  void connect(FrameReceiver* receiver) override;
  void transmit(Bytes frame, size_t segment_size) override;
  uint16_t mtu() const override { return nat_->mtu(); }
  void pause() override;
  void resume() override;
  std::vector<std::string> addresses() const override { return nat_->addresses(); }
  std::vector<PortForward> forwards() const override { return nat_->forwards(); }
  Result<PortForward> add_forward(const PortForward& forward) override { return nat_->add_forward(forward); }
  Result<> remove_forward(const PortForward& forward) override { return nat_->remove_forward(forward); }

 private:
  SharedNetwork(SharedNetworkOptions options, std::unique_ptr<NatNetwork> nat,
                std::unique_ptr<CableNetwork> link);
  bool answer_or_ask(Bytes frame);
  bool is_beside_host(Bytes frame) const;
  void to_nat(Bytes frame, size_t segment_size);

  const SharedNetworkOptions options_;
  const SourceGuard guard_;
  std::unique_ptr<NatNetwork> nat_;
  std::unique_ptr<CableNetwork> link_;
  FrameReceiver* receiver_ = nullptr;
};

// A DHCP message that asks for another address than `address`, as one that asks for what the server does not
// give: it would give the guest one of those that other guests have. Empty for any other frame.
std::vector<std::byte> without_other_address(Bytes frame, uint32_t address);

}  // namespace alcove::network
