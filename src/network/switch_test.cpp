#include "network/switch.h"

#include <gtest/gtest.h>

#include "network/name_service.h"
#include "network/shared_addresses.h"
#include "network/testing/frames.h"

namespace alcove::network {
namespace {

using namespace testing;

constexpr Mac kMacA{2, 0, 0, 0, 0, 0xa}, kMacB{2, 0, 0, 0, 0, 0xb}, kMacC{2, 0, 0, 0, 0, 0xc};

// The frame as another guest's, to a guest or the group.
Frame from(const Mac& source, Frame frame, const Mac& to = kBroadcast) {
  std::ranges::copy(std::as_bytes(std::span(to)), frame.begin());
  std::ranges::copy(std::as_bytes(std::span(source)), frame.begin() + 6);
  return frame;
}
Frame arp_of(const Mac& mac, const std::string& address, const std::string& target) {
  return from(mac, ethernet(wire::kTypeArp, Builder()
                                                .u16(1)
                                                .u16(wire::kTypeIpv4)
                                                .u8(6, 4)
                                                .u16(1)
                                                .mac(mac)
                                                .ip(address)
                                                .mac({})
                                                .ip(target)
                                                .frame));
}
Frame neighbor(uint8_t type, const std::string& source, const std::string& target) {
  const Frame message = Builder().u8(type, 0).u16(0).u32(0).ip(target).frame;
  return ip_packet(wire::kProtocolIcmpv6, source, "ff02::1", message, 2);
}
Frame query(const std::string& name, uint16_t type = wire::kDnsTypeA) {
  Builder message;
  message.u16(0x1234).u16(wire::kDnsRecursionDesired).u16(1).u16(0).u16(0).u16(0);
  for (size_t at = 0; at < name.size();) {
    const size_t end = std::min(name.find('.', at), name.size());
    message.u8(end - at).text(name.substr(at, end - at));
    at = end + 1;
  }
  return message.u8(0).u16(type).u16(wire::kDnsClassInternet).frame;
}

class SwitchTest : public ::testing::Test {
 protected:
  SwitchTest()
      : sw(shared_addresses("lab"),
           [this](Switch::Port port, Bytes frame) { got[port].emplace_back(frame.begin(), frame.end()); }) {
    a = join(kMacA, "alpha", true);
    b = join(kMacB, "Beta", true);
    c = join(kMacC, "gamma", false);
  }
  Switch::Port join(const Mac& mac, const std::string& name, bool peers) {
    auto joined = sw.join({.mac_address = MACAddress(mac), .host_name = name, .reaches_peers = peers});
    EXPECT_TRUE(joined) << joined.error().message();
    return *joined;
  }
  std::string ip(Switch::Port port) { return address_text(sw.address_of(port)); }
  // How many frames reached each of a, b and c.
  std::array<size_t, 3> sent(Switch::Port port, const Frame& frame) {
    got.clear();
    sw.receive(port, frame);
    return {got[a].size(), got[b].size(), got[c].size()};
  }
  using Counts = std::array<size_t, 3>;
  static constexpr Counts kNobody{0, 0, 0};

  // The answer's code, and its address, if there is one.
  std::pair<int, std::string> ask(Switch::Port port, const Mac& mac, const std::string& name,
                                  uint16_t type = wire::kDnsTypeA, bool v6 = false) {
    got.clear();
    NatAddresses own = sw.addresses();
    std::string server = address_text(own.name_server()), client = ip(port);
    if (v6) {
      std::array<std::byte, 16> bytes{};
      std::ranges::copy(std::as_bytes(std::span(own.prefix)), bytes.begin());
      char text[INET6_ADDRSTRLEN];
      bytes[15] = std::byte{3};
      server = inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
      bytes[15] = std::byte{0x77};
      client = inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
    }
    sw.receive(port, from(mac, udp(client, 4000, server, 53, query(name, type)), {0x52, 0x55, 0, 0, 0, 3}));
    if (got[port].size() != 1) return {-1, ""};
    const Frame& frame = got[port].front();
    const auto answer = datagram(frame);
    const auto packet = parse(frame);
    EXPECT_EQ(answer->destination, 4000);
    // Right to the last bit: the sum over all with the pseudo-header is -0.
    const Frame pseudo = v6 ? Builder().ip(server).ip(client).u16(17).u16(packet->transport.size()).frame
                            : Builder().ip(server).ip(client).u16(17).u16(packet->transport.size()).frame;
    EXPECT_EQ(sum(packet->transport, sum(pseudo)), 0xffff);
    const int code = load16(answer->data, 2) & 15;
    if (load16(answer->data, 6) == 0) return {code, ""};
    return {code, address_text(load32(answer->data, answer->data.size() - 4))};
  }

  Switch sw;
  Switch::Port a, b, c;
  std::map<Switch::Port, std::vector<Frame>> got;
};

TEST_F(SwitchTest, JoinsThoseWhoWantAndNoOthers) {
  EXPECT_EQ(sent(a, arp_of(kMacA, ip(a), ip(b))), (Counts{0, 1, 0}));
  EXPECT_EQ(sent(c, arp_of(kMacC, ip(c), ip(a))), kNobody);
  EXPECT_EQ(sent(a, from(kMacA, udp(ip(a), 1, ip(b), 2, "x"), kMacB)), (Counts{0, 1, 0}));
  EXPECT_EQ(sent(a, from(kMacA, udp(ip(a), 1, ip(c), 2, "x"), kMacC)), kNobody);
  EXPECT_EQ(sent(c, from(kMacC, udp(ip(c), 1, ip(a), 2, "x"), kMacA)), kNobody);
  EXPECT_EQ(sent(a, from(kMacA, udp(ip(a), 1, ip(a), 2, "x"), kMacA)), kNobody);
  EXPECT_EQ(sent(a, from(kMacA, udp(ip(a), 1, "192.0.2.1", 2, "x"), {0x52, 0x55, 1, 2, 3, 4})), kNobody);
  EXPECT_EQ(sw.refused_frames(), 0u);
  sw.leave(b);
  EXPECT_EQ(sent(a, from(kMacA, udp(ip(a), 1, "192.0.2.1", 2, "x"), kMacB)), kNobody);
}

TEST_F(SwitchTest, GivesTheAddressThatIsWishedFor) {
  const uint32_t base = sw.addresses().network;
  const auto joined = [&](uint8_t last, uint32_t address) {
    const auto port = sw.join({.mac_address = MACAddress({2, 0, 0, 0, 1, last}), .address = address});
    return port ? address_text(sw.address_of(*port)) : port.error().where;
  };
  EXPECT_EQ(joined(1, base + 9), address_text(base + 9));
  const std::string refused = "attachment.network.ipv4_address";
  EXPECT_EQ(joined(2, base + 9), refused);
  EXPECT_EQ(joined(2, sw.address_of(a)), refused);
  for (const uint32_t wrong : {base, base + 2, base + 3, base + 0xffff, base - 1})
    EXPECT_EQ(joined(2, wrong), refused) << address_text(wrong);
}

TEST_F(SwitchTest, RefusesWhatIsNotTheGuests) {
  const std::vector<Frame> bad = {
      Frame(13),
      from(kMacB, udp(ip(a), 1, ip(b), 2, "x"), kMacB),        // Another's MAC address,
      from(kMacA, udp(ip(b), 1, ip(b), 2, "x"), kMacB),        // another's IP address,
      from(kMacA, udp("192.0.2.1", 1, ip(b), 2, "x"), kMacB),  // nobody's,
      from(kMacA, udp("0.0.0.0", 1, ip(b), 2, "x"), kMacB),    // none, and no DHCP.
      arp_of(kMacA, ip(b), ip(b)),                             // The same in ARP:
      from(kMacA, arp_of(kMacB, ip(a), ip(b))),                // its sender is B.
      from(kMacA, udp(ip(a), 67, ip(b), 68, "x"), kMacB),      // A DHCP server.
      from(kMacA, ethernet(0x88cc, Frame(50))),                // LLDP.
      from(kMacA, ethernet(0x8100, Frame(50))),                // A tag of a VLAN.
      from(kMacA, ethernet(wire::kTypeArp, Frame(20))),        // Too short.
      from(kMacA, ethernet(wire::kTypeIpv4, Frame(10))),
      from(kMacA, ethernet(wire::kTypeIpv6, Frame(30))),
      from(kMacA, neighbor(134, "fe80::a1", "fe80::a1")),     // A router.
      from(kMacA, neighbor(137, "fe80::a1", "fe80::a1")),     // A redirect.
      from(kMacA, neighbor(136, "fe80::a1", "2001:db8::1")),  // Of another network,
      from(kMacA, neighbor(136, "fe80::a1", "fe80::2")),      // of the host.
      from(kMacA, udp("2001:db8::1", 1, "ff02::1", 2, "x")),
      from(kMacA, udp("fe80::2", 1, "ff02::1", 2, "x")),
      from(kMacA, udp("fe80::a1", 547, "ff02::1", 2, "x")),  // A DHCPv6 server.
  };
  for (const Frame& frame : bad) {
    const auto before = sw.refused_frames();
    EXPECT_EQ(sent(a, frame), kNobody);
    EXPECT_EQ(sw.refused_frames(), before + 1);
  }
  // Behind headers, and in pieces.
  Frame hidden = from(kMacA, neighbor(134, "fe80::a1", "fe80::a1"));
  const Frame extension = Builder().u8(58, 0).zeros(6).frame;
  hidden[14 + wire::kIpv6NextHeader] = std::byte{0};
  hidden.insert(hidden.begin() + 14 + 40, extension.begin(), extension.end());
  EXPECT_EQ(sent(a, hidden), kNobody);
  hidden[14 + wire::kIpv6NextHeader] = std::byte{44};
  EXPECT_EQ(sent(a, hidden), kNobody);
  hidden[14 + wire::kIpv6NextHeader] = std::byte{60};
  hidden[14 + 40 + 1] = std::byte{200};  // Longer than the frame.
  EXPECT_EQ(sent(a, hidden), kNobody);
}

TEST_F(SwitchTest, LetsWhoHasAnIpv6AddressKeepIt) {
  const Frame of_a = from(kMacA, udp("fe80::77", 1, "ff02::1", 2, "x"));
  EXPECT_EQ(sent(a, of_a), (Counts{0, 1, 0}));
  EXPECT_EQ(sent(b, from(kMacB, udp("fe80::77", 1, "ff02::1", 2, "x"))), kNobody);
  EXPECT_EQ(sent(b, from(kMacB, neighbor(136, "fe80::b1", "fe80::77"))), kNobody);
  EXPECT_EQ(sent(b, from(kMacB, neighbor(136, "fe80::b1", "fe80::b1"))), (Counts{1, 0, 0}));
  EXPECT_EQ(sent(b, from(kMacB, neighbor(135, "::", "fe80::77"))), (Counts{1, 0, 0}));  // Is it free?
  EXPECT_EQ(sent(a, of_a), (Counts{0, 1, 0}));
  sw.leave(a);
  EXPECT_EQ(sent(b, from(kMacB, udp("fe80::77", 1, "ff02::1", 2, "x"))), kNobody);  // Nobody is left to hear.
  EXPECT_EQ(sw.refused_frames(), 2u);
  // One that takes many gives up the first.
  for (int i = 0; i < 40; ++i)
    sw.receive(b, from(kMacB, udp("fe80::1:" + std::to_string(i + 1), 1, "ff02::1", 2, "x")));
  const auto before = sw.refused_frames();
  const auto d = join({2, 0, 0, 0, 0, 0xd}, "", true);
  sw.receive(d, from({2, 0, 0, 0, 0, 0xd}, udp("fe80::1:1", 1, "ff02::1", 2, "x")));
  EXPECT_EQ(sw.refused_frames(), before);
  sw.receive(d, from({2, 0, 0, 0, 0, 0xd}, udp("fe80::1:40", 1, "ff02::1", 2, "x")));
  EXPECT_EQ(sw.refused_frames(), before + 1);
}

TEST_F(SwitchTest, TellsPeersEachOthersNames) {
  using Answer = std::pair<int, std::string>;
  EXPECT_EQ(ask(a, kMacA, "beta"), Answer(0, ip(b)));
  EXPECT_EQ(ask(a, kMacA, "BETA.Lab.Internal"), Answer(0, ip(b)));
  EXPECT_EQ(ask(a, kMacA, "beta.lab.internal", wire::kDnsTypeA, true), Answer(0, ip(b)));
  EXPECT_EQ(ask(a, kMacA, "beta.lab.internal", 28), Answer(0, ""));  // AAAA: there is none.
  EXPECT_EQ(ask(a, kMacA, "gamma"), Answer(3, ""));                  // Wants no peers.
  EXPECT_EQ(ask(c, kMacC, "alpha"), Answer(3, ""));
  EXPECT_EQ(ask(c, kMacC, "gamma"), Answer(0, ip(c)));  // Itself.
  EXPECT_EQ(ask(a, kMacA, "delta.lab.internal"), Answer(3, ""));
  EXPECT_EQ(ask(a, kMacA, "lab.internal"), Answer(0, ""));
  EXPECT_EQ(ask(a, kMacA, "beta.other.internal"), Answer(-1, ""));
  EXPECT_EQ(ask(a, kMacA, "xlab.internal"), Answer(-1, ""));
  EXPECT_EQ(ask(a, kMacA, "debian.org"), Answer(-1, ""));
}

TEST_F(SwitchTest, SaysWhoCannotJoin) {
  const auto refusal = [&](SwitchMember member) {
    const auto joined = sw.join(std::move(member));
    return joined ? "" : joined.error().where;
  };
  EXPECT_EQ(refusal({.mac_address = MACAddress(kMacA)}), "mac_address");
  EXPECT_EQ(refusal({.mac_address = MACAddress()}), "mac_address");
  EXPECT_EQ(refusal({.mac_address = MACAddress({1, 0, 0, 0, 0, 1})}), "mac_address");
  EXPECT_EQ(refusal({.mac_address = MACAddress({0x52, 0x55, 0, 0, 0, 1})}), "mac_address");
  const MACAddress other({2, 0, 0, 0, 0, 0xe});
  EXPECT_EQ(refusal({.mac_address = other, .host_name = "ALPHA"}), "attachment.host_name");
  EXPECT_EQ(refusal({.mac_address = other, .host_name = "a b"}), "attachment.host_name");
  EXPECT_EQ(refusal({.mac_address = other}), "");
  EXPECT_EQ(sw.size(), 4u);
}

TEST(SharedAddresses, AreTheSameEachTime) {
  const NatAddresses lab = shared_addresses("lab");
  EXPECT_EQ(subnet_text(lab), subnet_text(shared_addresses("lab")));
  EXPECT_NE(subnet_text(lab), subnet_text(shared_addresses("work")));
  EXPECT_EQ(lab.domain, "lab.internal");
  EXPECT_EQ(lab.network >> 24, 10u);
  EXPECT_GE(lab.network >> 16 & 0xff, 128u);
  const MACAddress mac({2, 0, 0, 1, 2, 3});
  const uint32_t address = member_address(lab, mac, {});
  EXPECT_EQ(address & lab.mask, lab.network);
  EXPECT_EQ(address, member_address(lab, mac, {lab.network | 0x0304}));
  // A second with the same gets another.
  const uint32_t other = member_address(lab, mac, {address});
  EXPECT_NE(other, address);
  EXPECT_EQ(other & lab.mask, lab.network);
}

TEST(NameService, ReadsQuestionsWithCare) {
  Frame message = query("beta.lab.internal");
  const auto question = parse_dns_question(message);
  ASSERT_TRUE(question);
  EXPECT_EQ(question->name, "beta.lab.internal");
  EXPECT_EQ(question->size, message.size());
  for (size_t size = 0; size < message.size(); ++size)
    EXPECT_FALSE(parse_dns_question(Bytes(message).first(size)));
  Frame pointer = message;
  pointer[12] = std::byte{0xc0};
  EXPECT_FALSE(parse_dns_question(pointer));
  Frame answer = message;
  answer[2] |= std::byte{0x80};
  EXPECT_FALSE(parse_dns_question(answer));
  Frame two = message;
  two[5] = std::byte{2};
  EXPECT_FALSE(parse_dns_question(two));
  std::string name;
  for (int i = 0; i < 130; ++i) name += "a.";
  EXPECT_FALSE(parse_dns_question(query(name + "a")));
  // A dot inside of a label ends no label.
  Frame dotted = query("betaxlab.internal");
  dotted[12 + 1 + 4] = std::byte{'.'};
  EXPECT_NE(local_host(*parse_dns_question(dotted), "lab.internal"), "beta");
}

}  // namespace
}  // namespace alcove::network
