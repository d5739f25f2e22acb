#include "storage/qcow2/image.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include "storage/qcow2/big_endian.h"
#include "storage/qcow2/testing/image_files.h"
#include "storage/raw_image.h"

namespace alcove::storage::qcow2 {
namespace {

using namespace testing;
using namespace spec::qcow2;

struct Qcow2Image : ::testing::Test {
  ImageFiles files;
  std::string path = files.path();

  std::unique_ptr<Disk> raw(const std::string& name) {
    UniqueFd fd(::open(files.path(name).c_str(), O_RDONLY | O_CLOEXEC));
    return *RawImage::create(std::move(fd), {.read_only = true}, "base");
  }
  void save(const std::string& name, const Bytes& bytes) {
    std::ofstream(files.path(name), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  template <class Integer>
  void poke(uint64_t at, Integer number) {
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    std::byte bytes[sizeof number];
    store(bytes, number);
    ASSERT_EQ(pwrite(fd.get(), bytes, sizeof bytes, static_cast<off_t>(at)),
              static_cast<ssize_t>(sizeof bytes));
  }
  // A table of `count` snapshots, each with an L1 table of `l1_size` entries at the same place.
  void add_snapshots(uint32_t count, uint32_t l1_size) {
    const uint64_t cluster_size = read_header(*ImageFiles::file(path), "path")->cluster_size();
    const uint64_t table = uint64_t{1} << 30, l1 = table + (64 << 20);
    for (uint32_t i = 0; i < count; ++i) {
      poke<uint64_t>(table + i * kSnapshotHeaderSize + kSnapshotL1Offset, l1);
      poke<uint32_t>(table + i * kSnapshotHeaderSize + kSnapshotL1Size, l1_size);
    }
    poke<uint64_t>(l1 + uint64_t{l1_size} * 8 + cluster_size, 0);
    poke<uint32_t>(kSnapshotCount, count);
    poke<uint64_t>(kSnapshotsOffset, table);
  }
  Error check_refusal() {
    const auto file = ImageFiles::file(path);
    const auto report = check(*file, *read_header(*file, "path"), {}, "path");
    EXPECT_FALSE(report);
    return report ? Error{} : report.error();
  }
  Error refusal(const ImageFileOptions& options = kFast) {
    auto opened = Image::create(ImageFiles::file(path, options), nullptr, "path");
    EXPECT_FALSE(opened);
    return opened ? Error{} : opened.error();
  }
};

TEST_F(Qcow2Image, ANewOneReadsAsZeroesAndKeepsWhatIsWritten) {
  ImageFiles::create(path, {.size = 1 << 20});
  expect_clean(path);
  auto image = ImageFiles::open(path);
  EXPECT_EQ(image->size(), 1u << 20);
  EXPECT_EQ(read(*image, 0, 1 << 20), Bytes(1 << 20));
  const Bytes data = random_bytes(1024, 1);
  ASSERT_TRUE(write(*image, 70000 / 512 * 512, data));
  EXPECT_EQ(read(*image, 70000 / 512 * 512, 1024), data);
  image.reset();
  expect_clean(path);
  image = ImageFiles::open(path);
  EXPECT_EQ(read(*image, 70000 / 512 * 512, 1024), data);
}

TEST_F(Qcow2Image, RequestsOfSeveralThreadsToTheSameClustersAllStay) {
  ImageFiles::create(path, {.size = 16 << 20, .cluster_size = 65536});
  auto image = ImageFiles::open(path);
  constexpr int kThreads = 4;
  std::vector<std::jthread> threads;
  for (int number = 0; number < kThreads; ++number) {
    threads.emplace_back([&, number] {
      std::mt19937 random(static_cast<unsigned>(number));
      // Each has every fourth sector of the first megabytes, and clusters of its own to discard.
      for (uint64_t sector = static_cast<uint64_t>(number); sector < 8192; sector += kThreads) {
        Bytes data(512, static_cast<std::byte>(sector * 7 + 1));
        ASSERT_TRUE(write(*image, sector * 512, data));
        if (sector % 64 < kThreads) {
          const uint64_t own = (8 << 20) + (random() % 32 * kThreads + static_cast<uint64_t>(number)) * 65536;
          ASSERT_TRUE(write(*image, own, random_bytes(65536, static_cast<unsigned>(own))));
          if (random() % 2) {
            ASSERT_TRUE(image->discard(own, 65536));
          }
        }
        if (sector % 512 < kThreads) {
          ASSERT_TRUE(image->flush());
        }
      }
    });
  }
  threads.clear();
  for (uint64_t sector = 0; sector < 8192; ++sector)
    ASSERT_EQ(read(*image, sector * 512, 512), Bytes(512, static_cast<std::byte>(sector * 7 + 1))) << sector;
  image.reset();
  expect_clean(path);
}

TEST_F(Qcow2Image, DiscardsGiveTheHostItsRoomBack) {
  ImageFiles::create(path, {.size = 64 << 20});
  auto image = ImageFiles::open(path);
  ASSERT_TRUE(write(*image, 0, random_bytes(32 << 20, 1)));
  const auto room = [&] {
    struct stat status{};
    stat(path.c_str(), &status);
    return status.st_blocks * 512;
  };
  ASSERT_TRUE(image->flush());
  EXPECT_GT(room(), 30 << 20);
  ASSERT_TRUE(image->discard(0, 32 << 20));
  ASSERT_TRUE(image->flush());
  EXPECT_LT(room(), 4 << 20);
  // And it is used again, instead of more.
  for (unsigned seed = 0; seed < 4; ++seed) {
    ASSERT_TRUE(write(*image, 32 << 20, random_bytes(32 << 20, seed)));
    ASSERT_TRUE(image->discard(32 << 20, 32 << 20));
    ASSERT_TRUE(image->flush());
  }
  image.reset();
  EXPECT_LT(std::filesystem::file_size(path), 100u << 20);
  expect_clean(path);
}

TEST_F(Qcow2Image, ForeignCompressedImagesAreRead) {
  if (!has_qemu_img()) GTEST_SKIP() << "there is no qemu-img (package qemu-utils)";
  Bytes data(1536 << 10);
  for (size_t at = 0; at < data.size(); ++at) data[at] = static_cast<std::byte>(at / 777);
  std::ranges::copy(random_bytes(512 << 10, 1), data.begin() + (512 << 10));
  save("data.img", data);
  for (const std::string type : {"zlib", "zstd"}) {
    for (const std::string size : {"512", "65536", "2097152"}) {
      std::filesystem::remove(path);
      ASSERT_TRUE(run("qemu-img convert -c -O qcow2 -o compression_type=" + type + ",cluster_size=" + size +
                      " " + files.path("data.img") + " " + path));
      auto image = ImageFiles::open(path);
      ASSERT_TRUE(image);
      ASSERT_EQ(read(*image, 0, data.size()), data);
      ASSERT_EQ(read(*image, 512 * 777, 512), Bytes(data.begin() + 512 * 777, data.begin() + 512 * 778));
      // Overwritten in part, the rest of a cluster stays.
      ASSERT_TRUE(write(*image, 4096, Bytes(1024, std::byte{9})));
      Bytes expected = data;
      std::fill_n(expected.begin() + 4096, 1024, std::byte{9});
      ASSERT_EQ(read(*image, 0, data.size()), expected);
      image.reset();
      expect_clean(path);
    }
  }
}

TEST_F(Qcow2Image, CompressedClustersThatAreWrittenCanBeReadByOthers) {
  Bytes data(2 << 20);
  for (size_t at = 0; at < data.size(); ++at) data[at] = static_cast<std::byte>(at * at / 3000);
  save("data.img", data);
  for (const bool zstd : {false, true}) {
    for (const uint64_t cluster : {4096u, 65536u}) {
      std::filesystem::remove(path);
      ImageFiles::create(path, {.size = data.size(), .cluster_size = cluster, .zstd = zstd});
      auto image = ImageFiles::open(path);
      for (uint64_t at = 0; at < data.size(); at += cluster)
        ASSERT_TRUE(image->write_compressed(at, std::span(data).subspan(at, cluster)));
      ASSERT_EQ(read(*image, 0, data.size()), data);
      image.reset();
      EXPECT_GT(checked(path).compressed_clusters, 0u);
      expect_clean(path);
      if (!has_qemu_img()) continue;
      EXPECT_TRUE(run("qemu-img compare " + path + " " + files.path("data.img")));
    }
  }
}

TEST_F(Qcow2Image, WhatSnapshotsHaveIsCopiedWhenItIsWritten) {
  if (!has_qemu_img()) GTEST_SKIP() << "there is no qemu-img (package qemu-utils)";
  ImageFiles::create(path, {.size = 4 << 20});
  const Bytes before = random_bytes(1 << 20, 1), after = random_bytes(70 << 10, 2);
  ASSERT_TRUE(write(*ImageFiles::open(path), 0, before));
  ASSERT_TRUE(run("qemu-img snapshot -c first " + path));
  auto image = ImageFiles::open(path);
  ASSERT_EQ(image->snapshots().size(), 1u);
  EXPECT_EQ(image->snapshots()[0].name, "first");
  EXPECT_EQ(image->snapshots()[0].disk_size, 4u << 20);
  ASSERT_TRUE(write(*image, 5120, after));
  ASSERT_TRUE(image->discard(512 << 10, 512 << 10));
  image.reset();
  expect_clean(path);
  // And the snapshot has what it had.
  ASSERT_TRUE(run("qemu-img snapshot -a first " + path));
  EXPECT_EQ(read(*ImageFiles::open(path), 0, before.size()), before);
  ASSERT_TRUE(run("qemu-img snapshot -d first " + path));
  ASSERT_TRUE(write(*ImageFiles::open(path), 0, after));
  expect_clean(path);
}

TEST_F(Qcow2Image, ABackingDiskShowsThroughUntilItIsWrittenOver) {
  const Bytes base = random_bytes(1 << 20, 1);
  save("base.img", base);
  ImageFiles::create(path, {.size = 2 << 20, .backing_file = "base.img", .backing_format = "raw"});
  auto image = ImageFiles::open(path, raw("base.img"));
  EXPECT_EQ(image->header().backing_file, "base.img");
  EXPECT_EQ(image->header().backing_format, "raw");
  EXPECT_EQ(read(*image, 0, 1 << 20), base);
  EXPECT_EQ(read(*image, 1 << 20, 1 << 20), Bytes(1 << 20));
  ASSERT_TRUE(write(*image, 1536, Bytes(512, std::byte{1})));
  ASSERT_TRUE(image->write_zeroes(512 << 10, 256 << 10, true));
  Bytes expected = base;
  std::fill_n(expected.begin() + 1536, 512, std::byte{1});
  std::fill_n(expected.begin() + (512 << 10), 256 << 10, std::byte{0});
  EXPECT_EQ(read(*image, 0, 1 << 20), expected);
  image.reset();
  expect_clean(path);
  if (!has_qemu_img()) return;
  save("expected.img", expected);
  ASSERT_TRUE(run("qemu-img convert -O raw " + path + " " + files.path("flat.img")));
  EXPECT_TRUE(run("cmp -n 1048576 " + files.path("flat.img") + " " + files.path("expected.img")));
}

// The new place holds a copy of what is around the write, and of that the medium knows nothing yet.
TEST_F(Qcow2Image, WhatWasThereIsFoundInItsOldPlaceUntilAFlush) {
  Bytes base = random_bytes((1 << 20) + 4096, 1);
  save("base.img", base);
  base.resize(1 << 20);
  ImageFiles::create(path, {.size = 1 << 20});
  auto image = ImageFiles::open(path, raw("base.img"), {});
  const Bytes data = random_bytes(512, 2);
  ASSERT_TRUE(write(*image, 66048, data));
  EXPECT_EQ(read(*image, 66048, 512), data);
  const auto on_medium = [&] {
    return read(*ImageFiles::open(path, raw("base.img"), kReadOnly), 0, 1 << 20);
  };
  EXPECT_EQ(on_medium(), base);
  ASSERT_TRUE(image->flush());
  Bytes expected = base;
  std::ranges::copy(data, expected.begin() + 66048);
  EXPECT_EQ(on_medium(), expected);
  // A disk that grew never shows what the base has behind its old end.
  ASSERT_TRUE(image->resize((1 << 20) + 512, false, "path"));
  ASSERT_TRUE(image->resize((1 << 20) + 4096, false, "path"));
  EXPECT_EQ(read(*ImageFiles::open(path, raw("base.img"), kReadOnly), 1 << 20, 4096), Bytes(4096));
  // What is changed at last is there when the image is closed.
  ASSERT_TRUE(write(*image, 0, data));
  image.reset();
  std::ranges::copy(data, expected.begin());
  EXPECT_EQ(on_medium(), expected);
  checked(path, {.repair_leaks = true});
  expect_clean(path);
}

TEST_F(Qcow2Image, MoreChangesThanTheCacheHoldsAreKept) {
  // A slice is of 512 clusters of 64 KiB: 2048 of them may wait.
  constexpr uint64_t kStep = 32 << 20, kSize = 2100 * kStep;
  ImageFiles::create(path, {.size = kSize});
  save("base.img", Bytes(512, std::byte{7}));
  std::filesystem::resize_file(files.path("base.img"), kSize);
  auto image =
      ImageFiles::open(path, raw("base.img"), {.synchronization = DiskImageSynchronizationMode::fsync});
  const Bytes data(512, std::byte{1});
  for (uint64_t at = 0; at < kSize; at += kStep) ASSERT_TRUE(write(*image, at, data)) << at;
  for (uint64_t at = 0; at < kSize; at += kStep) ASSERT_EQ(read(*image, at, 512), data) << at;
  image.reset();
  image = ImageFiles::open(path, raw("base.img"));
  for (uint64_t at = 0; at < kSize; at += kStep) ASSERT_EQ(read(*image, at, 512), data) << at;
}

TEST_F(Qcow2Image, ASmallerBackingDiskDoesNotShowWhereTheDiskGrew) {
  save("base.img", random_bytes(1 << 20, 1));
  ImageFiles::create(path, {.size = 512 << 10, .backing_file = "base.img", .backing_format = "raw"});
  auto image = ImageFiles::open(path, raw("base.img"));
  ASSERT_TRUE(image->resize(2 << 20, false, "path"));
  EXPECT_EQ(read(*image, 512 << 10, 1536 << 10), Bytes(1536 << 10));
}

TEST_F(Qcow2Image, GrowsFarAndShrinksIfAllowed) {
  ImageFiles::create(path, {.size = 64 << 10, .cluster_size = 512});
  auto image = ImageFiles::open(path);
  const Bytes data = random_bytes(64 << 10, 1);
  ASSERT_TRUE(write(*image, 0, data));
  ASSERT_TRUE(image->resize(uint64_t{10} << 30, false, "path"));
  ASSERT_TRUE(write(*image, (uint64_t{10} << 30) - 512, Bytes(512, std::byte{5})));
  EXPECT_EQ(read(*image, 0, data.size()), data);
  EXPECT_FALSE(image->resize(64 << 10, false, "path"));
  ASSERT_TRUE(image->resize(64 << 10, true, "path"));
  EXPECT_EQ(read(*image, 0, data.size()), data);
  image.reset();
  expect_clean(path);
  // So many clusters that the refcount table has to grow: it counts 8 MiB at first.
  image = ImageFiles::open(path);
  ASSERT_TRUE(image->resize(24 << 20, false, "path"));
  ASSERT_TRUE(write(*image, 0, random_bytes(24 << 20, 3)));
  EXPECT_EQ(read(*image, 0, 24 << 20), random_bytes(24 << 20, 3));
  image.reset();
  expect_clean(path);
}

TEST_F(Qcow2Image, LargeOnesAreOpenedWithManySnapshots) {
  constexpr uint64_t kSize = uint64_t{64} << 40;
  ImageFiles::create(path, {.size = kSize});
  {
    auto image = ImageFiles::open(path);
    ASSERT_TRUE(image);
    const Bytes data = random_bytes(4096, 1);
    ASSERT_TRUE(write(*image, kSize - data.size(), data));
    EXPECT_EQ(read(*image, kSize - data.size(), data.size()), data);
  }
  expect_clean(path);
  const uint32_t l1_size = read_header(*ImageFiles::file(path), "path")->l1_size;
  add_snapshots(1000, l1_size);
  EXPECT_TRUE(ImageFiles::open(path));
}

TEST_F(Qcow2Image, SnapshotsWhoseTablesAreTooLargeTogetherAreRefused) {
  ImageFiles::create(path, {.size = 1 << 20, .cluster_size = 512});
  add_snapshots(65, kMostL1Bytes / 8);
  for (const Error& error : {refusal(), check_refusal()}) {
    EXPECT_EQ(error.code, ErrorCode::not_supported);
    EXPECT_NE(error.what.find("snapshots"), std::string::npos) << error.what;
    EXPECT_FALSE(error.hint.empty());
  }
}

TEST_F(Qcow2Image, BitmapsWithTooManyClustersAreNotChecked) {
  ImageFiles::create(path, {.size = 1 << 20});
  constexpr uint64_t kDirectory = 1 << 20, kTable = 2 << 20;
  constexpr uint32_t kEntries = kMostBitmapClusters / 2;
  const auto add_bitmaps = [&](uint32_t count) {
    // The header extension that comes first takes the place of those that are there.
    poke<uint32_t>(kOurHeaderSize, kExtensionBitmaps);
    poke<uint32_t>(kOurHeaderSize + 4, kBitmapExtensionSize);
    poke<uint32_t>(kOurHeaderSize + 8 + kBitmapCount, count);
    poke<uint64_t>(kOurHeaderSize + 8 + kBitmapDirectorySize, count * kBitmapEntrySize);
    poke<uint64_t>(kOurHeaderSize + 8 + kBitmapDirectoryOffset, kDirectory);
    poke<uint32_t>(kOurHeaderSize + 8 + kBitmapExtensionSize, kExtensionEnd);
    for (uint32_t i = 0; i < count; ++i) {
      poke<uint64_t>(kDirectory + i * kBitmapEntrySize + kBitmapTableOffset, kTable);
      poke<uint32_t>(kDirectory + i * kBitmapEntrySize + kBitmapTableSize, kEntries);
    }
    poke<uint64_t>(kTable + uint64_t{kEntries} * 8, 0);
  };
  add_bitmaps(2);
  EXPECT_GT(checked(path).errors, 0u);  // They are not counted.
  add_bitmaps(3);
  const Error error = check_refusal();
  EXPECT_EQ(error.code, ErrorCode::not_supported);
  EXPECT_NE(error.what.find("bitmaps"), std::string::npos) << error.what;
}

TEST_F(Qcow2Image, WhatIsNotSupportedIsRefusedWithAReason) {
  ImageFiles::create(path, {.size = 1 << 20});
  poke<uint64_t>(kIncompatibleFeatures, kExternalDataFile);
  EXPECT_NE(refusal().what.find("file of its own"), std::string::npos);
  poke<uint64_t>(kIncompatibleFeatures, kExtendedL2);
  EXPECT_NE(refusal().what.find("subclusters"), std::string::npos);
  poke<uint64_t>(kIncompatibleFeatures, 1 << 9);
  EXPECT_NE(refusal().what.find("0x200"), std::string::npos);
  EXPECT_FALSE(refusal().hint.empty());
  poke<uint64_t>(kIncompatibleFeatures, kCorrupt);
  EXPECT_NE(refusal().what.find("damaged"), std::string::npos);
  EXPECT_TRUE(Image::create(ImageFiles::file(path, {.read_only = true}), nullptr, "path"));
  poke<uint64_t>(kIncompatibleFeatures, 0);
  poke<uint32_t>(kCryptMethod, kCryptLuks);
  EXPECT_NE(refusal().what.find("LUKS"), std::string::npos);
}

TEST_F(Qcow2Image, ADirtyImageIsRepairedBeforeItIsWritten) {
  ImageFiles::create(path, {.size = 1 << 20});
  const Bytes data = random_bytes(256 << 10, 1);
  ASSERT_TRUE(write(*ImageFiles::open(path), 0, data));
  // Counts were not written, as with lazy ones.
  const auto header = read_header(*ImageFiles::file(path), "path");
  poke<uint64_t>(header->refcount_table_offset + header->cluster_size(), 0);
  poke<uint64_t>(header->refcount_table_offset + header->cluster_size() + 8, 0);
  poke<uint64_t>(kIncompatibleFeatures, kDirty);
  EXPECT_GT(checked(path).errors, 0u);
  {
    auto image = ImageFiles::open(path);
    ASSERT_TRUE(image);
    EXPECT_EQ(read(*image, 0, data.size()), data);
    ASSERT_TRUE(write(*image, 512 << 10, data));
  }
  expect_clean(path);
}

// What they would have named may be counted right, and its marks are true.
TEST_F(Qcow2Image, NothingIsRepairedWhereTablesCanNotBeRead) {
  ImageFiles::create(path, {.size = 1 << 20});
  ASSERT_TRUE(write(*ImageFiles::open(path), 0, random_bytes(256 << 10, 1)));
  const auto header = read_header(*ImageFiles::file(path), "path");
  poke<uint64_t>(header->l1_offset, uint64_t{1} << 40 | kCopied);
  poke<uint64_t>(kIncompatibleFeatures, kDirty);
  const auto contents = [&] {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string before = contents();
  const CheckReport report = checked(path, {.repair_leaks = true, .repair_errors = true});
  EXPECT_GT(report.errors, 0u);
  EXPECT_GT(report.leaks, 0u);
  EXPECT_EQ(report.repaired_errors + report.repaired_leaks, 0u);
  EXPECT_NE(report.messages.back().find("nothing was repaired"), std::string::npos);
  EXPECT_EQ(contents(), before);
  EXPECT_NE(refusal().what.find("can't be repaired"), std::string::npos);
}

TEST_F(Qcow2Image, AnImageWhoseDataLieInItsTablesCanNotBeWrittenThere) {
  ImageFiles::create(path, {.size = 1 << 20});
  ASSERT_TRUE(write(*ImageFiles::open(path), 0, random_bytes(65536, 1)));
  const auto header = read_header(*ImageFiles::file(path), "path");
  // The first cluster is the header, the next the refcount table, the L1 table, the L2 table.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::byte entry[8];
  ASSERT_EQ(pread(fd.get(), entry, 8, static_cast<off_t>(header->l1_offset)), 8);
  const uint64_t l2 = load<uint64_t>(entry) & kOffsetMask;
  for (const uint64_t target : {header->cluster_size(), header->l1_offset, l2}) {
    poke<uint64_t>(l2, target | kCopied);
    poke<uint64_t>(kIncompatibleFeatures, 0);
    EXPECT_GT(checked(path).errors, 0u);
    auto image = ImageFiles::open(path);
    const IoResult done = write(*image, 0, Bytes(512, std::byte{0xff}));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error(), EIO);
    // And from then on the image says so itself.
    image.reset();
    EXPECT_NE(refusal().what.find("damaged"), std::string::npos);
  }
}

TEST_F(Qcow2Image, LeaksAndWrongCountsAreRepaired) {
  ImageFiles::create(path, {.size = 4 << 20});
  const Bytes data = random_bytes(1 << 20, 1);
  ASSERT_TRUE(write(*ImageFiles::open(path), 0, data));
  const auto header = read_header(*ImageFiles::file(path), "path");
  const uint64_t block = header->refcount_table_offset + header->cluster_size();
  poke<uint16_t>(block + 1000 * 2, 1);
  poke<uint16_t>(block + 1001 * 2, 3);
  CheckReport report = checked(path);
  EXPECT_EQ(report.errors, 0u);
  EXPECT_EQ(report.leaks, 2u);
  report = checked(path, {.repair_leaks = true});
  EXPECT_EQ(report.repaired_leaks, 2u);
  expect_clean(path);
  poke<uint16_t>(block + 6 * 2, 0);
  poke<uint16_t>(block + 7 * 2, 0);
  EXPECT_EQ(checked(path).errors, 2u);
  report = checked(path, {.repair_leaks = true, .repair_errors = true});
  EXPECT_EQ(report.repaired_errors, 2u);
  expect_clean(path);
  EXPECT_EQ(read(*ImageFiles::open(path), 0, data.size()), data);
  // Without any block of counts.
  poke<uint64_t>(read_header(*ImageFiles::file(path), "path")->refcount_table_offset, 0);
  EXPECT_GT(checked(path, {.repair_leaks = true, .repair_errors = true}).repaired_errors, 0u);
  expect_clean(path);
  EXPECT_EQ(read(*ImageFiles::open(path), 0, data.size()), data);
}

TEST_F(Qcow2Image, AFullHostFailsTheRequestAndNothingElse) {
  ImageFiles::create(path, {.size = 64 << 20});
  {
    auto image = ImageFiles::open(path);
    ASSERT_TRUE(write(*image, 0, random_bytes(1 << 20, 1)));
    // No file of this process grows beyond this.
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    const rlimit small{4 << 20, before.rlim_max};
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    EXPECT_FALSE(write(*image, 8 << 20, random_bytes(16 << 20, 2)));
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    EXPECT_EQ(read(*image, 0, 1 << 20), random_bytes(1 << 20, 1));
    ASSERT_TRUE(write(*image, 8 << 20, random_bytes(16 << 20, 3)));
  }
  expect_clean(path);
}

}  // namespace
}  // namespace alcove::storage::qcow2
