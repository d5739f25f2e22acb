#include "storage/managed_disk.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <thread>

#include "storage/testing/checking_disk.h"

namespace alcove::storage {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

struct ManagedDiskTest : ::testing::Test {
  std::shared_ptr<DiskControl> control = std::make_shared<DiskControl>(StorageDeviceLimits{});
  std::unique_ptr<ManagedDisk> disk =
      std::make_unique<ManagedDisk>(std::make_unique<testing::CheckingDisk>(1 << 20), control);
  std::array<std::byte, 4096> memory{};
  std::array<iovec, 1> buffers{{{memory.data(), memory.size()}}};
};

TEST_F(ManagedDiskTest, CountsWhatIsDone) {
  ASSERT_TRUE(disk->read(0, buffers));
  ASSERT_TRUE(disk->read(4096, buffers));
  ASSERT_TRUE(disk->write(0, buffers));
  ASSERT_TRUE(disk->write_zeroes(0, 8192, true));
  ASSERT_TRUE(disk->discard(0, 8192));
  EXPECT_FALSE(disk->flush());  // As this disk does.
  EXPECT_EQ(control->statistics(), (StorageDeviceStatistics{.size = 1 << 20,
                                                            .read_operations = 2,
                                                            .read_bytes = 8192,
                                                            .write_operations = 2,
                                                            .written_bytes = 4096,
                                                            .flush_operations = 1,
                                                            .discard_operations = 1,
                                                            .failed_operations = 1}));
}

TEST_F(ManagedDiskTest, WaitsForWhatWasDoneBefore) {
  control->set_limits({.operations_per_second = 20});
  const auto start = steady_clock::now();
  // The first two or three come out of what was saved; each other waits for 50 ms.
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(disk->read(0, buffers));
  EXPECT_GE(steady_clock::now() - start, 150ms);
  EXPECT_FALSE(disk->try_read(0, buffers)) << "which may not wait";
}

TEST_F(ManagedDiskTest, BytesCountTogether) {
  control->set_limits({.bytes_per_second = 40960});
  const auto start = steady_clock::now();
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(disk->read(0, buffers));
    ASSERT_TRUE(disk->write(0, buffers));
    ASSERT_TRUE(disk->flush() || true);  // Costs nothing.
  }
  EXPECT_GE(steady_clock::now() - start, 150ms);
}

TEST_F(ManagedDiskTest, WhoeverWaitsGoesOnWhenThereIsHaste) {
  control->set_limits({.bytes_per_second = 1});
  ASSERT_TRUE(disk->read(0, buffers));
  std::jthread reader([&] { ASSERT_TRUE(disk->read(0, buffers)); });  // For an hour.
  std::this_thread::sleep_for(20ms);
  control->set_rushing(true);
  reader.join();
  ASSERT_TRUE(disk->read(0, buffers));
}

TEST_F(ManagedDiskTest, OtherLimitsLetGoToo) {
  control->set_limits({.bytes_per_second = 1});
  ASSERT_TRUE(disk->read(0, buffers));
  std::jthread reader([&] { ASSERT_TRUE(disk->read(0, buffers)); });
  std::this_thread::sleep_for(20ms);
  control->set_limits({});
  reader.join();
}

TEST_F(ManagedDiskTest, TheLargestNumbersDoNotOverflow) {
  control->set_limits({.bytes_per_second = 1, .operations_per_second = UINT64_MAX});
  ASSERT_TRUE(disk->read(0, buffers));
  control->set_rushing(true);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(disk->read(0, buffers));
  control->set_rushing(false);
  std::jthread reader([&] { ASSERT_TRUE(disk->read(0, buffers)); });
  std::this_thread::sleep_for(5ms);
  control->set_rushing(true);
}

TEST_F(ManagedDiskTest, TheControlOutlivesIt) {
  disk.reset();
  control->abandon();
  EXPECT_FALSE(control->resize(2 << 20, "storage_devices[0]"));
  EXPECT_EQ(control->statistics().size, uint64_t{1} << 20);
}

}  // namespace
}  // namespace alcove::storage
