#include "devices/balloon/balloon.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <future>
#include <string>

#include "spec/virtio.h"
#include "spec/virtio_balloon.h"
#include "virtio/testing/fake_driver.h"

namespace alcove::devices::balloon {
namespace {

using namespace spec::virtio;
using virtio::testing::Bytes;
using virtio::testing::bytes_of;
using virtio::testing::FakeGuest;

constexpr uint64_t kMiB = 1 << 20;

struct BalloonTest : ::testing::Test {
  Balloon device{{.memory_size = FakeGuest::kMemorySize, .minimum_memory_size = 64 * kMiB}};
  FakeGuest guest;

  void start(std::vector<unsigned> queues = {0, 1, 2, 4}, uint64_t without = 0) {
    guest.activate(device, device.features() & ~without, 128, queues);
  }
  // Makes the host hold these pages, and returns how much memory it holds then.
  uint64_t touch(uint64_t address, uint64_t size) {
    std::memset(guest.memory().host_range(address, size), 0x55, size);
    return guest.memory().resident_size();
  }
  uint32_t config(size_t offset) {
    uint32_t value = 0;
    device.read_config(static_cast<uint32_t>(offset), std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  std::future<MemoryBalloonStatistics> statistics() {
    std::promise<MemoryBalloonStatistics> promise;
    auto future = promise.get_future();
    device.request_statistics(
        [promise = std::move(promise)](MemoryBalloonStatistics s) mutable { promise.set_value(s); });
    return future;
  }
  static Bytes pages(std::initializer_list<uint32_t> numbers) {
    Bytes all;
    for (uint32_t number : numbers) {
      const Bytes bytes = bytes_of(number);
      all.insert(all.end(), bytes.begin(), bytes.end());
    }
    return all;
  }
};

TEST_F(BalloonTest, InflatingGivesMemoryBack) {
  start();
  const uint64_t before = touch(100 * kMiB, 4 * kMiB);
  Bytes numbers;
  for (uint32_t i = 0; i < 1024; ++i) {
    const Bytes bytes = bytes_of(uint32_t(100 * kMiB / 4096 + (i < 512 ? i : 1535 - i)));  // Up, then down.
    numbers.insert(numbers.end(), bytes.begin(), bytes.end());
  }
  ASSERT_TRUE(guest.queue(0).request({.readable = {numbers}}));
  EXPECT_EQ(guest.memory().load<uint8_t>(100 * kMiB), 0);
  EXPECT_EQ(guest.memory().load<uint8_t>(104 * kMiB - 1), 0);
  EXPECT_LE(guest.memory().resident_size() + 4 * kMiB - 64 * 1024, before);
  ASSERT_TRUE(guest.queue(1).request({.readable = {pages({25600})}}));
}

// What users see of it: the proportional set size of the process.
uint64_t process_pss() {
  std::ifstream rollup("/proc/self/smaps_rollup");
  for (std::string word; rollup >> word;) {
    uint64_t kilobytes = 0;
    if (word == "Pss:" && rollup >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

TEST_F(BalloonTest, TheProcessShrinks) {
  if (process_pss() == 0) GTEST_SKIP() << "this kernel has no smaps_rollup";
  start();
  touch(64 * kMiB, 128 * kMiB);
  const uint64_t before = process_pss();
  guest.queue(4).set_descriptor(0, {64 * kMiB, uint32_t(128 * kMiB), kDescriptorWrite, 0});
  guest.queue(4).publish(0);
  guest.queue(4).notify();
  ASSERT_TRUE(guest.queue(4).wait());
  EXPECT_LE(process_pss() + 120 * kMiB, before);
}

TEST_F(BalloonTest, OnlyThePagesNamedAreGivenBack) {
  start();
  touch(100 * kMiB, 16384);
  ASSERT_TRUE(guest.queue(0).request({.readable = {pages({25601, 25603})}}));
  const uint8_t expected[] = {0x55, 0, 0x55, 0};
  for (unsigned i = 0; i < 4; ++i)
    EXPECT_EQ(guest.memory().load<uint8_t>(100 * kMiB + 4096 * i), expected[i]) << i;
}

TEST_F(BalloonTest, PagesOutsideMemoryAreIgnored) {
  start();
  touch(100 * kMiB, 4096);
  touch(FakeGuest::kMemorySize - 4096, 4096);
  ASSERT_TRUE(guest.queue(0).request(
      {.readable = {pages({0xffff'ffff, 0xfffe, 0xffff, 0x10000, 0x10001}), Bytes(3)}}));
  EXPECT_EQ(guest.memory().load<uint8_t>(FakeGuest::kMemorySize - 1),
            0);  // The part of the run that is memory.
  EXPECT_EQ(guest.memory().load<uint8_t>(100 * kMiB), 0x55);
  ASSERT_TRUE(guest.queue(0).request({.writable = {4096}}));
}

TEST_F(BalloonTest, FreePageReportsGiveMemoryBack) {
  start();
  touch(64 * kMiB, 8 * kMiB);
  const auto reply = guest.queue(4).request({.writable = {2 * 1024 * 1024, 4096 * 3}});
  ASSERT_TRUE(reply);
  EXPECT_EQ(device.reported_free_memory(), 2 * kMiB + 4096 * 3);
}

TEST_F(BalloonTest, ReportedPagesAreDiscarded) {
  start();
  FakeGuest& g = guest;
  const uint64_t before = touch(64 * kMiB, 8 * kMiB);
  g.queue(4).set_descriptor(0, {64 * kMiB, uint32_t(8 * kMiB), kDescriptorWrite, 0});
  g.queue(4).publish(0);
  g.queue(4).notify();
  ASSERT_TRUE(g.queue(4).wait());
  EXPECT_LE(g.memory().resident_size() + 8 * kMiB - 64 * 1024, before);
  EXPECT_EQ(g.memory().load<uint8_t>(70 * kMiB), 0);
}

// Linux before 6.11 numbers its queues without gaps.
TEST_F(BalloonTest, ReportsThroughAQueueWithoutGaps) {
  start({0, 1, 2, 3});
  ASSERT_TRUE(guest.queue(3).request({.writable = {8192}}));
  EXPECT_EQ(device.reported_free_memory(), 8192u);
  guest.reset();
  start({0, 1, 2}, kBalloonFeatureStatistics);
  ASSERT_TRUE(guest.queue(2).request({.writable = {4096}}));
  EXPECT_EQ(device.reported_free_memory(), 8192u + 4096u);
}

TEST_F(BalloonTest, TargetIsRoundedThenLimited) {
  start();
  EXPECT_EQ(device.target(), FakeGuest::kMemorySize);
  EXPECT_EQ(config(0), 0u);
  device.set_target(200 * kMiB + 12345);
  EXPECT_EQ(device.target(), 200 * kMiB);
  EXPECT_EQ(config(0), 56 * kMiB / 4096);
  EXPECT_EQ(guest.interrupts().configuration_count(), 1u);
  device.set_target(0);
  EXPECT_EQ(device.target(), 64 * kMiB);
  device.set_target(~uint64_t{0});
  EXPECT_EQ(device.target(), FakeGuest::kMemorySize);
}

TEST_F(BalloonTest, ActualSizeIsTheDriversWord) {
  start();
  uint32_t value = 25600;
  device.write_config(4, std::as_bytes(std::span(&value, 1)));
  EXPECT_EQ(config(4), 25600u);
  EXPECT_EQ(device.current_memory_size(), FakeGuest::kMemorySize - 100 * kMiB);
  value = ~0u;  // More than there is.
  device.write_config(4, std::as_bytes(std::span(&value, 1)));
  EXPECT_EQ(device.current_memory_size(), 0u);
  device.write_config(0, std::as_bytes(std::span(&value, 1)));
  EXPECT_EQ(config(0), 0u);
  guest.reset();
  EXPECT_EQ(device.current_memory_size(), FakeGuest::kMemorySize);
}

TEST_F(BalloonTest, StatisticsAreAskedFor) {
  start();
  const auto report = [&](const std::vector<BalloonStatistic>& items) {
    Bytes all;
    for (const BalloonStatistic& item : items) {
      const Bytes bytes = bytes_of(item);
      all.insert(all.end(), bytes.begin(), bytes.end());
    }
    guest.queue(2).add({.readable = {all}});
    guest.queue(2).notify();
  };
  report({{kBalloonFreeMemory, 1}});
  auto first = statistics();
  auto second = statistics();
  // Waits until the device has taken both requests, so that one answer serves both.
  device.pause();
  device.resume();
  ASSERT_TRUE(guest.queue(2).wait());  // The buffer comes back: give new figures.
  report({{kBalloonTotalMemory, 1000}, {kBalloonFreeMemory, 600}, {99, 5}, {kBalloonSwapOut, 3}});
  const MemoryBalloonStatistics result = first.get();
  EXPECT_EQ(result.total_memory, 1000u);
  EXPECT_EQ(result.free_memory, 600u);
  EXPECT_EQ(result.swapped_out, 3u);
  EXPECT_EQ(result.disk_caches, std::nullopt);
  EXPECT_EQ(result.current_memory_size, FakeGuest::kMemorySize);
  EXPECT_EQ(second.get(), result);
}

TEST_F(BalloonTest, StatisticsDoNotWaitForASilentDriver) {
  EXPECT_EQ(statistics().get().free_memory, std::nullopt);  // No driver at all.
  start();
  auto silent = statistics();
  ASSERT_EQ(silent.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  EXPECT_EQ(silent.get().total_memory, std::nullopt);
  auto cut_off = statistics();
  guest.reset();
  EXPECT_EQ(cut_off.get().total_memory, std::nullopt);
}

TEST_F(BalloonTest, ManyStatisticsBuffersAreGivenBack) {
  start();
  for (int i = 0; i < 5; ++i) guest.queue(2).add({.readable = {Bytes(10)}});
  guest.queue(2).notify();
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(guest.queue(2).wait());
}

TEST_F(BalloonTest, OffersWhatIsConfigured) {
  EXPECT_TRUE(device.features() & kBalloonFeaturePageReporting);
  EXPECT_TRUE(device.features() & kBalloonFeatureDeflateOnOutOfMemory);
  const Balloon plain({.memory_size = kMiB, .free_page_reporting = false, .deflate_on_out_of_memory = false});
  EXPECT_EQ(plain.features(), kBalloonFeatureStatistics);
}

}  // namespace
}  // namespace alcove::devices::balloon
