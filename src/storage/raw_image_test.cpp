#include "storage/raw_image.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sys/resource.h>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <random>
#include <thread>
#include <vector>

namespace alcove::storage {
namespace {

using Bytes = std::vector<std::byte>;

Bytes pattern(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// A file in the working directory, whose file system is more likely to know O_DIRECT than /tmp's.
struct RawImageTest
    : ::testing::TestWithParam<std::tuple<DiskImageCachingMode, DiskImageSynchronizationMode>> {
  std::string path = "raw_image_test.XXXXXX";
  int fd = mkostemp(path.data(), O_CLOEXEC);
  void SetUp() override { ASSERT_EQ(ftruncate(fd, 1 << 20), 0); }
  void TearDown() override {
    close(fd);
    std::filesystem::remove(path);
  }
  Result<std::unique_ptr<RawImage>> open_image(RawImage::Options options) {
    return RawImage::create(UniqueFd(open(path.c_str(), O_CLOEXEC | (options.read_only ? O_RDONLY : O_RDWR))),
                            options, "attachment");
  }
  std::unique_ptr<RawImage> image() {
    auto [caching, synchronization] = GetParam();
    auto result = open_image({.caching = caching, .synchronization = synchronization});
    if (result) return std::move(*result);
    EXPECT_EQ(caching, DiskImageCachingMode::uncached) << result.error().message();
    return nullptr;
  }
  Bytes contents() {
    Bytes all(std::filesystem::file_size(path));
    EXPECT_EQ(pread(fd, all.data(), all.size(), 0), static_cast<ssize_t>(all.size()));
    return all;
  }
};

IoResult write(Disk& disk, uint64_t offset, Bytes data) {
  const iovec buffer{data.data(), data.size()};
  return disk.write(offset, {&buffer, 1});
}

TEST_P(RawImageTest, ScatteredTransfersOfAnyAlignment) {
  const auto disk = image();
  if (!disk) GTEST_SKIP() << "this file system has no uncached access";
  Bytes expected = contents();
  std::mt19937 random(1);
  for (int i = 0; i < 200; ++i) {
    const uint64_t offset = random() % 2000 * 512;
    const uint64_t size = std::min<uint64_t>((1 + random() % 40) * 512, disk->size() - offset);
    Bytes data = pattern(size + 16, i);
    const size_t cut = random() % size, shift = i % 2 ? random() % 16 : 0;
    std::vector<iovec> buffers{
        {data.data() + shift, cut}, {data.data() + shift + cut, 0}, {data.data() + shift + cut, size - cut}};
    ASSERT_TRUE(disk->write(offset, buffers));
    std::memcpy(expected.data() + offset, data.data() + shift, size);
    Bytes back(size + 16);
    buffers = {{back.data() + 16 - shift, size - cut}, {back.data() + 16 - shift + size - cut, cut}};
    ASSERT_TRUE(disk->read(offset, buffers));
    ASSERT_EQ(std::memcmp(back.data() + 16 - shift, data.data() + shift, size), 0);
  }
  // What is in the host's memory can be read without waiting for it, where the file system can tell.
  Bytes now(4096);
  const iovec buffer{now.data(), now.size()};
  if (disk->try_read(8192, {&buffer, 1})) {
    EXPECT_EQ(disk->alignment(), 1u);
    EXPECT_EQ(std::memcmp(now.data(), expected.data() + 8192, now.size()), 0);
    EXPECT_FALSE(disk->try_read(disk->size(), {&buffer, 1}));
  }
  ASSERT_TRUE(disk->flush());
  EXPECT_EQ(contents(), expected);
}

TEST_P(RawImageTest, LargeTransfers) {
  ASSERT_EQ(ftruncate(fd, 8 << 20), 0);
  const auto disk = image();
  if (!disk) GTEST_SKIP() << "this file system has no uncached access";
  const Bytes data = pattern((8 << 20) - 512, 3);
  ASSERT_TRUE(write(*disk, 512, data));
  Bytes back(data.size() + 1);
  // 2048 buffers, so more than one system call takes.
  std::vector<iovec> buffers;
  const size_t piece = data.size() / 2048;
  for (size_t at = 0; at < data.size(); at += piece) {
    buffers.push_back({back.data() + 1 + at, std::min(piece, data.size() - at)});
  }
  ASSERT_TRUE(disk->read(512, buffers));
  EXPECT_EQ(std::memcmp(back.data() + 1, data.data(), data.size()), 0);
}

TEST_P(RawImageTest, DiscardGivesRoomBackAndZeroesAreZero) {
  const auto disk = image();
  if (!disk) GTEST_SKIP() << "this file system has no uncached access";
  ASSERT_TRUE(write(*disk, 0, pattern(1 << 20, 7)));
  Bytes expected = contents();
  for (bool may_unmap : {false, true}) {
    const uint64_t offset = may_unmap ? 0x20200 : 0x40000;
    ASSERT_TRUE(disk->write_zeroes(offset, 0x10400, may_unmap));
    std::memset(expected.data() + offset, 0, 0x10400);
    EXPECT_EQ(contents(), expected);
  }
  struct stat before{}, after{};
  ASSERT_TRUE(disk->flush());
  fsync(fd);
  fstat(fd, &before);
  ASSERT_TRUE(disk->discard(0x80000, 0x80000));
  fsync(fd);
  fstat(fd, &after);
  EXPECT_EQ(before.st_size, after.st_size);
  if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0) {
    EXPECT_LE(after.st_blocks + 0x80000 / 512, before.st_blocks);
  }
}

TEST_P(RawImageTest, FileThatShrankIsAnError) {
  const auto disk = image();
  if (!disk) GTEST_SKIP() << "this file system has no uncached access";
  ASSERT_EQ(ftruncate(fd, 4096), 0);
  Bytes back(8192);
  const iovec buffer{back.data(), back.size()};
  EXPECT_EQ(disk->read(0, {&buffer, 1}).error(), EIO);
}

TEST_P(RawImageTest, FullFileSystemIsAnError) {
  const auto disk = image();
  if (!disk) GTEST_SKIP() << "this file system has no uncached access";
  // A limit on the file's size stands for a full disk: both make the write fail.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{64 << 10, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const IoResult result = write(*disk, 128 << 10, Bytes(4096));
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_EQ(result.error(), EFBIG);
  EXPECT_TRUE(write(*disk, 128 << 10, Bytes(4096)));
}

TEST_P(RawImageTest, ConcurrentPartialWritesLoseNothing) {
  const auto disk = image();
  if (!disk) GTEST_SKIP() << "this file system has no uncached access";
  // Neighbouring sectors, written by two threads from misaligned buffers.
  const auto run = [&](unsigned parity) {
    for (unsigned round = 0; round < 3; ++round) {
      for (unsigned sector = parity; sector < 64; sector += 2) {
        Bytes data(513, static_cast<std::byte>(sector + 1));
        const iovec buffer{data.data() + 1, 512};
        ASSERT_TRUE(disk->write(sector * 512, {&buffer, 1}));
      }
    }
  };
  std::thread other(run, 1);
  run(0);
  other.join();
  const Bytes all = contents();
  for (unsigned sector = 0; sector < 64; ++sector)
    EXPECT_EQ(all[sector * 512], static_cast<std::byte>(sector + 1));
}

INSTANTIATE_TEST_SUITE_P(Modes, RawImageTest,
                         ::testing::Combine(::testing::Values(DiskImageCachingMode::automatic,
                                                              DiskImageCachingMode::cached,
                                                              DiskImageCachingMode::uncached),
                                            ::testing::Values(DiskImageSynchronizationMode::full,
                                                              DiskImageSynchronizationMode::fsync,
                                                              DiskImageSynchronizationMode::none)));

using RawImageErrors = RawImageTest;

TEST_P(RawImageErrors, TellCauseAndCure) {
  ASSERT_EQ(ftruncate(fd, 1000), 0);
  auto result = open_image({});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::invalid_disk_image);
  EXPECT_EQ(result.error().where, "attachment");
  EXPECT_NE(result.error().what.find("1000 bytes is not a multiple of 512"), std::string::npos);
  ASSERT_EQ(ftruncate(fd, 0), 0);
  EXPECT_FALSE(open_image({}));
  EXPECT_FALSE(RawImage::create(UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC)), {}, "a"));
  EXPECT_FALSE(RawImage::create(UniqueFd(), {}, "a"));
  ASSERT_EQ(ftruncate(fd, 1024), 0);
  EXPECT_FALSE(RawImage::create(UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC)), {}, "a"));
  auto read_only = open_image({.read_only = true});
  ASSERT_TRUE(read_only);
  EXPECT_TRUE((*read_only)->is_read_only());
  EXPECT_TRUE((*read_only)->flush());
}

INSTANTIATE_TEST_SUITE_P(Once, RawImageErrors,
                         ::testing::Values(std::tuple(DiskImageCachingMode::automatic,
                                                      DiskImageSynchronizationMode::full)));

}  // namespace
}  // namespace alcove::storage
