#include "support/log_ring.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace alcove {
namespace {

void append(LogRing& ring, std::string_view text) {
  ring.append(std::as_bytes(std::span(text)));
}

TEST(LogRing, KeepsWhatWasAppended) {
  auto ring = LogRing::create();
  ASSERT_TRUE(ring);
  EXPECT_EQ(ring->read(), "");
  append(*ring, "one ");
  append(*ring, "two");
  EXPECT_EQ(ring->read(), "one two");
  EXPECT_EQ(ring->position(), 7u);
}

TEST(LogRing, ForgetsTheOldest) {
  auto ring = LogRing::create();
  ASSERT_TRUE(ring);
  append(*ring, "lost");
  append(*ring, std::string(LogRing::kCapacity - 3, 'a') + "end");
  EXPECT_EQ(ring->read(), std::string(LogRing::kCapacity - 3, 'a') + "end");
  EXPECT_EQ(ring->position(), LogRing::kCapacity + 4);
}

TEST(LogRing, IsSharedByItsDescriptor) {
  auto ring = LogRing::create();
  ASSERT_TRUE(ring);
  auto other = LogRing::open(UniqueFd(::fcntl(ring->descriptor(), F_DUPFD_CLOEXEC, 0)));
  ASSERT_TRUE(other) << other.error().message();
  append(*other, "from the machine");
  EXPECT_EQ(ring->read(), "from the machine");
  ring->clear();
  EXPECT_EQ(other->read(), "");
}

TEST(LogRing, CannotBeShrunkUnderItsReader) {
  auto ring = LogRing::create();
  ASSERT_TRUE(ring);
  EXPECT_NE(::ftruncate(ring->descriptor(), 0), 0);
}

TEST(LogRing, RefusesAnotherFile) {
  EXPECT_FALSE(LogRing::open(UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC))));
  EXPECT_FALSE(LogRing::open(UniqueFd()));
}

}  // namespace
}  // namespace alcove
