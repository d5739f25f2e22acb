#include "display/frame_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "display/display.h"
#include "support/damage.h"

namespace alcove::display {
namespace {

struct FrameMemoryTest : ::testing::Test {
  FrameMemory writer = FrameMemory::create().value();
  FrameMemory reader = FrameMemory::open(UniqueFd(::fcntl(writer.descriptor(), F_DUPFD_CLOEXEC, 0))).value();
  DisplayFrame frame;
  FrameMemory::Position position;

  void fill(DisplaySize size, const DisplayRectangle& part, uint32_t colour) {
    const auto pixels = writer.begin_frame(size);
    for (uint32_t y = part.y; y < part.y + part.height; ++y)
      for (uint32_t x = part.x; x < part.x + part.width; ++x) pixels[size_t{y} * size.width + x] = colour;
    writer.end_frame(std::span(&part, 1));
  }
  std::vector<DisplayRectangle> read() { return reader.read(frame, position); }
};

TEST_F(FrameMemoryTest, NothingWasShown) {
  EXPECT_TRUE(read().empty());
  EXPECT_EQ(frame.size, DisplaySize{});
  EXPECT_EQ(reader.read_cursor(0).size, DisplaySize{});
}

TEST_F(FrameMemoryTest, OnlyWhatChangedIsCopied) {
  fill({100, 50}, {0, 0, 100, 50}, 0x111111);
  EXPECT_EQ(read(), (std::vector<DisplayRectangle>{{0, 0, 100, 50}}));
  EXPECT_TRUE(read().empty());
  frame.pixels[99] = 42;  // Not the reader's affair, as it did not change.
  fill({100, 50}, {10, 20, 5, 3}, 0x222222);
  fill({100, 50}, {90, 49, 10, 1}, 0x333333);
  EXPECT_EQ(read(), (std::vector<DisplayRectangle>{{10, 20, 5, 3}, {90, 49, 10, 1}}));
  EXPECT_EQ(frame.pixels[22 * 100 + 14], 0x222222u);
  EXPECT_EQ(frame.pixels[22 * 100 + 15], 0x111111u);
  EXPECT_EQ(frame.pixels[49 * 100 + 99], 0x333333u);
  EXPECT_EQ(frame.pixels[99], 42u);
}

TEST_F(FrameMemoryTest, AnotherSizeIsBlackAndNewAsAWhole) {
  fill({100, 50}, {0, 0, 100, 50}, 0x111111);
  read();
  fill({60, 40}, {1, 1, 1, 1}, 0x444444);
  EXPECT_EQ(writer.size(), (DisplaySize{60, 40}));
  EXPECT_EQ(read(), (std::vector<DisplayRectangle>{{0, 0, 60, 40}}));
  EXPECT_EQ(frame.pixels[0], 0u);
  EXPECT_EQ(frame.pixels[61], 0x444444u);
}

TEST_F(FrameMemoryTest, ASlowReaderMissesFramesButNoChange) {
  fill({100, 50}, {0, 0, 100, 50}, 0x111111);
  read();
  for (uint32_t i = 0; i < 1000; ++i) fill({100, 50}, {i % 100, i % 50, 1, 1}, i);
  read();
  std::vector<uint32_t> expected(5000, 0x111111);
  for (uint32_t i = 0; i < 1000; ++i) expected[i % 50 * 100 + i % 100] = i;
  EXPECT_EQ(frame.pixels, expected);
}

// Each frame is of one colour.
TEST_F(FrameMemoryTest, FramesAreWhole) {
  std::atomic<bool> done = false;
  fill({64, 64}, {0, 0, 64, 64}, 0);
  std::thread writing([&] {
    for (uint32_t i = 1; !done; ++i) {
      fill({64, 64}, {0, 0, 64, 64}, i);
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  });
  for (int i = 0; i < 2000; ++i) {
    read();
    if (std::ranges::any_of(frame.pixels, [&](uint32_t pixel) { return pixel != frame.pixels[0]; })) {
      ADD_FAILURE() << "torn";
      break;
    }
  }
  done = true;
  writing.join();
}

TEST_F(FrameMemoryTest, AWriterThatDiedHoldsUpNobody) {
  fill({10, 10}, {0, 0, 10, 10}, 0x555555);
  (void)writer.begin_frame({10, 10});  // And no end.
  EXPECT_EQ(read().size(), 1u);
  EXPECT_EQ(frame.pixels[99], 0x555555u);
  fill({10, 10}, {0, 0, 10, 10}, 0x666666);  // The next process.
  read();
  EXPECT_EQ(frame.pixels[99], 0x666666u);
}

TEST_F(FrameMemoryTest, HostileContentsStayWithinBounds) {
  void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writer.descriptor(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  fill({10, 10}, {0, 0, 10, 10}, 1);
  read();
  for (const int byte : {0xff, 0x7e, 0x01}) {
    std::memset(memory, byte, 4096);
    static_cast<uint64_t*>(memory)[0] = 2;  // A writer that is through.
    read();
    EXPECT_LE(frame.size.width, kMaximumExtent);
    EXPECT_LE(frame.size.height, kMaximumExtent);
    EXPECT_EQ(frame.pixels.size(), size_t{frame.size.width} * frame.size.height);
    reader.read_cursor(0);
  }
  ::munmap(memory, 4096);
}

TEST_F(FrameMemoryTest, AnotherSizeOfMemoryIsRefused) {
  EXPECT_FALSE(FrameMemory::open(UniqueFd(::memfd_create("small", MFD_CLOEXEC))));
  EXPECT_FALSE(FrameMemory::open(UniqueFd()));
}

TEST_F(FrameMemoryTest, TheCursorsShapeIsReadOnce) {
  std::vector<uint32_t> shape(kCursorExtent * kCursorExtent, 0x80ff0000);
  writer.set_cursor_shape(shape, 5, 6);
  writer.set_cursor_position(true, -3, 70000);
  const DisplayCursor cursor = reader.read_cursor(0);
  EXPECT_TRUE(cursor.is_visible);
  EXPECT_EQ(cursor.x, -3);
  EXPECT_EQ(cursor.y, 70000);
  EXPECT_EQ(cursor.hot_x, 5u);
  EXPECT_EQ(cursor.hot_y, 6u);
  EXPECT_EQ(cursor.pixels, shape);
  EXPECT_TRUE(reader.read_cursor(cursor.shape).pixels.empty());
  writer.set_cursor_shape(shape, 0, 0);
  EXPECT_NE(reader.read_cursor(cursor.shape).shape, cursor.shape);
}

TEST(DisplayTest, TellsOfWhatIsNew) {
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Display display(FrameMemory::create().value(), UniqueFd(::fcntl(event.get(), F_DUPFD_CLOEXEC, 0)));
  display.blank();  // Nothing was shown, so nothing changes.
  eventfd_t count = 0;
  EXPECT_NE(::eventfd_read(event.get(), &count), 0);
  const DisplayRectangle all{0, 0, 2, 2};
  display.show({2, 2}, std::span(&all, 1), [](std::span<uint32_t> pixels) { std::ranges::fill(pixels, 7u); });
  EXPECT_EQ(::eventfd_read(event.get(), &count), 0);
  ::eventfd_write(event.get(), 0xfffffffffffffffe);  // Nobody reads it: whoever writes must not wait.
  display.blank();
  DisplayFrame frame;
  FrameMemory::Position position;
  display.memory().read(frame, position);
  EXPECT_EQ(frame.pixels, std::vector<uint32_t>(4, 0u));
}

TEST(DamageTest, FewRectanglesCoverAll) {
  Damage damage;
  damage.add({10, 10, 0, 5});
  EXPECT_TRUE(damage.is_empty());
  damage.add({10, 10, 5, 5});
  damage.add({11, 11, 2, 2});
  damage.add({9, 9, 8, 8});
  EXPECT_EQ(damage.take(), (std::vector<DisplayRectangle>{{9, 9, 8, 8}}));
  for (uint32_t i = 0; i < 100; ++i) damage.add({i * 3, i, 2, 1});
  const auto taken = damage.take();
  EXPECT_LE(taken.size(), Damage::kMostRectangles);
  for (uint32_t i = 0; i < 100; ++i)
    EXPECT_TRUE(std::ranges::any_of(taken, [&](const auto& one) { return contains(one, {i * 3, i, 2, 1}); }));
  EXPECT_EQ(clip({5, 5, 0xffffffff, 2}, {10, 10}), (DisplayRectangle{5, 5, 5, 2}));
  EXPECT_EQ(clip({10, 5, 1, 2}, {10, 10}), DisplayRectangle{});
}

}  // namespace
}  // namespace alcove::display
