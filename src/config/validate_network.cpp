#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "config/validate.h"
#include "support/ip_prefix.h"
#include "support/program.h"

namespace alcove {
namespace config {
namespace {

constexpr uint32_t kSmallestUnit = 1500, kLargestUnit = 65535;
// IPv6 does not do with less; libslirp not with more.
constexpr uint32_t kSmallestPrivateUnit = 1280, kLargestPrivateUnit = 65520;
constexpr size_t kLongestNetworkName = 32, kLongestHostName = 63;

int socket_option(int socket, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(socket, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

bool has_only(std::string_view text, std::string_view others) {
  return std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           others.find(c) != others.npos;
  });
}

uint32_t number_of(const IPPrefix& prefix) {
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) number = number << 8 | prefix.address[i];
  return number;
}
uint32_t mask_of(const IPPrefix& subnet) {
  return ~uint32_t{0} << (32 - subnet.length);
}
// Not of those that mean a host itself, or many.
bool is_subnet(const IPPrefix& prefix) {
  const uint8_t first = prefix.address[0];
  return !prefix.is_ipv6 && prefix.length >= 8 && prefix.length <= 28 && first != 0 && first != 127 &&
         first < 224;
}
bool is_guests_prefix(const IPPrefix& prefix) {
  const bool is_link_local = prefix.address[0] == 0xfe && (prefix.address[1] & 0xc0) == 0x80;
  return prefix.is_ipv6 && prefix.length == 64 && prefix.address[0] != 0 && prefix.address[0] != 0xff &&
         !is_link_local;
}

bool is_ipv6(const std::string& text) {
  in6_addr parsed{};
  return ::inet_pton(AF_INET6, text.c_str(), &parsed) == 1;
}

bool is_address(const std::string& text) {
  in_addr parsed{};
  return ::inet_pton(AF_INET, text.c_str(), &parsed) == 1 || is_ipv6(text);
}

bool is_any_ipv6(const std::string& text) {
  in6_addr parsed{};
  return ::inet_pton(AF_INET6, text.c_str(), &parsed) == 1 && IN6_IS_ADDR_UNSPECIFIED(&parsed);
}

class NetworkValidator {
 public:
  explicit NetworkValidator(Problems& problems) : problems_(problems) {}

  void validate(const VirtioNetworkDeviceConfiguration& device, const std::string& where) {
    validate(device.mac_address, where + ".mac_address");
    for (size_t index = 0; index < device.rules.size(); ++index)
      validate(device.rules[index], fmt::format("{}.rules[{}]", where, index));
    if (!device.attachment) {
      return problems_.add(where + ".attachment", "there is none", "set a NATNetworkDeviceAttachment");
    }
    validate(*device.attachment, where + ".attachment");
  }

  void validate(const NetworkDeviceAttachment& attachment, const std::string& where) {
    std::visit([&](const auto& kind) { validate_kind(kind, where); }, attachment);
  }

 private:
  void validate(const MACAddress& address, const std::string& where) {
    if (address == MACAddress()) {
      problems_.add(where, "is all zeros", "take MACAddress::random_locally_administered()");
      return;
    }
    if (!address.is_unicast()) {
      problems_.add(where, fmt::format("{} is a multicast address", address.string()),
                    "the first byte of a device's address is even");
    }
    const auto [other, is_first] = addresses_.try_emplace(address, where);
    if (!is_first) {
      problems_.add(where, fmt::format("{} is also that of {}", address.string(), other->second),
                    "each device needs its own");
    }
  }

  void validate(const NetworkRule& rule, const std::string& where) {
    if (!rule.destination.empty() && !IPPrefix::parse(rule.destination))
      problems_.add(where + ".destination", fmt::format("\"{}\" is no block of addresses", rule.destination),
                    "\"10.0.0.0/8\", \"2001:db8::/32\" or one address, with zeroes behind the prefix");
    if (rule.first_port == 0 && rule.last_port == 0) return;
    if (!rule.protocol) {
      problems_.add(where + ".protocol", "is not set, and only TCP and UDP have ports", "tcp or udp");
    } else if (rule.first_port == 0 || (rule.last_port != 0 && rule.last_port < rule.first_port)) {
      problems_.add(where + ".first_port",
                    fmt::format("{} to {} is no range", rule.first_port, rule.last_port),
                    "set both, the smaller one first, or first_port alone");
    }
  }

  void validate_kind(const NATNetworkDeviceAttachment& nat, const std::string& where) {
    validate(nat.port_forwards, where);
    validate_guests(nat.port_forwards, where);
    PrivateNetwork network = nat.network;
    // A shared network's is known once it is there.
    if (network.ipv4_subnet.empty()) network.ipv4_subnet = "10.0.2.0/24";
    validate(network, where + ".network");
  }

  void validate_kind(const FileHandleNetworkDeviceAttachment& attachment, const std::string& where) {
    const int handle = attachment.file_handle;
    const std::string field = where + ".file_handle";
    const int type = socket_option(handle, SO_TYPE);
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    if (::fcntl(handle, F_GETFD) < 0) {
      problems_.add(field, fmt::format("{} is not an open file descriptor", handle),
                    "take one end of a socketpair(2)");
    } else if (socket_option(handle, SO_DOMAIN) != AF_UNIX ||
               (type != SOCK_DGRAM && type != SOCK_SEQPACKET)) {
      problems_.add(field, fmt::format("file descriptor {} is no UNIX datagram socket", handle),
                    "take one of type SOCK_DGRAM or SOCK_SEQPACKET");
    } else if (::getpeername(handle, reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
      problems_.add(field, fmt::format("the socket {} is not connected", handle), "connect(2) it");
    }
    const uint32_t unit = attachment.maximum_transmission_unit;
    if (unit < kSmallestUnit || unit > kLargestUnit)
      problems_.add(where + ".maximum_transmission_unit", fmt::format("is {}", unit),
                    fmt::format("{} to {}", kSmallestUnit, kLargestUnit));
  }

  void validate_kind(const TapNetworkDeviceAttachment& tap, const std::string& where) {
    const std::string& name = tap.interface_name;
    if (name.empty() == (tap.file_handle < 0)) {
      problems_.add(where + (name.empty() ? "" : ".file_handle"),
                    name.empty() ? "names no interface" : "is set beside interface_name",
                    "set one of interface_name and file_handle");
    } else if (!name.empty() && ::if_nametoindex(name.c_str()) == 0) {
      problems_.add(
          where + ".interface_name", fmt::format("the host has no interface {}", name),
          fmt::format("have it made: sudo ip tuntap add {0} mode tap user $USER && sudo ip link set "
                      "{0} up",
                      name.size() < IFNAMSIZ ? name : "tap0"));
    } else if (name.empty()) {
      ifreq interface{};
      if (::ioctl(tap.file_handle, TUNGETIFF, &interface) != 0 || !(interface.ifr_flags & IFF_TAP) ||
          !(interface.ifr_flags & IFF_NO_PI)) {
        problems_.add(where + ".file_handle",
                      fmt::format("file descriptor {} is no open tap interface", tap.file_handle),
                      "open /dev/net/tun, with IFF_TAP | IFF_NO_PI, or a macvtap's /dev/tapN");
      }
    }
  }

  void validate_kind(const PasstNetworkDeviceAttachment& passt, const std::string& where) {
    if (passt.program.empty() && !find_in_path("passt")) {
      problems_.add(where, "the program passt is not installed", "sudo apt install passt");
    } else if (!passt.program.empty() && ::access(passt.program.c_str(), X_OK) != 0) {
      problems_.add(where + ".program", fmt::format("{} can't be run", passt.program.string()),
                    "name the program passt");
    }
    validate(passt.port_forwards, where);
    for (size_t index = 0; index < passt.port_forwards.size(); ++index) {
      const std::string field = fmt::format("{}.port_forwards[{}]", where, index);
      if (passt.port_forwards[index].host_port == 0)
        problems_.add(field + ".host_port", "is 0, and passt does not choose one", "1 to 65535");
      if (!passt.port_forwards[index].guest_address.empty())
        problems_.add(field + ".guest_address", "is set, and passt knows one guest", "leave it empty");
    }
  }

  void validate_kind(const SharedNetworkDeviceAttachment& network, const std::string& where) {
    const std::string& name = network.network_name;
    if (name.empty() || name.size() > kLongestNetworkName || !has_only(name, "-_"))
      problems_.add(where + ".network_name", fmt::format("\"{}\" is no name of a network", name),
                    fmt::format("letters, digits, '-' and '_', at most {}", kLongestNetworkName));
    const std::string& host = network.host_name;
    if (!host.empty() && (host.size() > kLongestHostName || !has_only(host, "-") || host.starts_with('-') ||
                          host.ends_with('-')))
      problems_.add(where + ".host_name", fmt::format("\"{}\" is no host name", host),
                    fmt::format("letters, digits and '-', at most {}", kLongestHostName));
    validate(network.port_forwards, where);
    validate_guests(network.port_forwards, where);
    validate(network.network, where + ".network");
  }

  void validate(const PrivateNetwork& network, const std::string& where) {
    const auto subnet = IPPrefix::parse(network.ipv4_subnet);
    if (!network.ipv4_subnet.empty() && (!subnet || !is_subnet(*subnet)))
      problems_.add(where + ".ipv4_subnet",
                    fmt::format("\"{}\" is no subnet for guests", network.ipv4_subnet),
                    "8 to 28 bits, with zeroes behind them, e.g. \"10.9.0.0/24\" or \"192.168.77.0/24\"");
    const auto prefix = IPPrefix::parse(network.ipv6_prefix);
    if (!network.ipv6_prefix.empty() && (!prefix || !is_guests_prefix(*prefix)))
      problems_.add(where + ".ipv6_prefix",
                    fmt::format("\"{}\" is no prefix for guests", network.ipv6_prefix),
                    "64 bits of unicast addresses, e.g. \"fd00:9::/64\"");
    validate_address(network.ipv4_address, subnet, where + ".ipv4_address");
    const uint32_t unit = network.maximum_transmission_unit;
    if (unit != 0 && (unit < kSmallestPrivateUnit || unit > kLargestPrivateUnit))
      problems_.add(where + ".maximum_transmission_unit", fmt::format("is {}", unit),
                    fmt::format("{} to {}", kSmallestPrivateUnit, kLargestPrivateUnit));
    const std::string& interface = network.external_interface;
    if (!interface.empty() && ::if_nametoindex(interface.c_str()) == 0)
      problems_.add(where + ".external_interface", fmt::format("the host has no interface {}", interface),
                    "`ip link` shows those it has");
  }

  void validate_address(const std::string& text, const std::optional<IPPrefix>& subnet,
                        const std::string& where) {
    if (text.empty()) return;
    const auto address = IPPrefix::parse(text);
    if (!address || address->is_ipv6 || text.find('/') != text.npos)
      return problems_.add(where, fmt::format("\"{}\" is not an IPv4 address", text), "e.g. \"10.0.2.77\"");
    if (!subnet || !is_subnet(*subnet)) return;
    const uint32_t host = number_of(*address) & ~mask_of(*subnet);
    const bool is_in = (number_of(*address) & mask_of(*subnet)) == number_of(*subnet);
    if (!is_in || host == 0 || host == 2 || host == 3 || host == ~mask_of(*subnet))
      problems_.add(where, fmt::format("{} is no guest's address in the subnet", text),
                    "choose one in it, but not its first, .2, .3 or last");
  }

  void validate(const std::vector<PortForward>& forwards, const std::string& where) {
    for (size_t index = 0; index < forwards.size(); ++index)
      validate(forwards[index], fmt::format("{}.port_forwards[{}]", where, index));
  }

  // NAT knows a guest's IPv6 addresses no sooner than the guest sends from them.
  void validate_guests(const std::vector<PortForward>& forwards, const std::string& where) {
    for (size_t index = 0; index < forwards.size(); ++index) {
      const PortForward& forward = forwards[index];
      if (forward.protocol == TransportProtocol::udp && is_ipv6(forward.host_address) &&
          (forward.guest_address.empty() || is_any_ipv6(forward.guest_address)))
        problems_.add(fmt::format("{}.port_forwards[{}].guest_address", where, index),
                      "none is given, and over IPv6 datagrams are forwarded to a known one alone",
                      "name the guest's IPv6 address");
    }
  }

  void validate(const PortForward& forward, const std::string& where) {
    if (!is_address(forward.host_address)) {
      problems_.add(where + ".host_address", fmt::format("\"{}\" is not an IP address", forward.host_address),
                    "\"127.0.0.1\" is this host only, \"0.0.0.0\" everyone who reaches it");
    }
    if (!forward.guest_address.empty() && !is_address(forward.guest_address)) {
      problems_.add(where + ".guest_address",
                    fmt::format("\"{}\" is not an IP address", forward.guest_address),
                    "leave it empty for the address that the guest gets");
    }
    if (forward.guest_port == 0) problems_.add(where + ".guest_port", "is not set", "1 to 65535");
    if (forward.host_port == 0) return;
    const auto [other, is_first] =
        ports_.try_emplace({forward.protocol, forward.host_address, forward.host_port}, where);
    if (!is_first) {
      problems_.add(where + ".host_port",
                    fmt::format("{} {} is also forwarded by {}", to_string(forward.protocol),
                                forward.host_port, other->second),
                    "0 chooses a free one");
    }
  }

  Problems& problems_;
  std::map<MACAddress, std::string> addresses_;
  std::map<std::tuple<TransportProtocol, std::string, uint16_t>, std::string> ports_;
};

}  // namespace

void validate_network(const VirtualMachineConfiguration& configuration, Problems& problems) {
  NetworkValidator validator(problems);
  for (size_t index = 0; index < configuration.network_devices.size(); ++index) {
    validator.validate(std::get<VirtioNetworkDeviceConfiguration>(configuration.network_devices[index]),
                       fmt::format("network_devices[{}]", index));
  }
}

std::vector<Error> validate_network_attachment(const NetworkDeviceAttachment& attachment) {
  Problems problems;
  NetworkValidator(problems).validate(attachment, "attachment");
  return problems.take();
}

}  // namespace config

std::string describe(const NetworkDeviceAttachment& attachment) {
  struct Describer {
    std::string operator()(const NATNetworkDeviceAttachment&) const { return "nat"; }
    std::string operator()(const FileHandleNetworkDeviceAttachment&) const { return "file handle"; }
    std::string operator()(const TapNetworkDeviceAttachment& tap) const {
      return tap.interface_name.empty() ? "tap" : "tap=" + tap.interface_name;
    }
    std::string operator()(const PasstNetworkDeviceAttachment&) const { return "passt"; }
    std::string operator()(const SharedNetworkDeviceAttachment& network) const {
      return "network=" + network.network_name + (network.reaches_peers ? ",peers" : "");
    }
  };
  return std::visit(Describer{}, attachment);
}

}  // namespace alcove
