#include "network/segmenter.h"

#include <algorithm>
#include <array>
#include <vector>

#include "spec/internet.h"

namespace alcove::network {

namespace wire = spec::internet;

namespace {

// Below that no host negotiates; a guest that says 1 would have us send 65000 frames for one of its own.
constexpr size_t kSmallestSegment = 256;

void store32(std::span<std::byte> bytes, size_t offset, uint32_t value) {
  store16(bytes, offset, static_cast<uint16_t>(value >> 16));
  store16(bytes, offset + 2, static_cast<uint16_t>(value & 0xffff));
}

}  // namespace

std::optional<TcpHeaders> tcp_headers(Bytes frame) {
  const size_t ip = ethernet_size(frame);
  const auto packet = parse(frame, ip);
  if (!packet || packet->type != wire::kTypeIpv4 || packet->protocol != wire::kProtocolTcp) return {};
  const TcpHeaders headers{.ip = ip,
                           .ip_size = packet->network.size() - packet->transport.size(),
                           .tcp_size = (load8(packet->transport, wire::kTcpDataOffset) >> 4) * size_t{4}};
  // Exactly the frame, so that no padding is taken for data.
  if (load16(packet->network, wire::kIpv4TotalLength) != packet->network.size()) return {};
  if (headers.tcp_size < wire::kTcpSize || headers.tcp_size >= packet->transport.size()) return {};
  return headers;
}

size_t usable_segment_size(const TcpHeaders& headers, size_t wanted, uint16_t mtu) {
  const size_t most = mtu - std::min<size_t>(headers.ip_size + headers.tcp_size, mtu - 1);
  return wanted == 0 ? most : std::clamp(wanted, std::min(kSmallestSegment, most), most);
}

uint16_t tcp_pseudo_sum(Bytes ip_header, size_t tcp_length) {
  std::array<std::byte, 4> rest{std::byte{0}, std::byte{wire::kProtocolTcp}};
  store16(rest, 2, static_cast<uint16_t>(tcp_length));
  return sum(ip_header.subspan(wire::kIpv4Source, 8), sum(rest));
}

bool cut_segments(Bytes frame, size_t segment_size, uint16_t mtu, const std::function<void(Bytes)>& output) {
  const auto headers = tcp_headers(frame);
  if (!headers) return false;
  const size_t size = usable_segment_size(*headers, segment_size, mtu);
  const Bytes data = frame.subspan(headers->total());
  const size_t tcp = headers->tcp();
  const uint8_t flags = load8(frame, tcp + wire::kTcpFlags);
  const uint32_t sequence = load32(frame, tcp + wire::kTcpSequence);
  const uint16_t identification = load16(frame, headers->ip + wire::kIpv4Identification);
  std::vector<std::byte> segment;
  unsigned number = 0;
  for (size_t at = 0; at < data.size(); at += size, ++number) {
    const Bytes piece = data.subspan(at, std::min(size, data.size() - at));
    segment.assign(frame.begin(), frame.begin() + static_cast<ptrdiff_t>(headers->total()));
    segment.insert(segment.end(), piece.begin(), piece.end());
    const auto ip = std::span(segment).subspan(headers->ip);
    store16(ip, wire::kIpv4TotalLength, static_cast<uint16_t>(ip.size()));
    store16(ip, wire::kIpv4Identification, static_cast<uint16_t>(identification + number));
    store16(ip, wire::kIpv4Checksum, 0);
    store16(ip, wire::kIpv4Checksum, ~sum(ip.first(headers->ip_size)));
    const auto header = ip.subspan(headers->ip_size);
    store32(header, wire::kTcpSequence, sequence + static_cast<uint32_t>(at));
    uint8_t own = flags;
    if (at + piece.size() != data.size()) own &= static_cast<uint8_t>(~(wire::kTcpFin | wire::kTcpPush));
    if (at != 0) own &= static_cast<uint8_t>(~wire::kTcpCwr);
    header[wire::kTcpFlags] = std::byte{own};
    store16(header, wire::kTcpChecksum, 0);
    store16(header, wire::kTcpChecksum, ~sum(header, tcp_pseudo_sum(ip, header.size())));
    output(segment);
  }
  return true;
}

bool has_right_tcp_checksums(Bytes frame) {
  const auto headers = tcp_headers(frame);
  if (!headers) return false;
  const Bytes ip = frame.subspan(headers->ip);
  const Bytes tcp = ip.subspan(headers->ip_size);
  return sum(ip.first(headers->ip_size)) == 0xffff && sum(tcp, tcp_pseudo_sum(ip, tcp.size())) == 0xffff;
}

}  // namespace alcove::network
