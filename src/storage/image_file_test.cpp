#include "storage/image_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace alcove::storage {
namespace {

// A descriptor that a test makes one whose synchronization fails, and back.
struct ImageFileFlush : ::testing::Test {
  std::string path = "image_file_test.XXXXXX";
  UniqueFd good{mkostemp(path.data(), O_CLOEXEC)};
  // A regular file that knows no fdatasync().
  UniqueFd bad{open("/proc/self/comm", O_RDWR | O_CLOEXEC)};
  int number = fcntl(good.get(), F_DUPFD_CLOEXEC, 0);
  std::unique_ptr<ImageFile> file;

  void SetUp() override {
    ASSERT_NE(fdatasync(bad.get()), 0);
    auto opened =
        ImageFile::create(UniqueFd(number), {.synchronization = DiskImageSynchronizationMode::fsync}, "path");
    ASSERT_TRUE(opened);
    file = *std::move(opened);
  }
  void TearDown() override { std::filesystem::remove(path); }
  void become(const UniqueFd& other) { ASSERT_EQ(dup3(other.get(), number, O_CLOEXEC), number); }
};

TEST_F(ImageFileFlush, NeverSucceedsAfterAFailure) {
  EXPECT_TRUE(file->flush());
  become(bad);
  EXPECT_FALSE(file->barrier());
  become(good);
  for (int i = 0; i < 2; ++i) {
    const IoResult flushed = file->flush();
    ASSERT_FALSE(flushed);
    EXPECT_EQ(flushed.error(), EINVAL);
    EXPECT_FALSE(file->barrier());
  }
}

}  // namespace
}  // namespace alcove::storage
