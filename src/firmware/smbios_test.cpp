#include "firmware/smbios.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <numeric>

namespace alcove::firmware {
namespace {

const SmbiosDescription kSmall{
    .uuid = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4c, 0xde, 0x8f, 1, 2, 3, 4, 5, 6, 7},
    .cpu_count = 2,
    .cpu_megahertz = 2450,
    .low_memory_size = 1u << 30};

// Formatted parts by type, as a reader walks them (6.1.2); fails on a structure that runs over the end.
std::multimap<int, std::vector<uint8_t>> walk(const std::vector<uint8_t>& bytes) {
  std::multimap<int, std::vector<uint8_t>> found;
  size_t at = 32;
  while (at + 4 <= bytes.size()) {
    const uint8_t type = bytes[at], size = bytes[at + 1];
    EXPECT_LE(at + size, bytes.size());
    found.emplace(type, std::vector<uint8_t>(bytes.begin() + static_cast<long>(at),
                                             bytes.begin() + static_cast<long>(at + size)));
    at += size;
    while (at + 1 < bytes.size() && (bytes[at] || bytes[at + 1])) ++at;
    at += 2;
  }
  EXPECT_EQ(at, bytes.size());
  return found;
}

TEST(Smbios, EntryPointIsSoundAndPointsBehindItself) {
  const auto bytes = build_smbios(kSmall, 0xf0000);
  EXPECT_EQ(std::string(bytes.begin(), bytes.begin() + 5), "_SM3_");
  EXPECT_EQ(std::accumulate(bytes.begin(), bytes.begin() + 24, 0) % 256, 0);
  uint64_t address;
  uint32_t size;
  std::memcpy(&size, bytes.data() + 12, 4);
  std::memcpy(&address, bytes.data() + 16, 8);
  EXPECT_EQ(address, 0xf0020u);
  EXPECT_EQ(size, bytes.size() - 32);
}

TEST(Smbios, StructuresHaveTheLengthsOfTheirVersion) {
  const auto found = walk(build_smbios(kSmall, 0xf0000));
  const std::map<int, size_t> lengths{{0, 24},  {1, 27},  {3, 22},  {4, 48}, {16, 23},
                                      {17, 40}, {19, 31}, {32, 11}, {127, 4}};
  EXPECT_EQ(found.size(), lengths.size());
  for (const auto& [type, structure] : found) EXPECT_EQ(structure.size(), lengths.at(type)) << type;
}

TEST(Smbios, IdentifierIsTheSystemUuid) {
  const auto system = walk(build_smbios(kSmall, 0xf0000)).find(1)->second;
  const std::vector<uint8_t> uuid(system.begin() + 8, system.begin() + 24);
  EXPECT_EQ(uuid, (std::vector<uint8_t>{0x67, 0x45, 0x23, 0x01, 0xab, 0x89, 0xde, 0x4c, 0x8f, 1, 2, 3, 4, 5,
                                        6, 7}));
}

TEST(Smbios, ProcessorsHaveASpeed) {
  const auto processor = walk(build_smbios(kSmall, 0xf0000)).find(4)->second;
  for (const size_t at : {0x14, 0x16}) {  // 7.5: the highest, and the present one.
    uint16_t megahertz;
    std::memcpy(&megahertz, processor.data() + at, 2);
    EXPECT_EQ(megahertz, 2450u);
  }
}

TEST(Smbios, StringsForTheGuestsPrograms) {
  SmbiosDescription talking = kSmall;
  talking.strings = {"io.systemd.credential:a=b\nc", "second"};
  const auto bytes = build_smbios(talking, 0xf0000);
  const auto found = walk(bytes);
  ASSERT_EQ(found.count(11), 1u);
  EXPECT_EQ(found.find(11)->second[4], 2);
  const std::string all(bytes.begin(), bytes.end());
  EXPECT_NE(all.find(std::string("io.systemd.credential:a=b\nc\0second\0\0", 36)), all.npos);
}

TEST(Smbios, LargeMemory) {
  SmbiosDescription large = kSmall;
  large.high_memory_size = 6ull << 40;
  const auto found = walk(build_smbios(large, 0xf0000));
  EXPECT_EQ(found.count(19), 2u);
  const auto& device = found.find(17)->second;
  uint32_t mebibytes;
  std::memcpy(&mebibytes, device.data() + 28, 4);
  EXPECT_EQ(mebibytes, (6u << 20) + 1024);
}

}  // namespace
}  // namespace alcove::firmware
