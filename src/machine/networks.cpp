#include "machine/networks.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "control/network_messages.h"
#include "devices/net/net.h"
#include "network/cable_network.h"
#include "network/datagram_port.h"
#include "network/filtered_network.h"
#include "network/nat_network.h"
#include "network/shared_network.h"
#include "network/stream_port.h"
#include "network/tap_port.h"

namespace alcove::machine {

namespace {

// As large as passt takes: one frame of the guest's is one system call.
constexpr uint16_t kPasstMtu = 65520;

// The switch's answer, which is there already.
Result<network::NatAddresses> read_addresses(int link, const std::string& field) {
  std::string text(control::kLargestNetworkMessage, 0);
  ssize_t size;
  do {
    size = ::recv(link, text.data(), text.size(), MSG_DONTWAIT);
  } while (size < 0 && errno == EINTR);
  if (size <= 0) return fail(ErrorCode::network_error, field, "the network's process does not answer");
  return control::addresses_from_text(std::string_view(text).substr(0, static_cast<size_t>(size)));
}

}  // namespace

// All that is not constant belongs to the loop's thread.
class Networks::Cable final : public NetworkControl {
 public:
  Cable(size_t index, const VirtioNetworkDeviceConfiguration& card, exec::EventLoop& loop,
        MachineObserver& observer)
      : index_(index), mac_address_(card.mac_address), rules_(card.rules), loop_(loop), observer_(observer) {}
  ~Cable() override {
    loop_.call([this] {
      alive_.reset();
      network_.reset();
    });
  }

  // Makes what is to be plugged in, without doing so.
  Result<> make(const NetworkDeviceAttachment& attachment, Descriptors& descriptors,
                const std::string& field) {
    auto made =
        std::visit([&](const auto& kind) { return make_network(kind, descriptors, field); }, attachment);
    if (!made) {
      if (!made.error().where.starts_with(field))
        made.error().where = field + (made.error().where.empty() ? "" : ".") + made.error().where;
      return std::unexpected(std::move(made.error()));
    }
    loop_.call([&] {
      made_ = *std::move(made);
      if (!rules_.empty()) made_ = std::make_unique<network::FilteredNetwork>(std::move(made_), rules_);
    });
    return {};
  }
  uint16_t mtu() const { return made_->mtu(); }
  void set_card(devices::net::Net& card) { card_ = &card; }
  // What was made; nothing otherwise.
  void plug() {
    loop_.call([this] {
      ++generation_;
      card_->plug(made_.get());
      network_ = std::move(made_);
      if (generation_ > 1) observer_.on_addresses_changed(index_);
    });
  }

  Result<PortForward> add_forward(const PortForward& forward) override {
    Result<PortForward> result = unplugged();
    loop_.call([&] {
      if (network_) result = network_->add_forward(forward);
    });
    return result;
  }
  Result<> remove_forward(const PortForward& forward) override {
    Result<> result = unplugged();
    loop_.call([&] {
      if (network_) result = network_->remove_forward(forward);
    });
    return result;
  }
  std::vector<PortForward> forwards() const override {
    std::vector<PortForward> result;
    loop_.call([&] {
      if (network_) result = network_->forwards();
    });
    return result;
  }
  std::vector<std::string> addresses() const override {
    std::vector<std::string> result;
    loop_.call([&] {
      if (network_) result = network_->addresses();
    });
    return result;
  }

  NetworkDeviceStatistics statistics() const override { return card_->statistics(); }

 private:
  using Made = Result<std::unique_ptr<network::Network>>;

  static std::unexpected<Error> unplugged() {
    return fail(ErrorCode::not_supported, "attachment", "the cable is not plugged in");
  }
  std::function<void()> addresses_changed() {
    return [this] { observer_.on_addresses_changed(index_); };
  }
  // Of what is made next.
  std::function<void(Error)> failed() {
    return [this, alive = std::weak_ptr(alive_), generation = generation_ + 1](Error error) {
      if (alive.expired() || generation != generation_) return;
      card_->plug(nullptr);
      network_.reset();
      error.where = fmt::format("network_devices[{}].{}", index_, error.where);
      observer_.on_network_error(index_, std::move(error));
    };
  }
  network::CableOptions options() {
    return {.mac_address = mac_address_, .addresses_changed = addresses_changed(), .failed = failed()};
  }

  Made make_network(const NATNetworkDeviceAttachment& nat, Descriptors&, const std::string&) {
    return network::NatNetwork::create(loop_, {.mac_address = mac_address_,
                                               .addresses = network::with_wishes({}, nat.network),
                                               .wishes = nat.network,
                                               .port_forwards = nat.port_forwards,
                                               .addresses_changed = addresses_changed()});
  }
  Made make_network(const FileHandleNetworkDeviceAttachment& attachment, Descriptors& descriptors,
                    const std::string& field) {
    const auto mtu = static_cast<uint16_t>(attachment.maximum_transmission_unit);
    return make_cable(std::make_unique<network::DatagramPort>(descriptors.take(field + ".file_handle"), mtu));
  }
  Made make_network(const TapNetworkDeviceAttachment&, Descriptors& descriptors, const std::string& field) {
    const std::string handle = field + ".file_handle";
    auto port = network::TapPort::create(descriptors.take(handle), handle);
    if (!port) return std::unexpected(std::move(port.error()));
    return make_cable(*std::move(port));
  }
  Made make_network(const PasstNetworkDeviceAttachment&, Descriptors& descriptors, const std::string& field) {
    return make_cable(std::make_unique<network::StreamPort>(descriptors.take(field + ".socket"), kPasstMtu));
  }
  Made make_network(const SharedNetworkDeviceAttachment& attachment, Descriptors& descriptors,
                    const std::string& field) {
    UniqueFd link = descriptors.take(field + ".socket");
    auto addresses = read_addresses(link.get(), field);
    if (!addresses) return std::unexpected(std::move(addresses.error()));
    return network::SharedNetwork::create(loop_, std::move(link),
                                          {.mac_address = mac_address_,
                                           .addresses = *std::move(addresses),
                                           .reaches_peers = attachment.reaches_peers,
                                           .wishes = attachment.network,
                                           .port_forwards = attachment.port_forwards,
                                           .addresses_changed = addresses_changed(),
                                           .failed = failed()});
  }
  std::unique_ptr<network::Network> make_cable(std::unique_ptr<network::FramePort> port) {
    return std::make_unique<network::CableNetwork>(loop_, std::move(port), options());
  }

  const size_t index_;
  const MACAddress mac_address_;
  const std::vector<NetworkRule> rules_;
  exec::EventLoop& loop_;
  MachineObserver& observer_;
  devices::net::Net* card_ = nullptr;
  std::unique_ptr<network::Network> network_, made_;
  uint64_t generation_ = 0;  // Of what is plugged in.
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

Networks::Networks() = default;
Networks::~Networks() = default;

Result<std::unique_ptr<virtio::Device>> Networks::make_device(
    const VirtioNetworkDeviceConfiguration& configuration, Descriptors& descriptors, exec::EventLoop& loop,
    MachineObserver& observer) {
  const size_t index = cables_.size();
  const std::string field = fmt::format("network_devices[{}].attachment", index);
  if (!configuration.attachment)
    return fail(ErrorCode::invalid_virtual_machine_configuration, field, "is missing");
  auto cable = std::make_unique<Cable>(index, configuration, loop, observer);
  if (auto made = cable->make(*configuration.attachment, descriptors, field); !made)
    return std::unexpected(std::move(made.error()));
  auto card = std::make_unique<devices::net::Net>(
      loop, devices::net::NetOptions{.mac_address = configuration.mac_address, .mtu = cable->mtu()});
  cable->set_card(*card);
  cable->plug();
  cables_.push_back(std::move(cable));
  return card;
}

Result<> Networks::attach(size_t device, const std::optional<NetworkDeviceAttachment>& attachment,
                          Descriptors descriptors) {
  if (device >= cables_.size())
    return fail(ErrorCode::invalid_virtual_machine_configuration, fmt::format("network_devices[{}]", device),
                "there is no such device");
  Cable& cable = *cables_[device];
  if (attachment) {
    if (auto made = cable.make(*attachment, descriptors, "attachment"); !made) return made;
  }
  cable.plug();
  return {};
}

NetworkControl& Networks::control(size_t device) {
  return *cables_[device];
}

}  // namespace alcove::machine
