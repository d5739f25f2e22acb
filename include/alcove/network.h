// Network devices, and what connects them on the host.
#pragma once

#include <alcove/mac_address.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace alcove {

enum class TransportProtocol { tcp, udp };

// Connections to a port of the host reach a port of the guest.
struct PortForward {
  TransportProtocol protocol = TransportProtocol::tcp;
  std::string host_address = "127.0.0.1";  // IPv4 or IPv6; "0.0.0.0" is every IPv4 address of the host.
  uint16_t host_port = 0;                  // 0: a free one is chosen; NetworkDevice tells which.
  std::string guest_address;               // Empty: the one that it got by DHCP. UDP over IPv6 needs one.
  uint16_t guest_port = 0;                 // 1 to 65535.

  bool operator==(const PortForward&) const = default;
};

// What the guest has of a network behind the host's address. Where a text is empty or a number 0, the network
// has what it has anyway.
struct PrivateNetwork {
  // "10.0.2.0/24", by default of NAT: 8 to 28 bits. The host is .2 in it, the name server .3.
  std::string ipv4_subnet;
  // "fec0::/64", by default of NAT: 64 bits. The host is ::2 in it, the name server ::3.
  std::string ipv6_prefix;
  // What DHCP gives to the guest's MAC address, and to no other; in the subnet.
  std::string ipv4_address;
  uint32_t maximum_transmission_unit = 0;  // The largest IP packet, in bytes: 1280 to 65520; by default 1500.
  // Of the host's, "eth0": what the guest sends to others than the host leaves by this interface or not at
  // all. By default each packet takes the way that the host's own take. The name server asks as the host
  // does.
  std::string external_interface;
  // False: the guest reaches no addresses of IPv4, or of IPv6, but those of the network itself. Both: the
  // name server knows nobody but peers.
  bool nat44 = true;
  bool nat66 = true;
  // False: there is no such service, and the guest is told of none.
  bool dhcp = true;
  bool dns_proxy = true;
  bool router_advertisement = true;

  bool operator==(const PrivateNetwork&) const = default;
};

// The guest is in a private network behind the host's address, with DHCP, DNS (the host's) and IPv6 where the
// host has it. Needs no rights. Other machines, and the host's own network, can't reach the guest but by
// port forwards.
struct NATNetworkDeviceAttachment {
  std::vector<PortForward> port_forwards;
  PrivateNetwork network;

  bool operator==(const NATNetworkDeviceAttachment&) const = default;
};

// Ethernet frames through a socket of the caller's: one datagram is one frame, from its destination address
// on, without a checksum. For networks of one's own, and to join two machines (socketpair(2)).
struct FileHandleNetworkDeviceAttachment {
  // A connected UNIX socket, SOCK_DGRAM or SOCK_SEQPACKET. It stays the caller's; VirtualMachine::create()
  // duplicates it. Its flags (O_NONBLOCK…) are left as they are. What the other end does not read in time is
  // kept, up to 2 MiB, then lost: give it a large SO_SNDBUF and SO_RCVBUF.
  int file_handle = -1;
  // The largest IP packet, in bytes: 1500 to 65535. Frames are 14 bytes longer, and 4 more for each of two
  // VLAN tags; those that are more so are lost.
  uint32_t maximum_transmission_unit = 1500;

  bool operator==(const FileHandleNetworkDeviceAttachment&) const = default;
};

// A tap or macvtap interface of the host: the guest is on the network that the interface belongs to, with
// whatever addresses that has. One of the two members is set.
struct TapNetworkDeviceAttachment {
  // One that exists, and that the caller may open ("ip tuntap add tap0 mode tap user $USER"). Opened at the
  // machine's start. Packets may be as large as its MTU.
  std::string interface_name;
  // Or an open one: /dev/net/tun after TUNSETIFF with IFF_TAP and IFF_NO_PI, with or without IFF_VNET_HDR, or
  // a macvtap's /dev/tapN. It stays the caller's, but becomes non-blocking, and belongs to one machine at a
  // time.
  int file_handle = -1;

  bool operator==(const TapNetworkDeviceAttachment&) const = default;
};

// The program passt(1), if it is installed: as NAT needs no rights, but the guest has the host's own address,
// and connections keep it.
struct PasstNetworkDeviceAttachment {
  std::filesystem::path program;  // Empty: the one in PATH.
  // `guest_address` has to be empty, `host_port` not 0.
  std::vector<PortForward> port_forwards;

  bool operator==(const PasstNetworkDeviceAttachment&) const = default;
};

// A network that machines of one user on this host share, by its name: there is one as long as a machine is
// on it. As with NAT the guest reaches what the host reaches. Its IPv4 address is the same whenever its MAC
// address is, unless two would have the same. Guests that both want to reach their peers do, and find each
// other by name; no others.
//
// Subnet, prefix and MTU are the same for all on a network: the first of them decides, and who wants another
// is refused. All else of `network` is this guest's.
struct SharedNetworkDeviceAttachment {
  std::string network_name;  // Letters, digits, '-' and '_', at most 32.
  // What peers find the guest by, as HOST and as HOST.NETWORK.internal: letters, digits and '-', at most 63.
  // Empty: none. Each machine on a network has another.
  std::string host_name;
  bool reaches_peers = false;
  std::vector<PortForward> port_forwards;
  PrivateNetwork network;

  bool operator==(const SharedNetworkDeviceAttachment&) const = default;
};

using NetworkDeviceAttachment =
    std::variant<NATNetworkDeviceAttachment, FileHandleNetworkDeviceAttachment, TapNetworkDeviceAttachment,
                 PasstNetworkDeviceAttachment, SharedNetworkDeviceAttachment>;

// "nat", "tap=tap0", "passt", "network=lab", "file handle"; for people.
std::string describe(const NetworkDeviceAttachment& attachment);

enum class NetworkRuleAction { allow, deny };

// Whom a guest may address, see VirtioNetworkDeviceConfiguration::rules.
struct NetworkRule {
  NetworkRuleAction action = NetworkRuleAction::deny;
  // "10.0.0.0/8", "2001:db8::/32", or one address. Empty: any.
  std::string destination;
  // Neither: all, pings too.
  std::optional<TransportProtocol> protocol;
  // Of the other side; with a protocol only. 0 for the first: all; for the last: the first one only.
  uint16_t first_port = 0;
  uint16_t last_port = 0;

  bool operator==(const NetworkRule&) const = default;
};

// A virtio network card.
struct VirtioNetworkDeviceConfiguration {
  // Random by default: set it for a machine that is to keep its address. Unicast, not all zero.
  MACAddress mac_address = MACAddress::random_locally_administered();
  std::optional<NetworkDeviceAttachment> attachment;  // Required.
  // Whom the guest may address, whatever the attachment: the first rule that fits decides, and what none fits
  // is allowed. They count for the network's own name server and for the host, too, by their addresses in the
  // guest's network (10.0.2.3 and 10.0.2.2 with NAT). Answers to what reached the guest are always allowed,
  // and so are ARP, asking for an address by DHCP, and IPv6's neighbour discovery. Where there are rules,
  // frames are lost that are neither of these nor IP, and packets with IPv4 options or IPv6 extension
  // headers.
  std::vector<NetworkRule> rules;

  bool operator==(const VirtioNetworkDeviceConfiguration&) const = default;
};

using NetworkDeviceConfiguration = std::variant<VirtioNetworkDeviceConfiguration>;

// What has gone over a network device's cable since the machine's start, as the guest counts it: a large
// segment that is cut on the host, or was put together there, is one frame.
struct NetworkDeviceStatistics {
  uint64_t sent_frames = 0;  // By the guest; those that rules stop included.
  uint64_t sent_bytes = 0;   // Ethernet's headers included.
  uint64_t received_frames = 0;
  uint64_t received_bytes = 0;
  uint64_t dropped_sent_frames = 0;      // Malformed, or with the cable unplugged.
  uint64_t dropped_received_frames = 0;  // For want of the guest's buffers.

  bool operator==(const NetworkDeviceStatistics&) const = default;
};

// An interface of the host that a machine can share at layer 2: by a macvtap interface on it, or, if it is a
// bridge, by a tap interface that belongs to it. Making either needs the administrator.
struct BridgedNetworkInterface {
  std::string identifier;    // "eth0"
  std::string display_name;  // "Ethernet (e1000e)"
  MACAddress mac_address;
  bool has_link = false;
  // Access points take frames of one address only, so that most wireless interfaces are no good for this.
  bool is_wireless = false;

  // Those of this host, by their names.
  static std::vector<BridgedNetworkInterface> list();

  bool operator==(const BridgedNetworkInterface&) const = default;
};

// A network of SharedNetworkDeviceAttachments as it is at a moment.
struct SharedNetwork {
  struct Member {
    MACAddress mac_address;
    std::string host_name;  // May be empty.
    std::string address;    // IPv4.
    bool reaches_peers = false;

    bool operator==(const Member&) const = default;
  };
  std::string name;
  std::string subnet;       // "10.77.0.0/16"
  std::string ipv6_prefix;  // "fd12:3456:789a::/64"
  uint32_t maximum_transmission_unit = 1500;
  std::vector<Member> members;

  // Those of this user, by their names.
  static std::vector<SharedNetwork> list();

  bool operator==(const SharedNetwork&) const = default;
};

}  // namespace alcove
