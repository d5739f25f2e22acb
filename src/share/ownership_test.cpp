#include "share/ownership.h"

#include <gtest/gtest.h>

namespace alcove::share {
namespace {

TEST(Ownership, MapsRangesBothWays) {
  const MappedOwnership map{.users = {{1000, 0, 1}, {5000, 100, 10}}, .groups = {{100, 0, 1}, {1, 1, 99}}};
  EXPECT_EQ(on_host(map, {0, 0})->user, 1000u);
  EXPECT_EQ(on_host(map, {109, 50})->user, 5009u);
  EXPECT_EQ(on_host(map, {109, 50})->group, 50u);
  EXPECT_FALSE(on_host(map, {110, 0}));
  EXPECT_FALSE(on_host(map, {0, 100}));
  Status status{};
  status.stx_uid = 5003;
  status.stx_gid = 7000;
  status.stx_mode = S_IFREG | 0640;
  const Seen mapped = seen(map, status, nullptr);
  EXPECT_EQ(mapped.owner.user, 103u);
  EXPECT_EQ(mapped.owner.group, kNobody);
  EXPECT_EQ(mapped.mode, S_IFREG | 0640u);
  EXPECT_EQ(seen(SquashedOwnership{5, 6}, status, nullptr).owner.group, 6u);
}

TEST(Ownership, OverridesAreWrittenAndRead) {
  const Override file{.owner = {1000, 100}, .mode = S_IFREG | 04755, .device = 0};
  EXPECT_EQ(format_override(file), "1000:100:04755:file");
  const Override disk{.owner = {0, 6}, .mode = S_IFBLK | 0660, .device = 0x12345678};
  EXPECT_EQ(format_override(disk), "0:6:0660:block-1110-74616");
  for (const Override& one : {file, disk}) {
    const auto read = parse_override(format_override(one), S_IFREG | 0600);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->owner.user, one.owner.user);
    EXPECT_EQ(read->owner.group, one.owner.group);
    EXPECT_EQ(read->mode, one.mode);
    EXPECT_EQ(read->device, one.device);
  }
  // As other programs write them.
  EXPECT_EQ(parse_override("1:2:0700", S_IFDIR | 0755)->mode, S_IFDIR | 0700u);
  // A folder stays one.
  EXPECT_EQ(parse_override("1:2:0700:pipe", S_IFDIR | 0755)->mode, S_IFDIR | 0700u);
}

TEST(Ownership, WhatIsNoOverrideIsIgnored) {
  for (const char* text :
       {"", "1", "1:2", "1:2:", "a:2:0700", "1:2:0999", "1:2:010000", "-1:2:0700", "4294967296:0:0",
        "1:2:0700:elephant", "1:2:0700:block-1", "1:2:0700:char-1-x", "1:2:0700:pipe ", "1:2:0700:dir"}) {
    EXPECT_FALSE(parse_override(text, S_IFREG | 0644)) << text;
  }
}

}  // namespace
}  // namespace alcove::share
