// What the guest sends: all distrust of its packets' framing lives in parse().
#pragma once

#include <compare>
#include <cstdint>
#include <optional>

#include "spec/virtio_socket.h"
#include "virtio/queue.h"

namespace alcove::devices::vsock {

namespace wire = spec::virtio_socket;
using wire::Operation;

// Names a connection.
struct Ports {
  uint32_t guest = 0;
  uint32_t host = 0;
  auto operator<=>(const Ports&) const = default;
};

// A packet from the guest to the host. Its payload lies behind the header in the chain it was read from, all
// of it.
struct Packet {
  Ports ports;
  uint16_t type = 0;
  Operation operation = Operation::invalid;  // Any value.
  uint32_t length = 0;                       // Of the payload.
  uint32_t flags = 0;
  uint32_t buffer_size = 0;
  uint32_t forwarded = 0;
};

// Nothing for what is no packet of this guest's to the host: too short, of or to somebody else.
std::optional<Packet> parse(const virtio::Chain& chain, uint64_t guest_cid);

// A packet of the host's without payload.
wire::Header header_to(uint64_t guest_cid, Ports ports, Operation operation);

}  // namespace alcove::devices::vsock
