#include "network/nat_network.h"

#include <fmt/format.h>

#include <algorithm>

#include "network/nat_destinations.h"
#include "spec/internet.h"
#include "support/descriptor_budget.h"

namespace alcove::network {

namespace wire = spec::internet;

namespace {

constexpr std::chrono::milliseconds kNotificationDelay{100};
// Each may come to hold some 256 KiB, and of TCP more where a guest sends small segments out of their order:
// each is kept in a buffer of the MTU's size.
constexpr size_t kMostSockets = 1024;

// libslirp keeps parts of datagrams for so long, each in a buffer of the MTU's size; so many bytes of these.
constexpr std::chrono::seconds kPartsKept{30};
constexpr size_t kMostOfParts = 64 << 20;

// By all the guest's cards.
size_t socket_limit() {
  return std::min(kMostSockets, descriptor_budget(DescriptorUser::networks));
}

bool may_open_socket(const Packet& packet) {
  if (packet.protocol != wire::kProtocolTcp) return packet.type != wire::kTypeArp;
  const uint8_t flags = load8(packet.transport, wire::kTcpFlags);
  return (flags & (wire::kTcpSyn | wire::kTcpAck)) == wire::kTcpSyn;
}

std::optional<Uplink> uplink_of(const NatOptions& options) {
  const std::string& interface = options.wishes.external_interface;
  return interface.empty() ? std::nullopt
                           : std::optional<Uplink>(std::in_place, interface, options.addresses);
}

}  // namespace

NatNetwork::NatNetwork(exec::EventLoop& loop, NatOptions options)
    : loop_(loop),
      options_(std::move(options)),
      socket_limit_(socket_limit()),
      switches_(options_.wishes, options_.addresses),
      stack_(std::make_unique<SlirpStack>(loop, options_.addresses, options_.wishes.dhcp, uplink_of(options_),
                                          [this](Bytes frame) { to_guest(frame); })),
      addresses_(options_.mac_address) {}

Result<std::unique_ptr<NatNetwork>> NatNetwork::create(exec::EventLoop& loop, NatOptions options) {
  if (const std::string& interface = options.wishes.external_interface; !interface.empty()) {
    if (auto usable = Uplink::check(interface); !usable) return std::unexpected(std::move(usable.error()));
  }
  std::unique_ptr<NatNetwork> network;
  loop.call([&] { network.reset(new NatNetwork(loop, std::move(options))); });
  const auto& forwards = network->options_.port_forwards;
  for (size_t i = 0; i < forwards.size(); ++i) {
    if (auto added = network->add_forward(forwards[i]); !added) {
      Error error = std::move(added).error();
      error.where = fmt::format("port_forwards[{}].{}", i, error.where);
      return std::unexpected(std::move(error));
    }
  }
  return network;
}

NatNetwork::~NatNetwork() {
  loop_.call([this] {
    receiver_ = nullptr;
    if (notification_) loop_.cancel(*notification_);
    stack_.reset();
  });
}

// What libslirp is shown: the few kinds of frame it is for, and nothing longer than such a guest would send.
bool NatNetwork::admissible(const Packet& packet, Bytes frame) const {
  if (packet.network.empty()) return false;
  if (packet.type != wire::kTypeArp && packet.type != wire::kTypeIpv4 && packet.type != wire::kTypeIpv6) {
    return false;
  }
  const bool may_be_large = packet.type == wire::kTypeIpv4 && packet.protocol == wire::kProtocolTcp;
  const size_t most = wire::kEthernetSize + (may_be_large ? 65535 : mtu());
  if (frame.size() > most || !is_nat_destination(packet, options_.addresses) || !switches_.admits(packet))
    return false;
  return SlirpStack::socket_count() < socket_limit_ || !may_open_socket(packet);
}

bool NatNetwork::may_keep(const Packet& packet) {
  if (!packet.fragment) return true;
  const auto now = exec::Clock::now();
  if (now - parts_since_ >= kPartsKept) {
    parts_since_ = now;
    parts_kept_ = 0;
  }
  if (parts_kept_ >= kMostOfParts / mtu()) return false;
  ++parts_kept_;
  return true;
}

void NatNetwork::transmit(Bytes frame, size_t) {
  const auto packet = parse(frame);
  if (!packet || !admissible(*packet, frame) || !may_keep(*packet)) {
    ++refused_frames_;
    return;
  }
  if (addresses_.see_from_guest(frame)) addresses_changed();
  stack_->input(*packet, frame);
}

void NatNetwork::to_guest(Bytes frame) {
  std::vector<std::byte> changed;
  if (!switches_.passes(frame, changed)) return;
  if (!changed.empty()) frame = changed;
  if (addresses_.see_to_guest(frame)) addresses_changed();
  if (receiver_) receiver_->receive(frame, Checksums::right);
}

void NatNetwork::addresses_changed() {
  if (notification_ || !options_.addresses_changed) return;
  notification_ = loop_.call_at(exec::Clock::now() + kNotificationDelay, [this] {
    notification_.reset();
    options_.addresses_changed();
  });
}

Result<PortForward> NatNetwork::add_forward(const PortForward& forward) {
  Result<PortForward> result;
  loop_.call([&] {
    result = stack_->listen(forward);
    if (result) forwards_.push_back(*result);
  });
  return result;
}

Result<> NatNetwork::remove_forward(const PortForward& forward) {
  Result<> result;
  loop_.call([&] {
    if (std::erase(forwards_, forward) == 0 || !stack_->unlisten(forward)) {
      result = fail(
          ErrorCode::network_error, "host_port",
          fmt::format("port {} of {} is not forwarded like that", forward.host_port, forward.host_address),
          "give it as port_forwards() lists it");
    }
  });
  return result;
}

std::vector<PortForward> NatNetwork::forwards() const {
  std::vector<PortForward> result;
  loop_.call([&] { result = forwards_; });
  return result;
}

std::vector<std::string> NatNetwork::addresses() const {
  std::vector<std::string> result;
  loop_.call([&] { result = addresses_.list(); });
  return result;
}

uint64_t NatNetwork::refused_frames() const {
  uint64_t result = 0;
  loop_.call([&] { result = refused_frames_; });
  return result;
}

}  // namespace alcove::network
