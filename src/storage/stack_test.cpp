#include "storage/stack.h"

#include <cstring>
#include <fstream>

#include "storage/qcow2/testing/image_files.h"

namespace alcove::storage {
namespace {

using namespace qcow2::testing;

struct Stack : ::testing::Test {
  ImageFiles files;

  std::string raw(const std::string& name, const Bytes& bytes) {
    std::ofstream(files.path(name), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return files.path(name);
  }
  static StackLayer layer(const std::string& path, bool read_only,
                          DiskImageFormat format = DiskImageFormat::automatic) {
    return {.fd = UniqueFd(::open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC)),
            .format = format};
  }
  template <class... Layers>
  static Result<std::unique_ptr<Disk>> stack(Layers... layers) {
    std::vector<StackLayer> all;
    (all.push_back(std::move(layers)), ...);
    return open_stack(std::move(all), kFast, "attachment");
  }
};

TEST_F(Stack, LayersShowThroughAndTheTopOneTakesWhatIsWritten) {
  const Bytes base = random_bytes(1 << 20, 1);
  const std::string bottom = raw("base.img", base), middle = files.path("middle"), top = files.path("top");
  ImageFiles::create(middle, {.size = 1 << 20});
  ImageFiles::create(top, {.size = 2 << 20});
  {
    auto disk = stack(layer(middle, false), layer(bottom, true));
    ASSERT_TRUE(disk) << disk.error().message();
    ASSERT_TRUE(write(**disk, 4096, Bytes(512, std::byte{1})));
  }
  auto disk = stack(layer(top, false), layer(middle, true), layer(bottom, true));
  ASSERT_TRUE(disk) << disk.error().message();
  EXPECT_EQ((*disk)->size(), 2u << 20);
  ASSERT_TRUE(write(**disk, 8192, Bytes(512, std::byte{2})));
  Bytes expected = base;
  std::fill_n(expected.begin() + 4096, 512, std::byte{1});
  std::fill_n(expected.begin() + 8192, 512, std::byte{2});
  EXPECT_EQ(read(**disk, 0, base.size()), expected);
  EXPECT_EQ(read(**disk, 1 << 20, 1 << 20), Bytes(1 << 20));
  EXPECT_EQ(read(**stack(layer(bottom, false)), 0, base.size()), base);
  DataExtent extent;
  ASSERT_TRUE((*disk)->find_data(1 << 20, 1 << 20, extent));
  EXPECT_FALSE(extent.has_data);
}

TEST_F(Stack, ARawImageLiesOnNothing) {
  const std::string bottom = raw("base.img", Bytes(1 << 20)), top = raw("top.img", Bytes(1 << 20));
  const auto disk = stack(layer(top, false), layer(bottom, true));
  ASSERT_FALSE(disk);
  EXPECT_NE(disk.error().what.find("raw"), std::string::npos);
}

TEST_F(Stack, AGuestCanNotMakeItsRawDiskAnotherFormat) {
  const std::string path = raw("disk.img", Bytes(1 << 20));
  Bytes header(1024);
  std::memcpy(header.data(), "QFI\xfb", 4);
  {
    auto disk = stack(layer(path, false));
    const IoResult done = write(**disk, 0, header);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error(), EPERM);
    ASSERT_TRUE(write(**disk, 0, Bytes(1024, std::byte{3})));
    ASSERT_TRUE(write(**disk, 512, header));
    EXPECT_EQ(read(**disk, 0, 512), Bytes(512, std::byte{3}));
  }
  EXPECT_EQ(detect_format(layer(path, true).fd.get()), DiskImageFormat::raw);
  // Where it was said that it is raw, the disk is the guest's, and stays raw.
  {
    auto disk = stack(layer(path, false, DiskImageFormat::raw));
    ASSERT_TRUE(write(**disk, 0, header));
  }
  auto disk = stack(layer(path, false, DiskImageFormat::raw));
  ASSERT_TRUE(disk);
  EXPECT_EQ(read(**disk, 0, 1024), header);
}

TEST_F(Stack, TheFormatThatAnImageNamesIsThatOfItsBackingFile) {
  // A raw disk that a guest made look like an image.
  const std::string inner = files.path("base.img");
  ImageFiles::create(inner, {.size = 1 << 20});
  const std::string top = files.path("top");
  ImageFiles::create(top, {.size = 1 << 20, .backing_file = "base.img", .backing_format = "raw"});
  auto disk = stack(layer(top, false), layer(inner, true));
  ASSERT_TRUE(disk) << disk.error().message();
  Bytes start = read(**disk, 0, 512);
  EXPECT_EQ(std::memcmp(start.data(), "QFI\xfb", 4), 0);
  const auto backing = backing_file_of(layer(top, true).fd.get(), DiskImageFormat::qcow2, "attachment");
  ASSERT_TRUE(backing);
  EXPECT_EQ(backing->name, "base.img");
  EXPECT_EQ(backing->format, DiskImageFormat::raw);
}

TEST_F(Stack, ACacheOverABlockDeviceIsNotBelievedAtTheNextStart) {
  const std::string base = raw("base.img", Bytes(1 << 20, std::byte{1})), top = files.path("top");
  if (std::system(("losetup -f --show " + base + " 2>/dev/null >" + files.path("device")).c_str()) != 0)
    GTEST_SKIP() << "no loop device can be had";
  std::string device;
  std::ifstream(files.path("device")) >> device;
  ImageFiles::create(top, {.size = 1 << 20});
  const auto first_sector = [&] {
    StackLayer bottom = layer(device, true, DiskImageFormat::raw);
    bottom.cache = UniqueFd(::open(files.path("cache").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    auto disk = stack(layer(top, false), std::move(bottom));
    EXPECT_TRUE(disk) << disk.error().message();
    return disk ? read(**disk, 0, 512) : Bytes();
  };
  EXPECT_EQ(first_sector(), Bytes(512, std::byte{1}));
  // Not by way of the device's node.
  EXPECT_TRUE(write(**stack(layer(base, false, DiskImageFormat::raw)), 0, Bytes(512, std::byte{2})));
  EXPECT_TRUE(run("blockdev --flushbufs " + device));
  EXPECT_EQ(first_sector(), Bytes(512, std::byte{2}));
  EXPECT_TRUE(run("losetup -d " + device));
}

}  // namespace
}  // namespace alcove::storage
