#include "chips/flash.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "spec/cfi_flash.h"

namespace alcove::chips {
namespace {

using namespace spec::cfi_flash;

constexpr uint64_t kSize = 4 * Flash::kBlockSize;

class FlashTest : public testing::Test {
 protected:
  FlashTest() : file(memfd_create("flash", MFD_CLOEXEC)) {
    std::vector<uint8_t> erased(kSize, 0xff);
    EXPECT_EQ(::pwrite(file, erased.data(), kSize, 0), static_cast<ssize_t>(kSize));
    auto made = Flash::create(UniqueFd(::dup(file)), kSize, "store");
    EXPECT_TRUE(made);
    flash = std::move(*made);
  }
  ~FlashTest() override { ::close(file); }

  void write(uint64_t offset, uint8_t value) {
    EXPECT_EQ(flash->write(offset, std::as_bytes(std::span(&value, 1))), bus::Access::done);
  }
  template <class T = uint8_t>
  T read(uint64_t offset) {
    T value = 0;
    EXPECT_EQ(flash->read(offset, std::as_writable_bytes(std::span(&value, 1))), bus::Access::done);
    return value;
  }
  void program(uint64_t offset, uint8_t value) {
    write(offset, kProgramAlternate);
    write(offset, value);
  }
  uint8_t in_file(uint64_t offset) const {
    uint8_t value = 0;
    EXPECT_EQ(::pread(file, &value, 1, static_cast<off_t>(offset)), 1);
    return value;
  }

  int file;
  std::unique_ptr<Flash> flash;
};

// What OVMF does to tell flash from RAM and ROM.
TEST_F(FlashTest, IsFoundByFirmware) {
  write(0, kClearStatus);
  EXPECT_EQ(read(0), 0xff) << "neither RAM";
  write(0, kReadStatus);
  EXPECT_EQ(read(0), 0x00) << "nor ROM";
  write(0, kReadArray);
  EXPECT_EQ(read(0), 0xff);
}

TEST_F(FlashTest, ProgramsAndErases) {
  program(10, 0x5a);
  EXPECT_EQ(read(10), status::ready) << "commands leave the status to read";
  write(10, kReadArray);
  EXPECT_EQ(read(10), 0x5a);
  EXPECT_EQ(in_file(10), 0x5a) << "the file has it when the guest reads again";
  program(10, 0xf0);
  write(10, kReadArray);
  EXPECT_EQ(read(10), 0x50) << "programming only clears bits";
  EXPECT_EQ(read<uint32_t>(8), 0xff50ffffu);

  program(Flash::kBlockSize, 1);
  write(0, kBlockErase);
  write(0, kConfirm);
  write(0, kReadArray);
  EXPECT_EQ(read(10), 0xff);
  EXPECT_EQ(in_file(10), 0xff);
  EXPECT_EQ(read(Flash::kBlockSize), 1) << "the other blocks stay";
}

TEST_F(FlashTest, ErasingNeedsItsConfirmation) {
  program(10, 0);
  write(10, kBlockErase);
  write(10, kReadArray);
  EXPECT_EQ(read(10) & (status::erase_error | status::program_error),
            status::erase_error | status::program_error);
  write(10, kReadArray);
  EXPECT_EQ(read(10), 0);
}

TEST_F(FlashTest, ProgramsABuffer) {
  const uint64_t start = Flash::kBlockSize + 7;
  write(start, kWriteToBuffer);
  EXPECT_EQ(read(start), status::ready);
  write(start, 2);  // Three bytes.
  for (uint8_t i = 0; i < 3; ++i) write(start + i, i);
  write(start, kConfirm);
  write(start, kReadArray);
  EXPECT_EQ(read<uint32_t>(start), 0xff020100u);
  EXPECT_EQ(in_file(start + 1), 1);
}

TEST_F(FlashTest, ABufferOutOfOrderIsRefused) {
  write(0, kWriteToBuffer);
  write(0, 1);
  write(0, 0x11);
  write(5, 0x22);
  EXPECT_TRUE(read(0) & status::program_error);
  write(0, kReadArray);
  EXPECT_EQ(read<uint64_t>(0), ~uint64_t{0});

  // At the very end, where the buffer does not fit.
  write(kSize - 1, kWriteToBuffer);
  write(kSize - 1, 255);
  write(kSize - 1, 0x11);
  write(0, 0x22);
  write(0, kReadArray);
  EXPECT_EQ(read(kSize - 1), 0xff);
}

TEST_F(FlashTest, RefusesWhatIsBeyondItsEnd) {
  uint64_t value = 0;
  EXPECT_NE(flash->read(kSize - 4, std::as_writable_bytes(std::span(&value, 1))), bus::Access::done);
  EXPECT_NE(flash->write(kSize - 4, std::as_bytes(std::span(&value, 1))), bus::Access::done);
}

TEST_F(FlashTest, AResetKeepsTheContents) {
  program(3, 0x12);
  flash->reset();
  EXPECT_EQ(read(3), 0x12);
  EXPECT_EQ(in_file(3), 0x12);
}

TEST_F(FlashTest, ReportsAFileThatDoesNotTakeIt) {
  std::array<std::byte, kSize> bytes{};
  UniqueFd read_only(::memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::write(read_only.get(), bytes.data(), kSize), static_cast<ssize_t>(kSize));
  ASSERT_EQ(::fcntl(read_only.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
  auto made = Flash::create(std::move(read_only), kSize, "store");
  ASSERT_TRUE(made);
  flash = std::move(*made);
  write(0, kBlockErase);
  write(0, kConfirm);
  write(0, kReadStatus);
  EXPECT_TRUE(read(0) & status::program_error);
}

TEST(Flash, WantsAFileOfItsSize) {
  UniqueFd file(memfd_create("flash", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), 100), 0);
  const auto made = Flash::create(std::move(file), 4096, "store");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().where, "store");
}

}  // namespace
}  // namespace alcove::chips
