#include "network/filtered_network.h"

namespace alcove::network {

FilteredNetwork::FilteredNetwork(std::unique_ptr<Network> network, const std::vector<NetworkRule>& rules)
    : rules_(rules), network_(std::move(network)) {}

FilteredNetwork::~FilteredNetwork() = default;

void FilteredNetwork::connect(FrameReceiver* receiver) {
  receiver_ = receiver;
  network_->connect(receiver ? this : nullptr);
}

void FilteredNetwork::transmit(Bytes frame, size_t segment_size) {
  if (rules_.allows(frame)) network_->transmit(frame, segment_size);
}

void FilteredNetwork::receive(Bytes frame, Checksums checksums) {
  rules_.see_to_guest(frame);
  if (receiver_) receiver_->receive(frame, checksums);
}

}  // namespace alcove::network
