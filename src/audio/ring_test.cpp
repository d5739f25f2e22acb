#include "audio/ring.h"

#include <gtest/gtest.h>

#include <thread>

namespace alcove::audio {
namespace {

using Bytes = std::vector<std::byte>;

TEST(Ring, TakesWhatThereIsRoomForAndGivesItInOrder) {
  Ring ring;
  ring.resize(5);
  const Bytes in = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  for (int turn = 0; turn < 10; ++turn) {  // At all places of the ring.
    EXPECT_EQ(ring.write(in), 4u);
    EXPECT_EQ(ring.write(in), 1u);
    EXPECT_EQ(ring.write(in), 0u);
    EXPECT_EQ(ring.fill(), 5u);
    Bytes out(9);
    EXPECT_EQ(ring.read(std::span(out).first(2)), 2u);
    EXPECT_EQ(ring.read(std::span(out).subspan(2)), 3u);
    out.resize(5);
    EXPECT_EQ(out, (Bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}, std::byte{1}}));
    EXPECT_EQ(ring.fill(), 0u);
    EXPECT_EQ(ring.write(std::span(in).first(1)), 1u);
    ring.clear();
    EXPECT_EQ(ring.fill(), 0u);
  }
}

TEST(Ring, AnEmptyOneTakesAndGivesNothing) {
  Ring ring;
  Bytes bytes(3);
  EXPECT_EQ(ring.write(bytes), 0u);
  EXPECT_EQ(ring.read(bytes), 0u);
}

TEST(Ring, TwoThreads) {
  constexpr size_t kSize = 200000;
  Ring ring;
  ring.resize(4093);
  std::thread writer([&] {
    Bytes piece(1000);
    for (size_t sent = 0; sent < kSize;) {
      for (size_t i = 0; i < piece.size(); ++i) piece[i] = static_cast<std::byte>((sent + i) % 251);
      const size_t count = ring.write(std::span(piece).first(std::min(piece.size(), kSize - sent)));
      if (count == 0) std::this_thread::yield();
      sent += count;
    }
  });
  size_t wrong = 0;
  Bytes piece(701);
  for (size_t got = 0; got < kSize;) {
    const size_t count = ring.read(piece);
    if (count == 0) std::this_thread::yield();
    for (size_t i = 0; i < count; ++i) wrong += piece[i] != static_cast<std::byte>((got + i) % 251);
    got += count;
  }
  writer.join();
  EXPECT_EQ(wrong, 0u);
}

}  // namespace
}  // namespace alcove::audio
