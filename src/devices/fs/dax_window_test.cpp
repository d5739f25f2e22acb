#include "devices/fs/dax_window.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "devices/fs/testing/fuse_guest.h"

namespace alcove::devices::fs {
namespace {

using fuse::Opcode;
using testing::Answer;
using testing::Bytes;
using testing::bytes_of;
using testing::FuseGuest;
using testing::operator+;

constexpr uint64_t kRoot = fuse::kRootNode, kSlot = DaxWindow::kSlotSize;
constexpr uint64_t kReads = fuse::kMappingReads, kWrites = fuse::kMappingReads | fuse::kMappingWrites;

struct DaxWindowTest : ::testing::Test {
  TemporaryFolder folder;
  memory::GuestMemory memory = [] {
    const memory::RegionSpec region{.guest_address = 0, .size = 1 << 20};
    const uint64_t window = 4 * kSlot;
    return memory::GuestMemory::create(std::span(&region, 1), std::span(&window, 1)).value();
  }();
  std::unique_ptr<FuseGuest> guest;
  uint64_t node = 0;

  DaxWindowTest() {
    write("file", "of the host");
    std::filesystem::resize_file(folder.path() / "file", 3 * kSlot);
  }
  fuse::InitializeOut start(const SharedDirectory& options = {}, uint64_t flags = ~uint64_t{0}) {
    guest = std::make_unique<FuseGuest>(FuseGuest::single(folder.path(), options), share::ServerLimits{},
                                        &memory);
    const auto out = guest->initialize(flags);
    node = guest->look_up(kRoot, "file");
    return out;
  }
  void write(const char* name, std::string_view text) const { std::ofstream(folder.path() / name) << text; }
  int set_up(uint64_t of, uint64_t file_offset, uint64_t length, uint64_t window_offset, uint64_t flags) {
    return guest
        ->call(Opcode::set_up_mapping, of,
               bytes_of(fuse::SetUpMappingIn{~uint64_t{0}, file_offset, length, flags, window_offset}))
        .error;
  }
  int remove(const std::vector<fuse::RemoveMappingOne>& which) {
    Bytes body = bytes_of(fuse::RemoveMappingIn{static_cast<uint32_t>(which.size())});
    for (const auto& one : which) body = body + bytes_of(one);
    return guest->call(Opcode::remove_mapping, node, body).error;
  }
  std::string shown(uint64_t offset, size_t size) const {
    return {reinterpret_cast<const char*>(memory.windows()[0]->host()) + offset, size};
  }
  char* at(uint64_t offset) const { return reinterpret_cast<char*>(memory.windows()[0]->host()) + offset; }
  std::string read(uint64_t size) const {
    std::ifstream stream(folder.path() / "file");
    std::string text(size, 0);
    stream.read(text.data(), static_cast<std::streamsize>(size));
    return text;
  }
};

TEST_F(DaxWindowTest, IsAgreedUpon) {
  const auto out = start();
  EXPECT_EQ(out.mapping_alignment, 21);
  EXPECT_TRUE(out.flags & fuse::kMapAlignment);
  EXPECT_TRUE(out.flags & fuse::kExtendedInitialize);
  EXPECT_EQ(out.flags2, fuse::kInodeDax >> 32);
  EXPECT_EQ(guest->device().shared_memory()->id, spec::virtio_fs::kDaxWindow);
  EXPECT_TRUE(guest->attributes(node).flags & fuse::kAttributesDax);
  write("small", "small");
  EXPECT_FALSE(guest->attributes(guest->look_up(kRoot, "small")).flags & fuse::kAttributesDax);
  EXPECT_FALSE(guest->attributes(kRoot).flags & fuse::kAttributesDax);
  // A kernel that doesn't know of it.
  EXPECT_EQ(start({}, ~(fuse::kExtendedInitialize | fuse::kMapAlignment)).mapping_alignment, 0);
  EXPECT_FALSE(guest->attributes(node).flags & fuse::kAttributesDax);
  // A device without a window.
  guest = std::make_unique<FuseGuest>(FuseGuest::single(folder.path()));
  EXPECT_FALSE(guest->initialize().flags & fuse::kMapAlignment);
  EXPECT_EQ(set_up(guest->look_up(kRoot, "file"), 0, kSlot, 0, kReads), ENOSYS);
  EXPECT_EQ(remove({{0, kSlot}}), ENOSYS);
}

TEST_F(DaxWindowTest, ShowsFiles) {
  start();
  ASSERT_EQ(set_up(node, 0, kSlot, kSlot, kReads), 0);
  EXPECT_EQ(shown(kSlot, 11), "of the host");
  *at(kSlot) = 'O';
  EXPECT_EQ(read(11), "of the host") << "the guest said that it would read";
  ASSERT_EQ(set_up(node, 0, kSlot, kSlot, kWrites), 0);
  *at(kSlot) = 'O';
  EXPECT_EQ(read(11), "Of the host");
  ASSERT_EQ(set_up(node, kSlot, 2 * kSlot, 2 * kSlot, kWrites), 0);
  std::ofstream(folder.path() / "file", std::ios::in).seekp(2 * kSlot + 3) << "behind";
  EXPECT_EQ(shown(3 * kSlot + 3, 6), "behind");
  EXPECT_EQ(remove({{kSlot, kSlot}, {3 * kSlot, kSlot}}), 0);
  EXPECT_EQ(shown(kSlot, 2), std::string(2, 0));
  EXPECT_EQ(shown(3 * kSlot + 3, 2), std::string(2, 0));
  EXPECT_EQ(remove({}), 0);
  EXPECT_EQ(remove({{3 * kSlot, kSlot}}), 0) << "it is empty already";
}

TEST_F(DaxWindowTest, RefusesWhatIsNotRight) {
  start();
  EXPECT_EQ(set_up(node, 0, kSlot, 4 * kSlot, kReads), EINVAL);
  EXPECT_EQ(set_up(node, 0, 5 * kSlot, 0, kReads), EINVAL);
  EXPECT_EQ(set_up(node, 0, 2 * kSlot, 3 * kSlot, kReads), EINVAL);
  EXPECT_EQ(set_up(node, 0, ~uint64_t{0}, kSlot, kReads), EINVAL);
  EXPECT_EQ(set_up(node, 0, kSlot, ~uint64_t{0} - kSlot + 1, kReads), EINVAL);
  EXPECT_EQ(set_up(node, 0, 0, 0, kReads), EINVAL);
  EXPECT_EQ(set_up(node, 4096, kSlot, 0, kReads), EINVAL);
  EXPECT_EQ(set_up(node, 0, kSlot, 4096, kReads), EINVAL);
  EXPECT_EQ(set_up(node, 0, kSlot, 0, 1 << 5), EINVAL);
  EXPECT_EQ(set_up(node, (uint64_t{1} << 63) - kSlot, kSlot, 0, kReads), EOVERFLOW);
  EXPECT_EQ(set_up(node, uint64_t{1} << 63, kSlot, 0, kReads), EOVERFLOW);
  EXPECT_EQ(set_up(4711, 0, kSlot, 0, kReads), ESTALE);
  EXPECT_EQ(set_up(kRoot, 0, kSlot, 0, kReads), ENODEV);
  EXPECT_EQ(set_up(node, 0, 1, 0, kReads), 0) << "a slot is shown whole";
  EXPECT_EQ(remove({{0, 5 * kSlot}}), EINVAL);
  EXPECT_EQ(remove({{4096, kSlot}}), EINVAL);
  EXPECT_EQ(remove({{0, 0}}), EINVAL);
  EXPECT_EQ(guest->call(Opcode::remove_mapping, node, bytes_of(fuse::RemoveMappingIn{2}) + Bytes(16)).error,
            EINVAL);
  EXPECT_EQ(guest->call(Opcode::remove_mapping, node, bytes_of(fuse::RemoveMappingIn{~0u})).error, EINVAL);
  EXPECT_EQ(guest->call(Opcode::set_up_mapping, node, Bytes(39)).error, EINVAL);
  EXPECT_EQ(shown(0, 2), "of");
}

TEST_F(DaxWindowTest, WritesNothingInAFolderToBeRead) {
  start({.read_only = true});
  EXPECT_EQ(set_up(node, 0, kSlot, 0, kWrites), EROFS);
  ASSERT_EQ(set_up(node, 0, kSlot, 0, kReads), 0);
  *at(0) = 'O';
  EXPECT_EQ(read(11), "of the host");
}

TEST_F(DaxWindowTest, ShowsWhatAFileHasGrownBy) {
  start();
  ASSERT_EQ(set_up(node, 0, kSlot, 0, kWrites), 0);
  std::filesystem::resize_file(folder.path() / "file", 0);
  EXPECT_EQ(shown(0, 2), std::string(2, 0));
  *at(4096) = 'x';
  std::filesystem::resize_file(folder.path() / "file", kSlot);
  write("file", "new");
  std::filesystem::resize_file(folder.path() / "file", kSlot);
  EXPECT_EQ(guest->attributes(node).size, kSlot);
  EXPECT_EQ(shown(0, 3), "new");
  EXPECT_EQ(*at(4096), 0);
}

TEST_F(DaxWindowTest, ShowsAnOpenFileThatHasNoName) {
  start();
  const Answer opened = guest->open(node, O_RDWR);
  ASSERT_EQ(opened.error, 0);
  std::filesystem::remove(folder.path() / "file");
  ASSERT_EQ(set_up(node, 0, kSlot, 0, kWrites), 0);
  EXPECT_EQ(shown(0, 2), "of");
}

TEST_F(DaxWindowTest, IsEmptyForWhoeverBeginsAnew) {
  start();
  const auto fill = [this] { return set_up(node, 0, kSlot, 0, kWrites); };
  ASSERT_EQ(fill(), 0);
  EXPECT_EQ(guest->call(Opcode::destroy, 0).error, 0);
  EXPECT_EQ(shown(0, 2), std::string(2, 0));
  guest->initialize();
  EXPECT_EQ(fill(), ESTALE);
  node = guest->look_up(kRoot, "file");
  ASSERT_EQ(fill(), 0);
  guest->initialize();
  EXPECT_EQ(shown(0, 2), std::string(2, 0));
  node = guest->look_up(kRoot, "file");
  ASSERT_EQ(fill(), 0);
  guest->device().replace(FuseGuest::single(folder.path()));
  EXPECT_EQ(shown(0, 2), std::string(2, 0));
  EXPECT_EQ(fill(), ESTALE);
  node = guest->look_up(kRoot, "file");
  ASSERT_EQ(fill(), 0);
  guest->device().deactivate();
  EXPECT_EQ(shown(0, 2), std::string(2, 0));
}

// What was decoded from a file is decoded again where another is shown, or another program is in it.
TEST_F(DaxWindowTest, TellsWhereCodeMayHaveChanged) {
  struct Observer final : memory::WriteObserver {
    void on_host_write(uint64_t address, uint64_t size) override { writes.emplace_back(address, size); }
    std::vector<std::pair<uint64_t, uint64_t>> writes;
    bool had(uint64_t address, uint64_t size) {
      return std::exchange(writes, {}) == std::vector<std::pair<uint64_t, uint64_t>>{{address, size}};
    }
  } observer;
  constexpr uint64_t kAddress = uint64_t{1} << 36;
  memory.set_write_observer(&observer);
  memory.place_window(0, kAddress);
  start();
  EXPECT_EQ(set_up(node, 0, 2 * kSlot, kSlot, kReads), 0);
  EXPECT_TRUE(observer.had(kAddress + kSlot, 2 * kSlot));
  EXPECT_EQ(remove({{kSlot, kSlot}}), 0);
  EXPECT_TRUE(observer.had(kAddress + kSlot, kSlot));
  EXPECT_EQ(guest->open(node, O_RDONLY).error, 0);
  EXPECT_TRUE(observer.had(kAddress + 2 * kSlot, kSlot));
  memory.set_write_observer(nullptr);
}

}  // namespace
}  // namespace alcove::devices::fs
