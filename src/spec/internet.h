// Wire facts of Ethernet, ARP, IP, TCP, UDP, ICMP and DHCP as far as devices and networks look into frames.
// Offsets are from the beginning of the header named; numbers are in network byte order. No behaviour.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace alcove::spec::internet {

// Ethernet II: destination, source, type.
inline constexpr size_t kEthernetSize = 14;
inline constexpr size_t kEthernetSource = 6;
inline constexpr size_t kEthernetType = 12;
inline constexpr uint16_t kTypeIpv4 = 0x0800;
inline constexpr uint16_t kTypeArp = 0x0806;
inline constexpr uint16_t kTypeIpv6 = 0x86dd;
// IEEE 802.1Q: tags before the type, which no MTU counts; the outer one of two (802.1ad) has a type of its
// own.
inline constexpr uint16_t kTypeVlan = 0x8100;
inline constexpr uint16_t kTypeServiceVlan = 0x88a8;
inline constexpr size_t kVlanTagSize = 4;
inline constexpr size_t kMostVlanTags = 2;

// ARP over Ethernet, RFC 826.
inline constexpr size_t kArpSize = 28;
inline constexpr size_t kArpHardwareType = 0;
inline constexpr size_t kArpProtocolType = 2;
inline constexpr size_t kArpSizes = 4;  // Of both kinds of address.
inline constexpr uint16_t kArpEthernet = 1;
inline constexpr uint16_t kArpEthernetAndIpv4Sizes = 0x0604;
inline constexpr size_t kArpSenderHardware = 8;
inline constexpr size_t kArpSenderProtocol = 14;

// IPv4, RFC 791.
inline constexpr size_t kIpv4Size = 20;  // Without options.
inline constexpr size_t kIpv4TotalLength = 2;
inline constexpr size_t kIpv4Identification = 4;
inline constexpr size_t kIpv4Fragment = 6;
inline constexpr uint16_t kIpv4MoreFragmentsAndOffset = 0x3fff;
inline constexpr uint16_t kIpv4Offset = 0x1fff;
inline constexpr size_t kIpv4Protocol = 9;
inline constexpr size_t kIpv4Checksum = 10;
inline constexpr size_t kIpv4Source = 12;
inline constexpr size_t kIpv4Destination = 16;

// IPv6, RFC 8200.
inline constexpr size_t kIpv6Size = 40;
inline constexpr size_t kIpv6NextHeader = 6;
inline constexpr size_t kIpv6HopLimit = 7;
inline constexpr size_t kIpv6Source = 8;
inline constexpr size_t kIpv6Destination = 24;
inline constexpr std::array<uint8_t, 16> kIpv6AllNodes{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

inline constexpr uint8_t kNextHeaderHopByHop = 0;
inline constexpr size_t kNextHeaderUnit =
    8;  // Of an extension header's length, which does not count the first.
inline constexpr uint8_t kProtocolIcmp = 1;
inline constexpr uint8_t kProtocolIgmp = 2;
inline constexpr uint8_t kProtocolTcp = 6;
inline constexpr uint8_t kProtocolUdp = 17;
inline constexpr uint8_t kProtocolIcmpv6 = 58;

// TCP, RFC 9293; UDP, RFC 768.
inline constexpr size_t kTcpSize = 20;  // Without options.
inline constexpr size_t kTcpSequence = 4;
inline constexpr size_t kTcpDataOffset = 12;  // In the upper four bits.
inline constexpr size_t kTcpFlags = 13;
inline constexpr uint8_t kTcpFin = 0x01;
inline constexpr uint8_t kTcpPush = 0x08;
inline constexpr uint8_t kTcpCwr = 0x80;
inline constexpr uint8_t kTcpSyn = 0x02;
inline constexpr uint8_t kTcpAck = 0x10;
inline constexpr size_t kTcpChecksum = 16;
inline constexpr size_t kUdpSize = 8;
inline constexpr size_t kUdpSourcePort = 0;
inline constexpr size_t kUdpDestinationPort = 2;
inline constexpr size_t kUdpLength = 4;
inline constexpr size_t kUdpChecksum = 6;

// DHCP, RFC 2131 and RFC 2132.
inline constexpr uint16_t kDhcpServerPort = 67;
inline constexpr uint16_t kDhcpClientPort = 68;
inline constexpr size_t kDhcpClientAddress = 12;  // ciaddr
inline constexpr size_t kDhcpYourAddress = 16;    // yiaddr
inline constexpr size_t kDhcpHardwareAddress = 28;
inline constexpr size_t kDhcpCookie = 236;
inline constexpr uint32_t kDhcpCookieValue = 0x63825363;
inline constexpr size_t kDhcpOptions = 240;
inline constexpr uint8_t kDhcpOptionPad = 0;
inline constexpr uint8_t kDhcpOptionEnd = 255;
inline constexpr uint8_t kDhcpOptionRouter = 3;
inline constexpr uint8_t kDhcpOptionNameServer = 6;
inline constexpr uint8_t kDhcpOptionRequestedAddress = 50;
inline constexpr uint8_t kDhcpOptionMessageType = 53;
inline constexpr uint8_t kDhcpAcknowledge = 5;
inline constexpr uint8_t kDhcpRelease = 7;

// DHCP for IPv6, RFC 8415.
inline constexpr uint16_t kDhcp6ClientPort = 546;
inline constexpr uint16_t kDhcp6ServerPort = 547;
inline constexpr std::array<uint8_t, 16> kDhcp6Servers{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2};

// ICMP, RFC 792 and RFC 4443: the echo, and where its identifier is.
inline constexpr uint8_t kIcmpEchoReply = 0;
inline constexpr uint8_t kIcmpEchoRequest = 8;
inline constexpr uint8_t kIcmpv6EchoRequest = 128;
inline constexpr uint8_t kIcmpv6EchoReply = 129;
inline constexpr size_t kIcmpChecksum = 2;
inline constexpr size_t kIcmpEchoSize = 8;
inline constexpr size_t kIcmpEchoIdentifier = 4;

// Multicast listener discovery, RFC 2710 and RFC 3810: types of ICMPv6 messages, behind a hop-by-hop header.
inline constexpr uint8_t kListenerQuery = 130;
inline constexpr uint8_t kListenerDone = 132;  // The last of the first version's.
inline constexpr uint8_t kListenerReport2 = 143;

// IPv6 neighbour discovery, RFC 4861: types of ICMPv6 messages.
inline constexpr uint8_t kRouterSolicitation = 133;
inline constexpr uint8_t kRouterAdvertisement = 134;
inline constexpr uint8_t kNeighborAdvertisement = 136;
inline constexpr uint8_t kRedirect = 137;
inline constexpr size_t kNeighborTarget = 8;  // Of both, from the message's beginning.
inline constexpr size_t kNeighborSize = 24;
inline constexpr size_t kAdvertisementLifetime = 6;  // Of the router.
inline constexpr size_t kAdvertisementOptions = 16;
inline constexpr uint8_t kNeighborOptionNameServer = 25;  // RFC 8106: a lifetime of 32 bits at 4.

// DNS, RFC 1035, section 4.1.
inline constexpr uint16_t kDnsPort = 53;
inline constexpr size_t kDnsSize = 12;
inline constexpr size_t kDnsFlags = 2;
inline constexpr size_t kDnsQuestionCount = 4;
inline constexpr uint16_t kDnsResponse = 0x8000;
inline constexpr uint16_t kDnsOperation = 0x7800;  // A mask; 0 is a query.
inline constexpr uint16_t kDnsAuthoritative = 0x0400;
inline constexpr uint16_t kDnsTruncated = 0x0200;
inline constexpr uint16_t kDnsRecursionDesired = 0x0100;
inline constexpr uint16_t kDnsRecursionAvailable = 0x0080;
inline constexpr uint16_t kDnsNameError = 3;
inline constexpr uint16_t kDnsTypeA = 1;
inline constexpr uint16_t kDnsTypePtr = 12;
inline constexpr uint16_t kDnsTypeAny = 255;
inline constexpr uint16_t kDnsClassInternet = 1;
inline constexpr size_t kDnsLongestLabel = 63;
inline constexpr size_t kDnsLongestName = 255;

}  // namespace alcove::spec::internet
