// Network devices, and what connects them on the host.
#pragma once

#include <alcove/mac_address.h>

#include <cstdint>
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
  std::string guest_address;               // Empty: the one that the guest got by DHCP.
  uint16_t guest_port = 0;                 // 1 to 65535.

  bool operator==(const PortForward&) const = default;
};

// The guest is in a private network behind the host's address, with DHCP, DNS (the host's) and IPv6 where the
// host has it. Needs no rights. Other machines, and the host's own network, can't reach the guest but by
// port forwards.
struct NATNetworkDeviceAttachment {
  std::vector<PortForward> port_forwards;

  bool operator==(const NATNetworkDeviceAttachment&) const = default;
};

using NetworkDeviceAttachment = std::variant<NATNetworkDeviceAttachment>;

// A virtio network card.
struct VirtioNetworkDeviceConfiguration {
  // Random by default: set it for a machine that is to keep its address. Unicast, not all zero.
  MACAddress mac_address = MACAddress::random_locally_administered();
  std::optional<NetworkDeviceAttachment> attachment;  // Required.

  bool operator==(const VirtioNetworkDeviceConfiguration&) const = default;
};

using NetworkDeviceConfiguration = std::variant<VirtioNetworkDeviceConfiguration>;

}  // namespace alcove
