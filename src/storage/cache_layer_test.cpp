#include "storage/cache_layer.h"

#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include "storage/identity.h"
#include "storage/qcow2/testing/image_files.h"
#include "storage/stack.h"

namespace alcove::storage {
namespace {

using namespace qcow2::testing;

constexpr uint64_t kBlock = CacheLayer::kBlockSize;

// Counts what is read of it.
class SlowDisk final : public Disk {
 public:
  explicit SlowDisk(Bytes bytes) : bytes_(std::move(bytes)) {}
  uint64_t size() const override { return claimed ? claimed : bytes_.size(); }
  bool is_read_only() const override { return true; }
  IoResult read(uint64_t offset, std::span<const iovec> buffers) override {
    if (fails) return std::unexpected(EIO);
    for (const iovec& buffer : buffers) {
      std::memcpy(buffer.iov_base, &bytes_[offset], buffer.iov_len);
      offset += buffer.iov_len;
      count += buffer.iov_len;
    }
    return {};
  }
  IoResult write(uint64_t, std::span<const iovec>) override { return std::unexpected(EROFS); }
  IoResult flush() override { return {}; }
  IoResult discard(uint64_t, uint64_t) override { return std::unexpected(EROFS); }
  IoResult write_zeroes(uint64_t, uint64_t, bool) override { return std::unexpected(EROFS); }

  std::atomic<uint64_t> count = 0;
  bool fails = false;
  uint64_t claimed = 0;  // As its size; 0: what it has.

 private:
  const Bytes bytes_;
};

struct CacheLayerTest : ::testing::Test {
  static constexpr size_t kSize = 10 * kBlock + 1024;
  ImageFiles files;
  const std::string path = files.path("cache");
  const Bytes contents = [] {
    Bytes bytes = random_bytes(kSize, 1);
    std::fill_n(bytes.begin() + 4 * kBlock, kBlock, std::byte{0});
    return bytes;
  }();
  SlowDisk* below = nullptr;

  Result<std::unique_ptr<CacheLayer>> open(std::optional<uint64_t> identity = 7,
                                           const std::string& name = "cache") {
    auto disk = std::make_unique<SlowDisk>(contents);
    below = disk.get();
    return CacheLayer::create(UniqueFd(::open(files.path(name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)),
                              std::move(disk), identity, "attachment");
  }
  Bytes part(uint64_t offset, size_t size) const {
    return {contents.begin() + static_cast<ptrdiff_t>(offset),
            contents.begin() + static_cast<ptrdiff_t>(offset + size)};
  }
};

TEST_F(CacheLayerTest, ReadsEachBlockOnce) {
  const auto cache = open();
  ASSERT_TRUE(cache) << cache.error().message();
  EXPECT_EQ((*cache)->size(), kSize);
  EXPECT_EQ(read(**cache, kBlock + 512, 1024), part(kBlock + 512, 1024));
  EXPECT_EQ(below->count, kBlock);
  EXPECT_EQ(read(**cache, kBlock + 4096, 8192), part(kBlock + 4096, 8192));
  EXPECT_EQ(below->count, kBlock);
  // What is there, what is not, and zeroes among it.
  EXPECT_EQ(read(**cache, 0, kSize), contents);
  EXPECT_EQ(below->count, kSize);
  below->fails = true;
  EXPECT_EQ(read(**cache, 0, kSize), contents);
  std::byte sector[512];
  const iovec buffer{sector, sizeof sector};
  EXPECT_TRUE((*cache)->try_read(kSize - 512, {&buffer, 1}));
  EXPECT_EQ(std::memcmp(sector, &contents[kSize - 512], sizeof sector), 0);
}

TEST_F(CacheLayerTest, KeepsItForTheNext) {
  {
    EXPECT_EQ(read(**open(), 0, 3 * kBlock), part(0, 3 * kBlock));
  }
  const auto cache = open();
  ASSERT_TRUE(cache);
  below->fails = true;
  EXPECT_EQ(read(**cache, 512, 3 * kBlock - 512), part(512, 3 * kBlock - 512));
  std::byte sector[512];
  const iovec buffer{sector, sizeof sector};
  EXPECT_FALSE((*cache)->try_read(3 * kBlock, {&buffer, 1}));
  EXPECT_FALSE((*cache)->read(3 * kBlock, {&buffer, 1}));
}

TEST_F(CacheLayerTest, IsBegunAnewOverWhatMayHaveChanged) {
  for (const std::optional<uint64_t> before : {std::optional<uint64_t>(7), {}}) {
    {
      EXPECT_EQ(read(**open(before), 0, kSize), contents);
    }
    const auto cache = open(std::nullopt);
    ASSERT_TRUE(cache);
    EXPECT_EQ(read(**cache, 0, kBlock), part(0, kBlock));
    EXPECT_EQ(below->count, kBlock);
    EXPECT_EQ(read(**cache, 0, kBlock), part(0, kBlock));
    EXPECT_EQ(below->count, kBlock);
  }
  // Nor does the next believe it that would know.
  const auto cache = open(0);
  ASSERT_TRUE(cache);
  EXPECT_EQ(read(**cache, 0, kBlock), part(0, kBlock));
  EXPECT_EQ(below->count, kBlock);
}

TEST_F(CacheLayerTest, DisksTooLargeAreRefused) {
  for (const uint64_t claimed : {CacheLayer::kMostSize + 512, uint64_t{1} << 61}) {
    auto disk = std::make_unique<SlowDisk>(contents);
    disk->claimed = claimed;
    const auto cache = CacheLayer::create(UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)),
                                          std::move(disk), 7, "attachment");
    ASSERT_FALSE(cache);
    EXPECT_EQ(cache.error().code, ErrorCode::not_supported);
    EXPECT_NE(cache.error().what.find("64 TiB"), std::string::npos);
  }
}

TEST(Identity, IsThatOfFilesAndTheirTimesButNotOfDevices) {
  struct stat file{};
  file.st_mode = S_IFREG;
  file.st_ino = 5;
  struct stat changed = file, device = file;
  changed.st_mtim.tv_nsec = 1;
  device.st_mode = S_IFBLK;
  const auto of = [](std::initializer_list<struct stat> all) {
    Identity identity;
    for (const struct stat& one : all) identity.add(one);
    return identity.value();
  };
  EXPECT_TRUE(of({file}));
  EXPECT_EQ(of({file, file}), of({file, file}));
  EXPECT_NE(of({file}), of({changed}));
  EXPECT_FALSE(of({device}));
  EXPECT_FALSE(of({device, file}));
  EXPECT_FALSE(of({file, device}));
}

TEST_F(CacheLayerTest, BelievesNothingElse) {
  {
    EXPECT_EQ(read(**open(), 0, kSize), contents);
  }
  // Of a disk that has changed.
  {
    const auto cache = open(8);
    ASSERT_TRUE(cache);
    EXPECT_EQ(read(**cache, 0, kBlock), part(0, kBlock));
    EXPECT_EQ(below->count, kBlock);
    // As a process that is killed leaves it.
    std::filesystem::copy(path, files.path("killed"));
  }
  const auto cache = open(8, "killed");
  ASSERT_TRUE(cache);
  EXPECT_EQ(read(**cache, 0, kBlock), part(0, kBlock));
  EXPECT_EQ(below->count, kBlock);
}

TEST_F(CacheLayerTest, LeavesOtherFilesAlone) {
  const std::string text(100, 'x');
  std::ofstream(path) << text;
  const auto cache = open();
  ASSERT_FALSE(cache);
  EXPECT_NE(cache.error().what.find("something else"), std::string::npos);
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), text);
}

TEST_F(CacheLayerTest, GoesOnWithoutRoom) {
  const auto cache = open();
  ASSERT_TRUE(cache);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto ignored = signal(SIGXFSZ, SIG_IGN);
  const rlimit little{4 * kBlock, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &little);
  EXPECT_EQ(read(**cache, 0, kSize), contents);
  EXPECT_EQ(read(**cache, 0, kSize), contents);
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, ignored);
  EXPECT_GT(below->count, kSize);
}

TEST_F(CacheLayerTest, ServesSeveralAtOnce) {
  const auto cache = open();
  ASSERT_TRUE(cache);
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int number = 0; number < 4; ++number) {
    threads.emplace_back([&, number] {
      for (uint64_t offset = 0; offset + 4096 <= kSize; offset += 4096) {
        const uint64_t at = number % 2 ? offset : (kSize - 4096 - offset) / 512 * 512;
        right += read(**cache, at, 4096) == part(at, 4096);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 4 * static_cast<int>(kSize / 4096));
}

TEST_F(CacheLayerTest, LiesBetweenImages) {
  const std::string base = files.path("base.img"), top = files.path("top.qcow2");
  std::ofstream(base, std::ios::binary)
      .write(reinterpret_cast<const char*>(contents.data()), static_cast<std::streamsize>(kSize));
  ImageFiles::create(top, {.size = kSize});
  const DiskImageStorageDeviceAttachment image{
      .path = top, .base_layers = {{.path = base}, {.path = path, .is_cache = true}}};
  const auto stack = [&] {
    std::vector<UniqueFd> opened;
    opened.emplace_back(::open(top.c_str(), O_RDWR | O_CLOEXEC));
    opened.emplace_back(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    opened.emplace_back(::open(base.c_str(), O_RDONLY | O_CLOEXEC));
    return open_stack(layers_of(image, std::move(opened)), kFast, "attachment");
  };
  {
    auto disk = stack();
    ASSERT_TRUE(disk) << disk.error().message();
    ASSERT_TRUE(write(**disk, 0, Bytes(512, std::byte{5})));
    EXPECT_EQ(read(**disk, 512, kSize - 512), part(512, kSize - 512));
  }
  // Nothing is read of the base any more, as long as it looks the same.
  const auto time = std::filesystem::last_write_time(base);
  std::fstream(base, std::ios::binary | std::ios::in | std::ios::out).write("changed", 7).flush();
  std::filesystem::last_write_time(base, time);
  {
    auto disk = stack();
    ASSERT_TRUE(disk);
    EXPECT_EQ(read(**disk, 0, 512), Bytes(512, std::byte{5}));
    EXPECT_EQ(read(**disk, 512, kSize - 512), part(512, kSize - 512));
  }
}

}  // namespace
}  // namespace alcove::storage
