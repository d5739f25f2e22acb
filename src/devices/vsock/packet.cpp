#include "devices/vsock/packet.h"

#include <span>

namespace alcove::devices::vsock {

std::optional<Packet> parse(const virtio::Chain& chain, uint64_t guest_cid) {
  wire::Header header;
  const auto bytes = std::as_writable_bytes(std::span(&header, 1));
  if (chain.read(0, bytes) != bytes.size()) return {};
  // Section 5.10.6.4.1: the driver sends with its own CID; there is nobody but the host to send to.
  if (header.source_cid != guest_cid || header.destination_cid != wire::kHostCid) return {};
  if (header.length > chain.readable_size() - bytes.size()) return {};
  return Packet{.ports = {.guest = header.source_port, .host = header.destination_port},
                .type = header.type,
                .operation = static_cast<Operation>(header.operation),
                .length = header.length,
                .flags = header.flags,
                .buffer_size = header.buffer_size,
                .forwarded = header.forwarded};
}

wire::Header header_to(uint64_t guest_cid, Ports ports, Operation operation) {
  return {.source_cid = wire::kHostCid,
          .destination_cid = guest_cid,
          .source_port = ports.host,
          .destination_port = ports.guest,
          .length = 0,
          .type = wire::kTypeStream,
          .operation = static_cast<uint16_t>(operation),
          .flags = 0,
          .buffer_size = 0,
          .forwarded = 0};
}

}  // namespace alcove::devices::vsock
