#include "devices/entropy/entropy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "virtio/testing/fake_driver.h"

namespace alcove::devices::entropy {
namespace {

using virtio::testing::Bytes;
using virtio::testing::FakeGuest;

struct EntropyTest : ::testing::Test {
  Entropy device;
  FakeGuest guest;
  void SetUp() override { guest.activate(device, 0); }
};

TEST_F(EntropyTest, FillsAllBuffersWithDifferentBytes) {
  const auto reply = guest.queue(0).request({.writable = {1000, 3, 500}});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->length, 1503u);
  for (const Bytes& bytes : {reply->writable[0], reply->writable[2]}) {
    EXPECT_GT(std::set(bytes.begin(), bytes.end()).size(), 100u);
  }
  const auto other = guest.queue(0).request({.writable = {1000}});
  EXPECT_NE(other->writable[0], reply->writable[0]);
}

TEST_F(EntropyTest, OneRequestIsBounded) {
  const auto reply = guest.queue(0).request({.writable = {kMaximumRequest, 4096}});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->length, kMaximumRequest);
  EXPECT_EQ(reply->writable[1], Bytes(4096));
}

TEST_F(EntropyTest, RequestsWithoutRoomAreGivenBack) {
  const auto reply = guest.queue(0).request({.readable = {Bytes(16)}});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->length, 0u);
}

}  // namespace
}  // namespace alcove::devices::entropy
