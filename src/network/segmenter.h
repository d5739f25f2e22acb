#pragma once

#include <functional>

#include "network/packet.h"

namespace alcove::network {

// The headers of a TCP segment in IPv4, maybe behind VLAN tags; nothing if it is none, or not well-formed, or
// carries no data.
struct TcpHeaders {
  size_t ip = 0;        // Where the IP header begins.
  size_t ip_size = 0;   // Of the IP header.
  size_t tcp_size = 0;  // Of the TCP header.
  size_t tcp() const { return ip + ip_size; }
  size_t total() const { return tcp() + tcp_size; }
};
inline constexpr size_t kMostTcpHeaders = largest_frame(60 + 60);
std::optional<TcpHeaders> tcp_headers(Bytes frame);

// As a sender may choose it: what a packet of `mtu` bytes has room for at most, and no so small size that the
// segments would be very many.
size_t usable_segment_size(const TcpHeaders& headers, size_t wanted, uint16_t mtu);

// Cuts a large TCP segment, as the guest leaves it to its device (VIRTIO_NET_F_HOST_TSO4), into segments with
// `segment_size` bytes of data at most, all of their checksums right. False, if the frame can't be cut.
bool cut_segments(Bytes frame, size_t segment_size, uint16_t mtu, const std::function<void(Bytes)>& output);

// What Internet checksums of TCP begin with: the sum over the pseudo-header.
uint16_t tcp_pseudo_sum(Bytes ip_header, size_t tcp_length);
// Whether the frame is a TCP segment in IPv4 whose checksums are right.
bool has_right_tcp_checksums(Bytes frame);

}  // namespace alcove::network
