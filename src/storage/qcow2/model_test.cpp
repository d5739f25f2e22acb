// Random requests to an image and to memory: both have the same contents, and the image is sound all along.
// ALCOVE_QCOW2_OPERATIONS says how many, for long runs.
#include <cstring>

#include "storage/qcow2/testing/image_files.h"
#include "storage/raw_image.h"

namespace alcove::storage::qcow2 {
namespace {

using namespace testing;

struct Model {
  uint64_t cluster_size;
  uint64_t disk_size;
  bool has_backing = false;
  bool direct = false;
  const char* version = nullptr;  // Made by qemu-img, then.
  bool is_synchronized = false;
};

struct ModelTest : ::testing::TestWithParam<Model> {
  ImageFiles files;
  std::mt19937_64 random{1};
  Bytes contents;
  std::unique_ptr<Image> image;
  std::string path = files.path();

  uint64_t up_to(uint64_t most) { return random() % (most + 1); }
  std::unique_ptr<Disk> backing() {
    if (!GetParam().has_backing) return nullptr;
    UniqueFd fd(::open(files.path("base.img").c_str(), O_RDONLY | O_CLOEXEC));
    return *RawImage::create(std::move(fd), {.read_only = true}, "base");
  }
  void open() {
    const auto caching = GetParam().direct ? DiskImageCachingMode::uncached : DiskImageCachingMode::automatic;
    const auto synchronization =
        GetParam().is_synchronized ? DiskImageSynchronizationMode::fsync : DiskImageSynchronizationMode::none;
    image = ImageFiles::open(path, backing(), {.caching = caching, .synchronization = synchronization});
    ASSERT_TRUE(image);
  }
  void close_and_check() {
    image.reset();
    expect_clean(path);
  }
  // Mostly short, sometimes long; sectors.
  std::pair<uint64_t, uint64_t> range() {
    const uint64_t sectors = contents.size() / 512;
    const uint64_t offset = up_to(sectors - 1);
    const uint64_t most = up_to(9) == 0 ? sectors / 3 : 3 * GetParam().cluster_size / 512;
    const uint64_t size = 1 + up_to(std::min(most, sectors - offset) - 1);
    return {offset * 512, size * 512};
  }
  void compare(uint64_t offset, uint64_t size) {
    const Bytes found = read(*image, offset, size);
    for (uint64_t at = 0; at < size; at += 512) {
      ASSERT_EQ(std::memcmp(&found[at], &contents[offset + at], 512), 0) << "at " << offset + at;
    }
  }
  void act() {
    const auto [offset, size] = range();
    switch (up_to(9)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        Bytes data = random_bytes(size, static_cast<unsigned>(random()));
        // Scattered, as guests' requests are.
        const size_t cut = up_to(size);
        const iovec buffers[] = {{data.data(), cut}, {data.data() + cut, size - cut}};
        ASSERT_TRUE(image->write(offset, buffers));
        std::ranges::copy(data, contents.begin() + static_cast<ptrdiff_t>(offset));
        break;
      }
      case 4:
      case 5:
        ASSERT_TRUE(image->write_zeroes(offset, size, up_to(1) == 0));
        std::fill_n(contents.begin() + static_cast<ptrdiff_t>(offset), size, std::byte{0});
        break;
      case 6: {
        ASSERT_TRUE(image->discard(offset, size));
        // What was there, or zeroes.
        const Bytes found = read(*image, offset, size);
        for (uint64_t at = 0; at < size; at += 512) {
          const bool is_zero =
              std::all_of(&found[at], &found[at] + 512, [](std::byte b) { return b == std::byte{0}; });
          ASSERT_TRUE(is_zero || std::memcmp(&found[at], &contents[offset + at], 512) == 0);
        }
        std::ranges::copy(found, contents.begin() + static_cast<ptrdiff_t>(offset));
        break;
      }
      case 7:
        ASSERT_TRUE(image->flush());
        break;
      default:
        compare(offset, size);
    }
  }
  void grow() {
    const uint64_t size = contents.size() + (1 + up_to(63)) * 512;
    const auto resized = image->resize(size, false, "path");
    ASSERT_TRUE(resized) << resized.error().message();
    contents.resize(size);
  }
};

TEST_P(ModelTest, ContentsAreThoseOfMemory) {
  const Model& model = GetParam();
  contents.resize(model.disk_size);
  if (model.has_backing) {
    // Shorter than the disk.
    const Bytes base = random_bytes(model.disk_size / 2, 7);
    std::ranges::copy(base, contents.begin());
    UniqueFd fd(::open(files.path("base.img").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
    ASSERT_EQ(pwrite(fd.get(), base.data(), base.size(), 0), static_cast<ssize_t>(base.size()));
  }
  if (model.version) {
    if (!has_qemu_img()) GTEST_SKIP() << "there is no qemu-img (package qemu-utils)";
    ASSERT_TRUE(run("qemu-img create -f qcow2 -o cluster_size=" + std::to_string(model.cluster_size) + "," +
                    model.version + " " + path + " " + std::to_string(model.disk_size)));
  } else {
    ImageFiles::create(path, {.size = model.disk_size, .cluster_size = model.cluster_size});
  }
  const char* wanted = std::getenv("ALCOVE_QCOW2_OPERATIONS");
  const int operations = wanted ? std::atoi(wanted) : 200;
  open();
  for (int i = 1; i <= operations && !HasFatalFailure(); ++i) {
    act();
    if (i % 500 == 0) grow();
    if (i % 100 != 0) continue;
    compare(0, contents.size());
    close_and_check();
    open();
    compare(0, contents.size());
  }
  close_and_check();
  if (model.has_backing || !has_qemu_img()) return;
  // The other way: what another program reads.
  UniqueFd fd(::open(files.path("model.img").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
  ASSERT_EQ(pwrite(fd.get(), contents.data(), contents.size(), 0), static_cast<ssize_t>(contents.size()));
  EXPECT_TRUE(run("qemu-img compare -f qcow2 -F raw " + path + " " + files.path("model.img")));
}

INSTANTIATE_TEST_SUITE_P(
    Images, ModelTest,
    ::testing::Values(Model{512, 300 << 10}, Model{4096, 3 << 20}, Model{65536, (6 << 20) + 512},
                      Model{2 << 20, 9 << 20}, Model{4096, 2 << 20, true}, Model{65536, 5 << 20, true},
                      Model{65536, 3 << 20, false, true}, Model{512, 200 << 10, false, false, "compat=0.10"},
                      Model{4096, 1 << 20, true, false, "compat=0.10"},
                      Model{1024, 500 << 10, false, false, "refcount_bits=1"},
                      Model{4096, 1 << 20, false, false, "refcount_bits=64,lazy_refcounts=on"},
                      Model{512, 300 << 10, false, false, nullptr, true},
                      Model{4096, 2 << 20, true, false, nullptr, true}),
    [](const auto& param) {
      const Model& model = param.param;
      std::string name = "Cluster" + std::to_string(model.cluster_size);
      if (model.has_backing) name += "Backing";
      if (model.direct) name += "Direct";
      if (model.is_synchronized) name += "Synchronized";
      for (const char* c = model.version ? model.version : ""; *c; ++c) {
        if (std::isalnum(static_cast<unsigned char>(*c))) name += *c;
      }
      return name;
    });

}  // namespace
}  // namespace alcove::storage::qcow2
