#include <alcove/alcove.h>
#include <gtest/gtest.h>

#include <array>

#include "config/nearest.h"
#include "support/utf8.h"

namespace alcove {
namespace {

using namespace literals;

TEST(Size, Parses) {
  EXPECT_EQ(parse_size("1048576"), 1_MiB);
  EXPECT_EQ(parse_size("4 GiB"), 4_GiB);
  EXPECT_EQ(parse_size("4g"), 4_GiB);
  EXPECT_EQ(parse_size("512MB"), 512_MiB);
  EXPECT_EQ(parse_size("0"), 0u);
  for (const char* wrong : {"", "GiB", "-1", "4  GiB", "4 GiBs", "4 elephants", "0x10", "1.5G"}) {
    EXPECT_FALSE(parse_size(wrong)) << wrong;
  }
  EXPECT_FALSE(parse_size("99999999999999999999"));
  EXPECT_FALSE(parse_size("18446744073709551615 KiB"));
}

TEST(Size, FormatsExactly) {
  EXPECT_EQ(format_size(4_GiB), "4 GiB");
  EXPECT_EQ(format_size(1536_MiB), "1536 MiB");
  EXPECT_EQ(format_size(1_MiB + 1), "1048577");
  EXPECT_EQ(format_size(0), "0");
  for (uint64_t size : std::initializer_list<uint64_t>{1, 1023, 1_KiB, 3_TiB, ~0ull})
    EXPECT_EQ(parse_size(format_size(size)), size);
}

TEST(PortForwardText, Parses) {
  EXPECT_EQ(parse_port_forward("tcp:2222:22"), (PortForward{.host_port = 2222, .guest_port = 22}));
  EXPECT_EQ(parse_port_forward("udp:0.0.0.0:0:10.0.2.9:53"),
            (PortForward{TransportProtocol::udp, "0.0.0.0", 0, "10.0.2.9", 53}));
  EXPECT_EQ(parse_port_forward("tcp:[::1]:8080:[fec0::2]:80"),
            (PortForward{TransportProtocol::tcp, "::1", 8080, "fec0::2", 80}));
  for (const char* wrong : {"", "tcp", "tcp:22", "tcp:22:", "sctp:1:2", "tcp:1:0", "tcp:65536:1", "tcp:1:2:3",
                            "tcp:[::1:1:2", "tcp:a:b", "tcp::1:2"}) {
    EXPECT_FALSE(parse_port_forward(wrong)) << wrong;
  }
}

TEST(PortForwardText, RoundTrips) {
  for (const PortForward& forward : {PortForward{.host_port = 1, .guest_port = 2},
                                     PortForward{TransportProtocol::udp, "::1", 0, "fec0::2", 65535}}) {
    EXPECT_EQ(parse_port_forward(format_port_forward(forward)), forward);
  }
}

TEST(MacAddress, ParsesAndPrints) {
  auto address = MACAddress::parse("52:1A:00:ab:CD:ef");
  ASSERT_TRUE(address);
  EXPECT_EQ(address->bytes(), (std::array<uint8_t, 6>{0x52, 0x1a, 0, 0xab, 0xcd, 0xef}));
  EXPECT_EQ(address->string(), "52:1a:00:ab:cd:ef");
  for (const char* wrong :
       {"", "52:1a:00:ab:cd", "52:1a:00:ab:cd:ef:", "52-1a-00-ab-cd-ef", "52:1a:00:ab:cd:eg", "521a00abcdef",
        "52:1a:00:ab:cd:ef0", " 52:1a:00:ab:cd:ef"}) {
    EXPECT_FALSE(MACAddress::parse(wrong)) << wrong;
  }
}

TEST(MacAddress, TellsItsKind) {
  const MACAddress broadcast({0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
  EXPECT_TRUE(broadcast.is_broadcast() && broadcast.is_multicast() && !broadcast.is_unicast());
  const MACAddress multicast({0x01, 0, 0x5e, 0, 0, 1});
  EXPECT_TRUE(multicast.is_multicast() && !multicast.is_broadcast() &&
              multicast.is_universally_administered());
}

TEST(MacAddress, RandomOnesAreLocalUnicastAndDiffer) {
  for (int i = 0; i < 64; ++i) {
    const MACAddress address = MACAddress::random_locally_administered();
    EXPECT_TRUE(address.is_unicast() && address.is_locally_administered()) << address.string();
    EXPECT_NE(address, MACAddress::random_locally_administered());
  }
}

TEST(MachineIdentifier, SurvivesBothForms) {
  const GenericMachineIdentifier one;
  EXPECT_NE(one, GenericMachineIdentifier());
  EXPECT_EQ(GenericMachineIdentifier::from_data(one.data_representation()), one);
  EXPECT_EQ(GenericMachineIdentifier::parse(one.string()), one);
  EXPECT_EQ(one.string()[14], '4');
}

TEST(MachineIdentifier, RefusesOtherForms) {
  EXPECT_FALSE(GenericMachineIdentifier::from_data({}));
  EXPECT_FALSE(GenericMachineIdentifier::from_data(std::array<std::byte, 17>{}));
  for (const char* wrong :
       {"", "0123456789ab4cde8f0123456789abcd", "01234567-89ab-4cde-8f01-23456789abc",
        "01234567-89ab-4cde-8f01-23456789abcg", "01234567-89ab-4cde-8f01-23456789abcd0"}) {
    EXPECT_FALSE(GenericMachineIdentifier::parse(wrong)) << wrong;
  }
}

TEST(Enumerations, HaveNamesBothWays) {
  EXPECT_EQ(to_string(HypervisorChoice::automatic), "auto");
  EXPECT_EQ(from_string<HypervisorChoice>("auto"), HypervisorChoice::automatic);
  EXPECT_EQ(from_string<DiskImageSynchronizationMode>("fsync"), DiskImageSynchronizationMode::fsync);
  EXPECT_EQ(from_string<TransportProtocol>("sctp"), std::nullopt);
}

TEST(Nearest, FindsMisspellings) {
  const std::array<std::string_view, 4> known = {"cpu_count", "memory_size", "read_only", "path"};
  EXPECT_EQ(config::nearest("readonly", known), "read_only");
  EXPECT_EQ(config::nearest("memory", known), "memory_size");
  EXPECT_EQ(config::nearest("pth", known), "path");
  EXPECT_EQ(config::nearest("zebra", known), "");
  EXPECT_EQ(config::nearest(std::string(100000, 'x'), known), "");
}

TEST(Utf8, IsChecked) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("aü€😀"));
  for (std::string_view wrong : {"\xff", "\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                                 "\xf4\x90\x80\x80", "\xe2\x82", "\xc3 "}) {
    EXPECT_FALSE(is_utf8(wrong));
  }
}

}  // namespace
}  // namespace alcove
