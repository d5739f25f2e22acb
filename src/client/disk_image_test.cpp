#include <alcove/alcove.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "client/host_files.h"
#include "support/testing/temporary_folder.h"

namespace alcove {
namespace {

using namespace literals;

struct DiskImages : ::testing::Test {
  TemporaryFolder folder;
  std::filesystem::path at(const std::string& name) { return folder.path() / name; }
  std::filesystem::path raw(const std::string& name, uint64_t size, uint64_t data_at) {
    std::ofstream(at(name)).close();
    std::filesystem::resize_file(at(name), size);
    std::fstream file(at(name), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(data_at));
    for (int i = 0; i < 50000; ++i) file << "line " << i << '\n';
    return at(name);
  }
  static std::string contents(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

TEST_F(DiskImages, AreConvertedThereAndBackWithoutWhatIsEmpty) {
  const auto source = raw("source.img", 64_MiB, 20_MiB);
  for (const bool compress : {false, true}) {
    const DiskImageConversionOptions options{
        .destination = {.overwrite = true}, .compress = compress, .zstd = compress};
    double last = 0;
    auto done = DiskImage::convert({.path = source}, at("copy.qcow2"), options, [&](double part) {
      EXPECT_GE(part, last);
      last = part;
      return true;
    });
    ASSERT_TRUE(done) << done.error().message();
    EXPECT_GT(last, 0.5);
    const auto information = DiskImage::information(at("copy.qcow2"));
    ASSERT_TRUE(information);
    EXPECT_EQ(information->format, DiskImageFormat::qcow2);
    EXPECT_EQ(information->size, 64_MiB);
    EXPECT_LT(information->allocated_size, 2_MiB);
    EXPECT_EQ(information->compression, compress ? "zstd" : "zlib");
    const auto check = DiskImage::check(at("copy.qcow2"));
    ASSERT_TRUE(check);
    EXPECT_TRUE(check->is_clean());
    EXPECT_EQ(check->compressed_clusters > 0, compress);
    done = DiskImage::convert({.path = at("copy.qcow2")}, at("back.img"),
                              {.destination = {.format = DiskImageFormat::raw, .overwrite = true}});
    ASSERT_TRUE(done) << done.error().message();
    EXPECT_EQ(contents(at("back.img")), contents(source));
    EXPECT_LT(DiskImage::information(at("back.img"))->allocated_size, 2_MiB);
  }
}

TEST_F(DiskImages, AreNotOverwrittenUnasked) {
  ASSERT_TRUE(DiskImage::create(at("disk.qcow2"), {.size = 1_GiB}));
  const auto again = DiskImage::create(at("disk.qcow2"), {.size = 2_GiB});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().what, "exists already");
  EXPECT_EQ(DiskImage::information(at("disk.qcow2"))->size, 1_GiB);
  EXPECT_TRUE(DiskImage::create(at("disk.qcow2"), {.size = 2_GiB, .overwrite = true}));
  EXPECT_FALSE(DiskImage::create(at("odd"), {.size = 1000}));
  EXPECT_FALSE(std::filesystem::exists(at("odd")));
  const auto cancelled =
      DiskImage::convert({.path = at("disk.qcow2")}, at("copy"), {}, [](double) { return false; });
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, ErrorCode::operation_cancelled);
  EXPECT_FALSE(std::filesystem::exists(at("copy")));
}

TEST_F(DiskImages, NameBackingFilesThatAreOpenedIfAllowed) {
  raw("base.img", 4_MiB, 1_MiB);
  ASSERT_TRUE(DiskImage::create(at("top.qcow2"), {.backing_file = "base.img"}));
  const auto information = DiskImage::information(at("top.qcow2"));
  EXPECT_EQ(information->size, 4_MiB);
  EXPECT_EQ(information->backing_file, "base.img");
  EXPECT_EQ(information->backing_format, DiskImageFormat::raw);
  DiskImageStorageDeviceAttachment image{.path = at("top.qcow2")};
  const auto refused = client::open_disk_image(image, "attachment");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().where, "attachment.path");
  EXPECT_NE(refused.error().hint.find("allow_backing_files"), std::string::npos);
  image.allow_backing_files = true;
  auto opened = client::open_disk_image(image, "attachment");
  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_EQ(opened->size(), 2u);
  opened->clear();
  image.allow_backing_files = false;
  image.base_layers = {{.path = at("base.img")}};
  EXPECT_EQ(client::open_disk_image(image, "attachment")->size(), 2u);
  // Of the machines that have an overlay each, all read the base.
  ASSERT_TRUE(DiskImage::create(at("other.qcow2"), {.backing_file = "base.img"}));
  const auto first = client::open_disk_image(image, "attachment");
  image.path = at("other.qcow2");
  EXPECT_TRUE(client::open_disk_image(image, "attachment"));
  // But nobody writes it meanwhile.
  EXPECT_FALSE(client::open_disk_image({.path = at("base.img")}, "attachment"));
}

TEST_F(DiskImages, DoNotLieOnThemselves) {
  ASSERT_TRUE(DiskImage::create(at("a.qcow2"), {.size = 1_MiB}));
  ASSERT_TRUE(DiskImage::create(at("b.qcow2"), {.backing_file = "a.qcow2"}));
  ASSERT_TRUE(DiskImage::create(at("a.qcow2"), {.overwrite = true, .backing_file = "b.qcow2"}));
  const auto opened =
      client::open_disk_image({.path = at("a.qcow2"), .allow_backing_files = true}, "attachment");
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().what.find("lies on itself"), std::string::npos);
}

TEST_F(DiskImages, GrowAndShrinkIfAllowed) {
  raw("disk.img", 4_MiB, 0);
  ASSERT_TRUE(DiskImage::create(at("disk.qcow2"), {.size = 4_MiB}));
  for (const std::string name : {"disk.img", "disk.qcow2"}) {
    EXPECT_TRUE(DiskImage::resize({.path = at(name)}, 8_MiB));
    EXPECT_EQ(DiskImage::information(at(name))->size, 8_MiB);
    EXPECT_FALSE(DiskImage::resize({.path = at(name)}, 2_MiB));
    EXPECT_TRUE(DiskImage::resize({.path = at(name)}, 2_MiB, true));
    EXPECT_EQ(DiskImage::information(at(name))->size, 2_MiB);
    EXPECT_FALSE(DiskImage::resize({.path = at(name)}, 1000, true));
  }
}

}  // namespace
}  // namespace alcove
