// A network behind rules.
#pragma once

#include <memory>

#include "network/network.h"
#include "network/rules.h"

namespace alcove::network {

class FilteredNetwork final : public Network, FrameReceiver {
 public:
  FilteredNetwork(std::unique_ptr<Network> network, const std::vector<NetworkRule>& rules);
  ~FilteredNetwork() override;

  void connect(FrameReceiver* receiver) override;
  void transmit(Bytes frame, size_t segment_size) override;
  uint16_t mtu() const override { return network_->mtu(); }
  void pause() override { network_->pause(); }
  void resume() override { network_->resume(); }
  std::vector<std::string> addresses() const override { return network_->addresses(); }
  std::vector<PortForward> forwards() const override { return network_->forwards(); }
  Result<PortForward> add_forward(const PortForward& forward) override {
    return network_->add_forward(forward);
  }
  Result<> remove_forward(const PortForward& forward) override { return network_->remove_forward(forward); }

 private:
  void receive(Bytes frame, Checksums checksums) override;

  Rules rules_;
  FrameReceiver* receiver_ = nullptr;
  std::unique_ptr<Network> network_;
};

}  // namespace alcove::network
