#include "service/network_service.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <utility>

#include "control/messages.h"
#include "control/network_messages.h"
#include "network/datagram_port.h"
#include "network/shared_addresses.h"

namespace alcove::service {

namespace {

void send(const UniqueFd& socket, const config::Json& message) {
  const std::string text = config::print_json(message);
  (void)::send(socket.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

// What the wishes ask of the network itself that it does not have.
std::optional<Error> conflict(const std::string& name, const network::NatAddresses& has,
                              const PrivateNetwork& wishes) {
  const network::NatAddresses wanted = network::with_wishes(has, wishes);
  const auto differs = [&](const char* field, const std::string& what) {
    return Error{ErrorCode::network_error, fmt::format("attachment.network.{}", field),
                 fmt::format("the network {} has {} already", name, what),
                 "the first machine on a network decides: leave it out, or end all that are on it"};
  };
  if (wanted.network != has.network || wanted.mask != has.mask)
    return differs("ipv4_subnet", subnet_text(has));
  if (wanted.prefix != has.prefix) return differs("ipv6_prefix", prefix_text(has));
  if (wanted.mtu != has.mtu)
    return differs("maximum_transmission_unit", fmt::format("an MTU of {}", has.mtu));
  return {};
}

}  // namespace

// A machine's cable, from the network's end.
class NetworkService::Member final : public network::FrameReceiver {
 public:
  Member(NetworkService& service, network::Switch::Port port, UniqueFd socket)
      : service_(service),
        port_(port),
        cable_(service.loop_,
               std::make_unique<network::DatagramPort>(std::move(socket), service.switch_.addresses().mtu),
               {.mac_address = {}, .addresses_changed = {}, .failed = [&service, port](const Error&) {
                  service.leave(port);
                }}) {
    cable_.connect(this);
  }
  void receive(std::span<const std::byte> frame, network::Checksums) override {
    service_.switch_.receive(port_, frame);
  }
  void transmit(std::span<const std::byte> frame) { cable_.transmit(frame, 0); }

 private:
  NetworkService& service_;
  const network::Switch::Port port_;
  network::CableNetwork cable_;
};

NetworkService::NetworkService(const std::string& name, UniqueFd listener, std::chrono::milliseconds patience)
    : name_(name),
      listener_(std::move(listener)),
      patience_(patience),
      switch_(network::shared_addresses(name), [this](network::Switch::Port port, network::Bytes frame) {
        if (const auto found = members_.find(port); found != members_.end()) found->second->transmit(frame);
      }) {
  loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { accept(); });
  end_if_idle();
}

NetworkService::~NetworkService() = default;

int NetworkService::run() {
  loop_.run();
  return 0;
}

void NetworkService::accept() {
  UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket || callers_.size() == kMostCallers) return;
  // Other users may not come this far: the folder is this user's. Should they, they get nothing.
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
      (peer.uid != ::geteuid() && peer.uid != 0)) {
    return;
  }
  const int descriptor = socket.get();
  const auto caller = callers_.insert(callers_.end(), {std::move(socket)});
  loop_.watch(descriptor, EPOLLIN, [this, caller](uint32_t) { hear(caller); });
}

void NetworkService::hear(std::list<Caller>::iterator caller) {
  std::string text(control::kLargestNetworkMessage, 0);
  const ssize_t size = ::recv(caller->socket.get(), text.data(), text.size(), MSG_DONTWAIT);
  if (size < 0 && (errno == EINTR || errno == EAGAIN)) return;
  loop_.unwatch(caller->socket.get());
  UniqueFd socket = std::move(caller->socket);
  callers_.erase(caller);
  text.resize(size > 0 ? static_cast<size_t>(size) : 0);
  const auto request = config::parse_json(text, "");
  if (request && control::text_of(*request, "request") == "list") {
    send(socket, description());
  } else if (request) {
    join(std::move(socket), *request);
  }
  end_if_idle();
}

void NetworkService::join(UniqueFd socket, const Json& request) {
  const auto refuse = [&](const Error& error) { send(socket, {{"error", control::to_json(error)}}); };
  const auto wish = control::join_request_from_json(request);
  if (!wish || wish->network != name_) {
    return refuse({ErrorCode::internal, "", "the network's process does not understand the machine's",
                   "end all machines on it, and try again"});
  }
  if (switch_.size() == 0) {
    network::NatAddresses first = network::with_wishes(network::shared_addresses(name_), wish->wishes);
    first.guest = 0;
    switch_.set_addresses(std::move(first));
  }
  if (const auto refusal = conflict(name_, switch_.addresses(), wish->wishes)) return refuse(*refusal);
  const auto port =
      switch_.join({.mac_address = wish->mac_address,
                    .host_name = wish->host_name,
                    .reaches_peers = wish->reaches_peers,
                    .address = network::address_from_text(wish->wishes.ipv4_address).value_or(0)});
  if (!port) return refuse(port.error());
  network::NatAddresses addresses = switch_.addresses();
  addresses.guest = switch_.address_of(*port);
  addresses.host_name = wish->host_name;
  send(socket, control::to_json(addresses));
  members_.emplace(*port, std::make_unique<Member>(*this, *port, std::move(socket)));
}

void NetworkService::leave(network::Switch::Port port) {
  switch_.leave(port);
  members_.erase(port);
  end_if_idle();
}

config::Json NetworkService::description() const {
  const network::NatAddresses& addresses = switch_.addresses();
  SharedNetwork result{.name = name_,
                       .subnet = network::subnet_text(addresses),
                       .ipv6_prefix = network::prefix_text(addresses),
                       .maximum_transmission_unit = addresses.mtu,
                       .members = {}};
  for (const network::SwitchMember& member : switch_.members())
    result.members.push_back({.mac_address = member.mac_address,
                              .host_name = member.host_name,
                              .address = network::address_text(member.address),
                              .reaches_peers = member.reaches_peers});
  return control::to_json(result);
}

void NetworkService::end_if_idle() {
  if (idle_) loop_.cancel(*std::exchange(idle_, std::nullopt));
  if (!members_.empty()) return;
  idle_ = loop_.call_at(exec::Clock::now() + patience_, [this] {
    idle_.reset();
    if (members_.empty()) end();
  });
}

// Whoever comes between this and the end of the process finds the connection closed, and starts another.
void NetworkService::end() {
  sockaddr_un address{};
  socklen_t size = sizeof address;
  if (::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
      size > offsetof(sockaddr_un, sun_path) && address.sun_path[0] != 0) {
    ::unlink(address.sun_path);
  }
  loop_.stop();
}

}  // namespace alcove::service
