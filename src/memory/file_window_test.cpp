#include "memory/file_window.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "memory/guest_memory.h"
#include "support/testing/temporary_folder.h"
#include "support/thread.h"
#include "support/unique_fd.h"

namespace alcove::memory {
namespace {

constexpr uint64_t kSlot = FileWindow::kSlotSize;

struct FileWindowTest : testing::Test {
  TemporaryFolder folder;
  const std::string path = folder.path() / "file";
  UniqueFd file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  UniqueFd to_read{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  std::unique_ptr<FileWindow> window = FileWindow::create(4 * kSlot).value();

  void resize(uint64_t size) const { ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0); }
  void write(uint64_t offset, char value) const {
    ASSERT_EQ(::pwrite(file.get(), &value, 1, static_cast<off_t>(offset)), 1);
  }
  char read(uint64_t offset) const {
    char value = '?';
    EXPECT_EQ(::pread(file.get(), &value, 1, static_cast<off_t>(offset)), 1);
    return value;
  }
  volatile char& at(uint64_t offset) const { return reinterpret_cast<char*>(window->host())[offset]; }
};

TEST_F(FileWindowTest, HasWholeSlots) {
  EXPECT_FALSE(FileWindow::create(0));
  EXPECT_FALSE(FileWindow::create(kSlot + kPageSize));
  EXPECT_EQ(window->slot_count(), 4u);
  EXPECT_EQ(window->address(), FileWindow::kNowhere);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(window->host()) % kSlot, 0u);
  at(0) = 'a';
  EXPECT_EQ(at(0), 'a') << "an empty slot may be used, too";
  window->empty(0, 4);
  EXPECT_EQ(at(0), 0);
}

TEST_F(FileWindowTest, SharesFilesThatMayBeWritten) {
  resize(3 * kSlot);
  write(kSlot + 5, 'h');
  ASSERT_EQ(window->show(2, file.get(), kSlot, true), 0);
  EXPECT_EQ(at(2 * kSlot + 5), 'h');
  write(kSlot + 6, 'i');
  EXPECT_EQ(at(2 * kSlot + 6), 'i');
  at(2 * kSlot + 7) = 'g';
  EXPECT_EQ(read(kSlot + 7), 'g');
  ASSERT_EQ(window->show(2, file.get(), 0, true), 0);
  EXPECT_EQ(at(2 * kSlot + 7), 0);
  window->empty(1, 2);
  at(2 * kSlot) = 'x';
  EXPECT_EQ(read(0), 0);
}

TEST_F(FileWindowTest, KeepsFilesThatMayOnlyBeRead) {
  resize(kSlot);
  ASSERT_EQ(window->show(0, to_read.get(), 0, false), 0);
  write(1, 'h');
  EXPECT_EQ(at(1), 'h');
  at(1) = 'g';
  EXPECT_EQ(read(1), 'h');
  EXPECT_EQ(window->show(0, to_read.get(), 0, true), EACCES);
  EXPECT_EQ(at(1), 'g') << "what was there is there";
  const UniqueFd folder_itself(::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(window->show(0, folder_itself.get(), 0, false), ENODEV);
}

TEST_F(FileWindowTest, SurvivesWhatIsBehindTheEndOfAFile) {
  resize(kSlot);
  write(kSlot - 1, 'h');
  ASSERT_EQ(window->show(1, file.get(), 0, true), 0);
  EXPECT_EQ(at(2 * kSlot - 1), 'h');
  resize(3 * kPageSize);
  EXPECT_FALSE(window->has_holes());
  EXPECT_EQ(at(2 * kSlot - 1), 0);
  EXPECT_TRUE(window->has_holes());
  start_thread("test", [&] { at(kSlot + 7 * kPageSize) = 'x'; }).join();
  EXPECT_EQ(at(kSlot + 7 * kPageSize), 'x');
  at(kSlot + 2 * kPageSize) = 'g';
  EXPECT_EQ(read(2 * kPageSize), 'g') << "what the file has is still its own";

  EXPECT_EQ(window->take_holes(), std::vector<size_t>{1});
  EXPECT_FALSE(window->has_holes());
  resize(kSlot);
  ASSERT_EQ(window->show(1, file.get(), 0, true), 0);
  EXPECT_EQ(at(kSlot + 7 * kPageSize), 0) << "not what was written where there was no file";
  at(2 * kSlot - 1) = 'e';
  EXPECT_EQ(read(kSlot - 1), 'e');
}

TEST_F(FileWindowTest, FailsSystemCallsBehindTheEndOfAFile) {
  ASSERT_EQ(window->show(0, file.get(), 0, true), 0);
  const UniqueFd zeroes(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(::read(zeroes.get(), window->host(), 10), -1);
  EXPECT_EQ(errno, EFAULT);
  EXPECT_FALSE(window->has_holes());
}

TEST_F(FileWindowTest, SurvivesAFullDisk) {
  const std::string disk = folder.path() / "disk";
  ASSERT_EQ(::mkdir(disk.c_str(), 0700), 0);
  if (::mount("none", disk.c_str(), "tmpfs", 0, "size=64k") != 0) GTEST_SKIP() << "takes the right to mount";
  {
    const UniqueFd sparse(::open((disk + "/file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::ftruncate(sparse.get(), kSlot), 0);
    ASSERT_EQ(window->show(0, sparse.get(), 0, true), 0);
    for (uint64_t page = 0; page < 64; ++page) {
      EXPECT_EQ(at(page * kPageSize), 0);
      at(page * kPageSize + 1) = 'g';
      EXPECT_EQ(at(page * kPageSize + 1), 'g');
    }
    EXPECT_TRUE(window->has_holes());
    char first = 0;
    EXPECT_EQ(::pread(sparse.get(), &first, 1, 1), 1);
    EXPECT_EQ(first, 'g');
    // The same for whoever gets no signal.
    ASSERT_EQ(window->show(0, sparse.get(), 0, true), 0);
    const UniqueFd zeroes(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
    std::byte* const last = window->host() + kSlot - kPageSize;
    EXPECT_EQ(::read(zeroes.get(), last, 10), -1);
    window->fill_holes(true);
    EXPECT_EQ(::read(zeroes.get(), last, 10), 10);
    EXPECT_EQ(at(1), 'g');
    EXPECT_EQ(window->take_holes(), std::vector<size_t>{0});
    window->empty(0, 1);
  }
  ::umount2(disk.c_str(), MNT_DETACH);
}

// Each page of its own takes two mappings, of which a process has 65530, mostly.
TEST_F(FileWindowTest, SurvivesMorePagesOfItsOwnThanThereAreMappings) {
  const std::string disk = folder.path() / "disk";
  ASSERT_EQ(::mkdir(disk.c_str(), 0700), 0);
  if (::mount("none", disk.c_str(), "tmpfs", 0, "size=64k") != 0) GTEST_SKIP() << "takes the right to mount";
  {
    constexpr uint64_t kSlots = 160;
    const auto large = FileWindow::create(kSlots * kSlot).value();
    const UniqueFd sparse(::open((disk + "/file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::ftruncate(sparse.get(), kSlots * kSlot), 0);
    for (uint64_t slot = 0; slot < kSlots; ++slot)
      ASSERT_EQ(large->show(slot, sparse.get(), slot * kSlot, true), 0);
    for (uint64_t page = 0; page < kSlots * kSlot / kPageSize; page += 2)
      large->host()[page * kPageSize] = std::byte{'g'};
    for (uint64_t page = 0; page < kSlots * kSlot / kPageSize; page += 2)
      ASSERT_EQ(large->host()[page * kPageSize], std::byte{'g'}) << page;
  }
  ::umount2(disk.c_str(), MNT_DETACH);
}

TEST_F(FileWindowTest, FillsHolesBeforeTheyAreUsed) {
  resize(kPageSize);
  window->fill_holes(false);
  EXPECT_FALSE(window->has_holes());
  ASSERT_EQ(window->show(3, file.get(), 0, true), 0);
  window->fill_holes(false);
  EXPECT_EQ(window->take_holes(), std::vector<size_t>{3});
  window->fill_holes(true);
  EXPECT_FALSE(window->has_holes());
  at(3 * kSlot + 5) = 'g';
  EXPECT_EQ(read(5), 'g');
}

TEST(WindowsOfMemory, AreWhereTheyArePlaced) {
  constexpr uint64_t kMiB = 1 << 20, kAddress = uint64_t{1} << 40;
  const RegionSpec region{.guest_address = 0, .size = kMiB};
  const uint64_t sizes[] = {kSlot, 2 * kSlot};
  struct Observer final : WindowObserver {
    void on_window_moved(size_t window, uint64_t address) override { moves.emplace_back(window, address); }
    std::vector<std::pair<size_t, uint64_t>> moves;
  } observer;
  GuestMemory memory = GuestMemory::create(std::span(&region, 1), sizes).value();
  memory.set_window_observer(&observer);
  ASSERT_EQ(memory.windows().size(), 2u);
  std::byte* const host = memory.windows()[1]->host();
  EXPECT_FALSE(memory.locate(kAddress));
  memory.place_window(1, kAddress);
  const auto place = memory.locate(kAddress + 5);
  ASSERT_TRUE(place);
  EXPECT_EQ(place->host, host + 5);
  EXPECT_EQ(place->size, 2 * kSlot - 5);
  EXPECT_FALSE(memory.locate(kAddress + 2 * kSlot));
  EXPECT_FALSE(memory.locate(kAddress - 1));
  EXPECT_EQ(memory.buffer(kAddress, 2 * kSlot, true), host);
  EXPECT_EQ(memory.buffer(kAddress + 1, 2 * kSlot, false), nullptr);
  EXPECT_EQ(memory.buffer(10, 10, true), memory.host_range(10, 10));
  EXPECT_EQ(memory.host_range(kAddress, 1), nullptr) << "no memory for tables";
  EXPECT_FALSE(memory.load<uint32_t>(kAddress));

  memory.place_window(1, kAddress);
  memory.place_window(1, kMiB - kSlot + 1);  // Over the region's end.
  EXPECT_EQ(memory.windows()[1]->address(), FileWindow::kNowhere);
  memory.place_window(0, kMiB);
  memory.place_window(0, (uint64_t{1} << 52) - 1);
  memory.place_window(0, ~uint64_t{0} & ~(kSlot - 1));
  EXPECT_FALSE(memory.locate(kMiB));
  const std::vector<std::pair<size_t, uint64_t>> moves = {
      {1, kAddress}, {1, FileWindow::kNowhere}, {0, kMiB}, {0, FileWindow::kNowhere}};
  EXPECT_EQ(observer.moves, moves);
}

}  // namespace
}  // namespace alcove::memory
