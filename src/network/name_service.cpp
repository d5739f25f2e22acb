#include "network/name_service.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "spec/internet.h"

namespace alcove::network {

namespace wire = spec::internet;

namespace {

constexpr uint32_t kTimeToLive = 30;  // In seconds: members come and go.

void append16(std::vector<std::byte>& bytes, uint16_t value) {
  bytes.resize(bytes.size() + 2);
  store16(bytes, bytes.size() - 2, value);
}
void append32(std::vector<std::byte>& bytes, uint32_t value) {
  append16(bytes, static_cast<uint16_t>(value >> 16));
  append16(bytes, static_cast<uint16_t>(value & 0xffff));
}
void append(std::vector<std::byte>& bytes, Bytes more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

}  // namespace

bool is_name_server(const Packet& packet, const NatAddresses& network) {
  if (packet.type == wire::kTypeIpv4)
    return load32(packet.network, wire::kIpv4Destination) == network.name_server();
  const Bytes destination = packet.network.subspan(wire::kIpv6Destination, 16);
  return network.has_in_prefix(destination) &&
         std::ranges::all_of(destination.subspan(8, 7), [](std::byte b) { return b == std::byte{0}; }) &&
         load8(destination, 15) == 3;
}

std::optional<DnsQuestion> parse_dns_question(Bytes message) {
  if (message.size() < wire::kDnsSize) return {};
  const uint16_t flags = load16(message, wire::kDnsFlags);
  if (flags & (wire::kDnsResponse | wire::kDnsOperation | wire::kDnsTruncated)) return {};
  if (load16(message, wire::kDnsQuestionCount) != 1) return {};
  DnsQuestion question;
  size_t at = wire::kDnsSize;
  while (true) {
    if (at == message.size()) return {};
    const size_t length = load8(message, at++);
    if (length == 0) break;
    if (length > wire::kDnsLongestLabel || length > message.size() - at) return {};
    if (question.name.size() + length + 1 > wire::kDnsLongestName) return {};
    if (!question.name.empty()) question.name += '.';
    for (std::byte byte : message.subspan(at, length)) {
      const auto letter = std::to_integer<unsigned char>(byte);
      // A dot in a label would make two of it.
      question.name += letter == '.' ? '\0' : static_cast<char>(std::tolower(letter));
    }
    at += length;
  }
  if (message.size() - at < 4) return {};
  question.type = load16(message, at);
  question.of_class = load16(message, at + 2);
  question.size = at + 4;
  return question;
}

Bytes dns_query(Bytes frame, const NatAddresses& network) {
  const auto packet = parse(frame);
  if (!packet || packet->protocol != wire::kProtocolUdp) return {};
  if (packet->type != wire::kTypeIpv4 && packet->type != wire::kTypeIpv6) return {};
  if (load16(packet->transport, wire::kUdpDestinationPort) != wire::kDnsPort) return {};
  const size_t length = load16(packet->transport, wire::kUdpLength);
  if (length < wire::kUdpSize || length > packet->transport.size()) return {};
  if (!is_name_server(*packet, network)) return {};
  return packet->transport.subspan(wire::kUdpSize, length - wire::kUdpSize);
}

std::optional<std::string> local_host(const DnsQuestion& question, const std::string& domain) {
  if (question.of_class != wire::kDnsClassInternet || question.name.empty()) return {};
  const std::string_view name = question.name;
  if (name.find('.') == name.npos) return std::string(name);
  const auto same = [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); };
  if (name.size() < domain.size() ||
      !std::ranges::equal(name.substr(name.size() - domain.size()), domain, same)) {
    return {};
  }
  if (name.size() == domain.size()) return "";
  const std::string_view host = name.substr(0, name.size() - domain.size());
  if (host.back() != '.') return {};
  return std::string(host.substr(0, host.size() - 1));
}

std::vector<std::byte> dns_answer(Bytes message, const DnsQuestion& question,
                                  std::optional<uint32_t> address) {
  const bool is_told =
      address && *address != 0 && (question.type == wire::kDnsTypeA || question.type == wire::kDnsTypeAny);
  const uint16_t wanted = load16(message, wire::kDnsFlags) & wire::kDnsRecursionDesired;
  std::vector<std::byte> answer;
  append(answer, message.first(2));
  append16(answer, static_cast<uint16_t>(wire::kDnsResponse | wire::kDnsAuthoritative | wanted |
                                         wire::kDnsRecursionAvailable | (address ? 0 : wire::kDnsNameError)));
  for (const uint16_t count : {1, is_told ? 1 : 0, 0, 0}) append16(answer, count);
  append(answer, message.subspan(wire::kDnsSize, question.size - wire::kDnsSize));
  if (!is_told) return answer;
  append16(answer, 0xc000 | wire::kDnsSize);  // The question's name.
  append16(answer, wire::kDnsTypeA);
  append16(answer, wire::kDnsClassInternet);
  append32(answer, kTimeToLive);
  append16(answer, 4);
  append32(answer, *address);
  return answer;
}

std::vector<std::byte> dns_answer_frame(Bytes query_frame, Bytes answer) {
  const Packet query = parse(query_frame).value();
  const auto udp_size = static_cast<uint16_t>(wire::kUdpSize + answer.size());
  std::vector<std::byte> udp;
  append(udp, query.transport.subspan(wire::kUdpDestinationPort, 2));
  append(udp, query.transport.subspan(wire::kUdpSourcePort, 2));
  append16(udp, udp_size);
  append16(udp, 0);
  append(udp, answer);

  std::vector<std::byte> frame;
  append(frame, query_frame.subspan(wire::kEthernetSource, 6));
  append(frame, query_frame.first(6));
  append16(frame, query.type);
  std::vector<std::byte> pseudo;
  if (query.type == wire::kTypeIpv4) {
    std::vector<std::byte> ip(wire::kIpv4Size);
    ip[0] = std::byte{0x45};
    store16(ip, wire::kIpv4TotalLength, static_cast<uint16_t>(wire::kIpv4Size + udp.size()));
    ip[8] = std::byte{64};  // Time to live.
    ip[wire::kIpv4Protocol] = std::byte{wire::kProtocolUdp};
    std::ranges::copy(query.network.subspan(wire::kIpv4Destination, 4), ip.begin() + wire::kIpv4Source);
    std::ranges::copy(query.network.subspan(wire::kIpv4Source, 4), ip.begin() + wire::kIpv4Destination);
    store16(ip, wire::kIpv4Checksum, ~sum(ip));
    append(pseudo, Bytes(ip).subspan(wire::kIpv4Source, 8));
    append(frame, ip);
  } else {
    std::vector<std::byte> ip;
    append32(ip, 6u << 28);
    append16(ip, udp_size);
    ip.push_back(std::byte{wire::kProtocolUdp});
    ip.push_back(std::byte{64});  // Hop limit.
    append(ip, query.network.subspan(wire::kIpv6Destination, 16));
    append(ip, query.network.subspan(wire::kIpv6Source, 16));
    append(pseudo, Bytes(ip).subspan(wire::kIpv6Source, 32));
    append(frame, ip);
  }
  append16(pseudo, wire::kProtocolUdp);
  append16(pseudo, udp_size);
  const uint16_t checksum = ~sum(udp, sum(pseudo));
  store16(udp, wire::kUdpChecksum, checksum == 0 ? uint16_t{0xffff} : checksum);
  append(frame, udp);
  return frame;
}

}  // namespace alcove::network
