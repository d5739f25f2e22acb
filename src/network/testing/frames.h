// Frames made by hand, and a guest that collects what comes back: for tests.
#pragma once

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "exec/event_loop.h"
#include "network/network.h"
#include "network/packet.h"
#include "spec/internet.h"

namespace alcove::network::testing {

namespace wire = spec::internet;

using Frame = std::vector<std::byte>;
using Mac = std::array<uint8_t, 6>;

inline constexpr Mac kGuestMac{0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
inline constexpr Mac kBroadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

class Builder {
 public:
  template <class... T>
  Builder& u8(T... values) {
    (frame.push_back(std::byte(values)), ...);
    return *this;
  }
  Builder& u16(unsigned value) { return u8(value >> 8, value & 0xff); }
  Builder& u32(uint32_t value) { return u16(value >> 16).u16(value & 0xffff); }
  Builder& mac(const Mac& address) {
    for (uint8_t byte : address) u8(byte);
    return *this;
  }
  Builder& ip(const std::string& address) {
    std::byte bytes[16];
    const bool v6 = address.find(':') != std::string::npos;
    inet_pton(v6 ? AF_INET6 : AF_INET, address.c_str(), bytes);
    return raw(Bytes(bytes, v6 ? 16 : 4));
  }
  Builder& raw(Bytes bytes) {
    frame.insert(frame.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Builder& text(std::string_view text) { return raw(std::as_bytes(std::span(text))); }
  Builder& zeros(size_t count) {
    frame.resize(frame.size() + count);
    return *this;
  }
  Frame frame;
};

inline Frame ethernet(unsigned type, Bytes payload, const Mac& to = kBroadcast) {
  return Builder().mac(to).mac(kGuestMac).u16(type).raw(payload).frame;
}

inline Frame arp_request(const std::string& from, const std::string& to) {
  return ethernet(
      wire::kTypeArp,
      Builder().u16(1).u16(wire::kTypeIpv4).u8(6, 4).u16(1).mac(kGuestMac).ip(from).mac({}).ip(to).frame);
}

// An IPv4 or IPv6 packet in a frame; the transport's checksum at `checksum_at` is put right.
inline Frame ip_packet(uint8_t protocol, const std::string& from, const std::string& to, Frame transport,
                       size_t checksum_at) {
  const bool v6 = from.find(':') != std::string::npos;
  const auto size = static_cast<unsigned>(transport.size());
  const Frame pseudo = v6 ? Builder().ip(from).ip(to).u32(size).u32(protocol).frame
                          : Builder().ip(from).ip(to).u8(0, protocol).u16(size).frame;
  store16(transport, checksum_at, 0);
  store16(transport, checksum_at, ~sum(transport, sum(pseudo)));
  if (v6) {
    return ethernet(wire::kTypeIpv6,
                    Builder().u32(6u << 28).u16(size).u8(protocol, 255).ip(from).ip(to).raw(transport).frame);
  }
  Frame header =
      Builder().u8(0x45, 0).u16(20 + size).u32(0x12340000).u8(64, protocol).u16(0).ip(from).ip(to).frame;
  store16(header, wire::kIpv4Checksum, ~sum(header));
  return ethernet(wire::kTypeIpv4, Builder().raw(header).raw(transport).frame);
}

inline Frame udp(const std::string& from, unsigned source, const std::string& to, unsigned destination,
                 Bytes payload) {
  Frame transport = Builder().u16(source).u16(destination).u16(8 + payload.size()).u16(0).raw(payload).frame;
  return ip_packet(wire::kProtocolUdp, from, to, std::move(transport), wire::kUdpChecksum);
}
inline Frame udp(const std::string& from, unsigned source, const std::string& to, unsigned destination,
                 std::string_view text) {
  return udp(from, source, to, destination, std::as_bytes(std::span(text)));
}

struct Segment {
  uint16_t source = 0, destination = 0;
  uint32_t sequence = 0, acknowledged = 0;
  uint8_t flags = 0;
  std::string data;
};

inline Frame tcp(const std::string& from, const std::string& to, const Segment& segment) {
  Frame transport = Builder()
                        .u16(segment.source)
                        .u16(segment.destination)
                        .u32(segment.sequence)
                        .u32(segment.acknowledged)
                        .u8(0x50, segment.flags)
                        .u16(65535)
                        .u32(0)
                        .text(segment.data)
                        .frame;
  return ip_packet(wire::kProtocolTcp, from, to, std::move(transport), wire::kTcpChecksum);
}

inline std::optional<Segment> tcp_segment(Bytes frame) {
  const auto packet = parse(frame);
  if (!packet || packet->protocol != wire::kProtocolTcp) return std::nullopt;
  const Bytes ip = packet->network;
  const size_t total = packet->type == wire::kTypeIpv4 ? load16(ip, wire::kIpv4TotalLength) : ip.size();
  const Bytes tcp = packet->transport.first(total - (ip.size() - packet->transport.size()));
  const Bytes data = tcp.subspan((load8(tcp, 12) >> 4) * size_t{4});
  return Segment{.source = load16(tcp, 0),
                 .destination = load16(tcp, 2),
                 .sequence = load32(tcp, 4),
                 .acknowledged = load32(tcp, 8),
                 .flags = load8(tcp, wire::kTcpFlags),
                 .data = {reinterpret_cast<const char*>(data.data()), data.size()}};
}

struct Datagram {
  uint16_t source = 0, destination = 0;
  Frame data;
  std::string text() const { return {reinterpret_cast<const char*>(data.data()), data.size()}; }
};

inline std::optional<Datagram> datagram(Bytes frame) {
  const auto packet = parse(frame);
  if (!packet || packet->protocol != wire::kProtocolUdp) return std::nullopt;
  const Bytes data = packet->transport.subspan(8, load16(packet->transport, 4) - size_t{8});
  return Datagram{load16(packet->transport, 0), load16(packet->transport, 2), {data.begin(), data.end()}};
}

// A DHCP message of the guest's: 1 discovers, 3 requests `address`.
inline Frame dhcp(uint8_t type, const std::string& address = {}) {
  Builder message;
  message.u8(1, 1, 6, 0).u32(0xa1b2c3d4).zeros(4 + 16).mac(kGuestMac).zeros(10 + 64 + 128);
  message.u32(wire::kDhcpCookieValue).u8(53, 1, type);
  if (!address.empty()) message.u8(50, 4).ip(address);
  message.u8(255).zeros(60);
  return udp("0.0.0.0", 68, "255.255.255.255", 67, message.frame);
}

// Keeps frames until the test looks at them.
class Collector final : public FrameReceiver {
 public:
  void receive(Bytes frame, Checksums) override {
    std::lock_guard lock(mutex_);
    frames_.emplace_back(frame.begin(), frame.end());
    changed_.notify_all();
  }
  // The first frame, now or soon, of which `pick` makes something; those before it are gone.
  template <class Pick>
  auto wait(Pick pick, std::chrono::milliseconds limit = std::chrono::seconds(5))
      -> std::invoke_result_t<Pick, Bytes> {
    std::unique_lock lock(mutex_);
    const auto end = std::chrono::steady_clock::now() + limit;
    while (true) {
      while (!frames_.empty()) {
        const Frame frame = std::move(frames_.front());
        frames_.pop_front();
        if (auto result = pick(frame)) return result;
      }
      if (changed_.wait_until(lock, end) == std::cv_status::timeout && frames_.empty()) return {};
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Frame> frames_;
};

}  // namespace alcove::network::testing
