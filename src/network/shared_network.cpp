#include "network/shared_network.h"

#include <utility>

#include "network/datagram_port.h"
#include "network/dhcp_options.h"
#include "network/name_service.h"
#include "network/shared_addresses.h"
#include "spec/internet.h"

namespace alcove::network {

namespace wire = spec::internet;

std::vector<std::byte> without_other_address(Bytes frame, uint32_t address) {
  const auto packet = parse(frame);
  if (!packet || packet->type != wire::kTypeIpv4 || packet->protocol != wire::kProtocolUdp ||
      load16(packet->transport, wire::kUdpDestinationPort) != wire::kDhcpServerPort) {
    return {};
  }
  const Bytes message = packet->transport.subspan(wire::kUdpSize);
  if (message.size() < wire::kDhcpOptions) return {};
  std::vector<std::byte> changed;
  const auto judge = [&](size_t at) {
    if (load32(message, at) == address) return;
    if (changed.empty()) changed.assign(frame.begin(), frame.end());
    const auto datagram = std::span(changed).last(packet->transport.size());
    store16(datagram, wire::kUdpSize + at, 0xffff);
    store16(datagram, wire::kUdpSize + at + 2, 0xffff);
    store16(datagram, wire::kUdpChecksum, 0);  // None.
  };
  // libslirp takes the last of the options, a long one, too, and the client's own address where there is
  // none.
  if (load32(message, wire::kDhcpClientAddress) != 0) judge(wire::kDhcpClientAddress);
  for_each_dhcp_option(message, [&](const DhcpOption& option) {
    if (option.code == wire::kDhcpOptionRequestedAddress && option.length >= 4) judge(option.at);
  });
  return changed;
}

SharedNetwork::SharedNetwork(SharedNetworkOptions options, std::unique_ptr<NatNetwork> nat,
                             std::unique_ptr<CableNetwork> link)
    : options_(std::move(options)),
      guard_(options_.mac_address, options_.addresses),
      nat_(std::move(nat)),
      link_(std::move(link)) {}

Result<std::unique_ptr<SharedNetwork>> SharedNetwork::create(exec::EventLoop& loop, UniqueFd link,
                                                             SharedNetworkOptions options) {
  auto nat = NatNetwork::create(loop, {.mac_address = options.mac_address,
                                       .addresses = options.addresses,
                                       .wishes = options.wishes,
                                       .port_forwards = options.port_forwards,
                                       .addresses_changed = options.addresses_changed});
  if (!nat) return std::unexpected(std::move(nat.error()));
  auto cable = std::make_unique<CableNetwork>(
      loop, std::make_unique<DatagramPort>(std::move(link), (*nat)->mtu()),
      CableOptions{.mac_address = options.mac_address, .addresses_changed = {}, .failed = options.failed});
  return std::unique_ptr<SharedNetwork>(
      new SharedNetwork(std::move(options), *std::move(nat), std::move(cable)));
}

void SharedNetwork::connect(FrameReceiver* receiver) {
  receiver_ = receiver;
  nat_->connect(receiver);
  link_->connect(receiver);
}

void SharedNetwork::pause() {
  nat_->pause();
  link_->pause();
}

void SharedNetwork::resume() {
  nat_->resume();
  link_->resume();
}

// A member's name is the switch's to tell. Where nothing but the network is reached, there are no other
// names: saying so spares the guest to wait for an answer.
bool SharedNetwork::answer_or_ask(Bytes frame) {
  const PrivateNetwork& wishes = options_.wishes;
  const Bytes message = wishes.dns_proxy ? dns_query(frame, options_.addresses) : Bytes();
  const auto question = message.empty() ? std::nullopt : parse_dns_question(message);
  if (!question) return false;
  if (local_host(*question, options_.addresses.domain)) {
    link_->transmit(frame, 0);
    return true;
  }
  if (wishes.nat44 || wishes.nat66) return false;
  const auto answer = dns_answer_frame(frame, dns_answer(message, *question, std::nullopt));
  if (receiver_) receiver_->receive(answer, Checksums::right);
  return true;
}

// NAT takes all addresses of the network for the host; they are other guests'.
bool SharedNetwork::is_beside_host(Bytes frame) const {
  const auto packet = parse(frame);
  if (!packet || packet->type != wire::kTypeIpv4 || packet->network.empty()) return false;
  const NatAddresses& own = options_.addresses;
  const uint32_t destination = load32(packet->network, wire::kIpv4Destination);
  return (destination & own.mask) == own.network && destination != own.host() &&
         destination != own.name_server() && destination != (own.network | ~own.mask);
}

void SharedNetwork::to_nat(Bytes frame, size_t segment_size) {
  if (is_beside_host(frame)) return;
  const auto changed = without_other_address(frame, options_.addresses.guest);
  nat_->transmit(changed.empty() ? frame : Bytes(changed), segment_size);
}

void SharedNetwork::transmit(Bytes frame, size_t segment_size) {
  if (!guard_.judge(frame).honest) return;
  if (is_to_host(frame)) {
    if (answer_or_ask(frame)) return;
    return to_nat(frame, segment_size);
  }
  if (is_to_group(frame)) to_nat(frame, segment_size);
  if (options_.reaches_peers) link_->transmit(frame, segment_size);
}

}  // namespace alcove::network
