#include "share/access_list.h"

#include <gtest/gtest.h>

#include <cstring>

namespace alcove::share {
namespace {

using Bytes = std::vector<std::byte>;
using Tag = AccessList::Tag;

// As the attribute has it: a version, then tag, permissions and id of each.
Bytes bytes_of(std::initializer_list<std::array<uint32_t, 3>> entries, uint32_t version = 2) {
  Bytes bytes(4 + entries.size() * 8);
  std::memcpy(bytes.data(), &version, 4);
  size_t at = 4;
  for (const auto& [tag, permissions, id] : entries) {
    const uint32_t both = tag | permissions << 16;
    std::memcpy(&bytes[at], &both, 4);
    std::memcpy(&bytes[at + 4], &id, 4);
    at += 8;
  }
  return bytes;
}
constexpr uint32_t kNone = UINT32_MAX;
const Bytes kMinimal = bytes_of({{1, 6, kNone}, {4, 4, kNone}, {32, 0, kNone}});
// user::rwx user:1000:rw group::r-x group:50:rwx mask::rw other::r
const Bytes kFull =
    bytes_of({{1, 7, kNone}, {2, 6, 1000}, {4, 5, kNone}, {8, 7, 50}, {16, 6, kNone}, {32, 4, kNone}});

TEST(AccessList, IsWhatTheAttributeSays) {
  const auto minimal = AccessList::parse(kMinimal), full = AccessList::parse(kFull);
  ASSERT_TRUE(minimal && full);
  EXPECT_TRUE(minimal->is_minimal());
  EXPECT_FALSE(full->is_minimal());
  EXPECT_EQ(minimal->format(), kMinimal);
  EXPECT_EQ(full->format(), kFull);
  EXPECT_EQ(minimal->permissions(), 0640u);
  EXPECT_EQ(full->permissions(), 0764u);
  ASSERT_EQ(full->entries().size(), 6u);
  EXPECT_EQ(full->entries()[3].tag, Tag::group);
  EXPECT_EQ(full->entries()[3].id, 50u);
}

TEST(AccessList, IsNoneThatIsNotValid) {
  EXPECT_FALSE(AccessList::parse({}));
  EXPECT_FALSE(AccessList::parse(Bytes(4)));
  EXPECT_FALSE(AccessList::parse(bytes_of({{1, 6, 0}, {4, 4, 0}, {32, 0, 0}}, 1)));
  Bytes longer = kMinimal;
  longer.resize(longer.size() + 7);
  EXPECT_FALSE(AccessList::parse(longer));
  EXPECT_FALSE(AccessList::parse(bytes_of({{1, 8, 0}, {4, 4, 0}, {32, 0, 0}})));              // A fourth bit.
  EXPECT_FALSE(AccessList::parse(bytes_of({{1, 6, 0}, {4, 4, 0}, {32, 0, 0}, {64, 0, 0}})));  // No such tag.
  EXPECT_FALSE(AccessList::parse(bytes_of({{1, 6, 0}, {3, 4, 0}, {4, 0, 0}, {32, 0, 0}})));
  EXPECT_FALSE(AccessList::parse(bytes_of({{4, 4, 0}, {32, 0, 0}})));
  EXPECT_FALSE(AccessList::parse(bytes_of({{1, 4, 0}, {32, 0, 0}})));
  EXPECT_FALSE(AccessList::parse(bytes_of({{1, 4, 0}, {4, 0, 0}})));
  EXPECT_FALSE(AccessList::parse(bytes_of({{1, 6, 0}, {1, 6, 0}, {4, 4, 0}, {32, 0, 0}})));
  EXPECT_FALSE(AccessList::parse(bytes_of({{4, 6, 0}, {1, 4, 0}, {32, 0, 0}})));
  // Names without a mask.
  EXPECT_FALSE(AccessList::parse(bytes_of({{1, 6, 0}, {2, 6, 1000}, {4, 4, 0}, {32, 0, 0}})));
}

TEST(AccessList, FollowsTheMode) {
  auto minimal = *AccessList::parse(kMinimal), full = *AccessList::parse(kFull);
  minimal.set_permissions(0751);
  EXPECT_EQ(minimal.format(), bytes_of({{1, 7, kNone}, {4, 5, kNone}, {32, 1, kNone}}));
  // The group's bits are the mask; what the owning group may stays.
  full.set_permissions(0610);
  EXPECT_EQ(full.permissions(), 0610u);
  EXPECT_EQ(full.entries()[2].permissions, 5);
  EXPECT_EQ(full.entries()[4].permissions, 1);
}

TEST(AccessList, GivesNoMoreThanWhatMakesAFileAsksFor) {
  const AccessList made = AccessList::parse(kFull)->inherited(0640);
  EXPECT_EQ(
      made.format(),
      bytes_of({{1, 6, kNone}, {2, 6, 1000}, {4, 5, kNone}, {8, 7, 50}, {16, 4, kNone}, {32, 0, kNone}}));
}

TEST(AccessList, IsTranslatedWhole) {
  const auto full = *AccessList::parse(kFull);
  const auto other = full.translated(
      [](Tag tag, uint32_t id) -> std::optional<uint32_t> { return tag == Tag::user ? id + 1 : id + 2; });
  ASSERT_TRUE(other);
  EXPECT_EQ(other->entries()[1].id, 1001u);
  EXPECT_EQ(other->entries()[3].id, 52u);
  EXPECT_FALSE(full.translated([](Tag tag, uint32_t id) -> std::optional<uint32_t> {
    if (tag == Tag::group) return {};
    return id;
  }));
}

}  // namespace
}  // namespace alcove::share
