// What takes its time: locks that others have, and what is done beside.
#include "devices/fs/lane.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "devices/fs/testing/fuse_guest.h"

namespace alcove::devices::fs {
namespace {

using fuse::Opcode;
using testing::Answer;
using testing::Bytes;
using testing::bytes_of;
using testing::FuseGuest;
using testing::operator+;

struct LaneTest : ::testing::Test {
  TemporaryFolder folder;
  FuseGuest guest{FuseGuest::single(folder.path(), {.shared_locks = true})};
  uint64_t node = 0, handle = 0;

  LaneTest() {
    std::ofstream(folder.path() / "file") << "0123456789";
    guest.initialize();
    node = guest.look_up(fuse::kRootNode, "file");
    handle = open();
  }
  uint64_t open() { return guest.open(node, O_RDWR).as<fuse::OpenOut>().handle; }
  static fuse::LockIn lock(uint64_t handle, uint64_t owner, int type, uint64_t start, uint64_t end,
                           uint32_t flags = 0) {
    return {handle, owner, {start, end, static_cast<uint32_t>(type), 0}, flags, 0};
  }
  int set(const fuse::LockIn& in) { return guest.call(Opcode::set_lock, node, bytes_of(in)).error; }
  // As one that waits: where its reply will be.
  virtio::testing::Placed begin(const fuse::LockIn& in) {
    auto& queue = guest.guest().queue(FuseGuest::kRequests);
    const auto placed =
        queue.add({.readable = {guest.request(Opcode::set_lock_wait, node, bytes_of(in))}, .writable = {16}});
    queue.notify();
    return placed;
  }
  int end(const virtio::testing::Placed& placed) {
    auto& queue = guest.guest().queue(FuseGuest::kRequests);
    const auto used = queue.wait();
    if (!used || used->id != placed.head) return -1;
    return -queue.load<fuse::OutHeader>(placed.writable[0]).error;
  }
};

TEST_F(LaneTest, LocksOfRangesAreOwners) {
  EXPECT_EQ(set(lock(handle, 1, F_WRLCK, 0, 4)), 0);
  EXPECT_EQ(set(lock(handle, 1, F_WRLCK, 3, 9)), 0);
  EXPECT_EQ(set(lock(open(), 2, F_RDLCK, 4, 4)), EAGAIN);
  EXPECT_EQ(set(lock(handle, 2, F_RDLCK, 10, INT64_MAX)), 0);
  const auto found = guest.call(Opcode::get_lock, node, bytes_of(lock(handle, 2, F_WRLCK, 0, INT64_MAX)))
                         .as<fuse::LockOut>();
  EXPECT_EQ(found.lock.type, static_cast<uint32_t>(F_WRLCK));
  EXPECT_EQ(found.lock.end, 9u);
  // close(2) by the owner, of any descriptor.
  EXPECT_EQ(guest.call(Opcode::flush, node, bytes_of(fuse::FlushIn{handle, 0, 0, 1})).error, 0);
  EXPECT_EQ(set(lock(handle, 2, F_WRLCK, 0, 9)), 0);
  EXPECT_EQ(set(lock(handle, 2, 7, 0, 9)), EINVAL);
  EXPECT_EQ(set(lock(handle, 2, F_WRLCK, 9, 0)), EINVAL);
  EXPECT_EQ(set(lock(12345, 2, F_WRLCK, 0, 9)), EBADF);
}

TEST_F(LaneTest, LocksHoldForTheHost) {
  const UniqueFd host(::open((folder.path() / "file").c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_EQ(set(lock(handle, 1, F_WRLCK, 0, 4)), 0);
  struct flock range{};
  range.l_type = F_WRLCK;
  range.l_len = 1;
  EXPECT_NE(::fcntl(host.get(), F_OFD_SETLK, &range), 0);
  EXPECT_EQ(set(lock(handle, 1, F_WRLCK, 0, 4, fuse::kLockFlock)), 0);
  EXPECT_NE(::flock(host.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(guest.call(Opcode::release, node, bytes_of(fuse::ReleaseIn{handle, 0, 0, 0})).error, 0);
  EXPECT_EQ(::flock(host.get(), LOCK_EX | LOCK_NB), 0);
}

TEST_F(LaneTest, WhoWaitsGetsItInTime) {
  ASSERT_EQ(set(lock(handle, 1, F_WRLCK, 0, 9)), 0);
  const auto waiting = begin(lock(open(), 2, F_WRLCK, 5, 5));
  // Others are served meanwhile; the one who waits, by the guest's unlocking.
  auto& urgent = guest.guest().queue(FuseGuest::kUrgent);
  ASSERT_TRUE(urgent.request(
      {.readable = {guest.request(Opcode::set_lock, node, bytes_of(lock(handle, 1, F_UNLCK, 0, 9)))},
       .writable = {16}}));
  EXPECT_EQ(end(waiting), 0);
  // And by the host's.
  const UniqueFd host(::open((folder.path() / "file").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(host.get(), LOCK_EX | LOCK_NB), 0);
  const auto second = begin(lock(handle, 1, F_WRLCK, 0, 0, fuse::kLockFlock));
  ASSERT_EQ(::flock(host.get(), LOCK_UN), 0);
  EXPECT_EQ(end(second), 0);
}

TEST_F(LaneTest, WhoIsInterruptedWaitsNoMore) {
  ASSERT_EQ(set(lock(handle, 1, F_WRLCK, 0, 9)), 0);
  const auto waiting = begin(lock(open(), 2, F_WRLCK, 5, 5));
  const auto unique =
      guest.guest().queue(FuseGuest::kRequests).load<fuse::InHeader>(waiting.readable[0]).unique;
  guest.guest()
      .queue(FuseGuest::kUrgent)
      .request({.readable = {guest.request(Opcode::interrupt, 0, bytes_of(fuse::InterruptIn{unique}))}});
  EXPECT_EQ(end(waiting), EINTR);
}

TEST_F(LaneTest, AResetForgetsWhoWaits) {
  ASSERT_EQ(set(lock(handle, 1, F_WRLCK, 0, 9)), 0);
  begin(lock(open(), 2, F_WRLCK, 5, 5));
  guest.device().pause();
  guest.device().resume();
  guest.guest().reset();
  EXPECT_EQ(guest.device().server().open_files(), 0u);
}

TEST_F(LaneTest, SlowRequestsAreAnswered) {
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(guest.call(Opcode::sync, node, bytes_of(fuse::SyncIn{handle, 0, 0})).error, 0);
    EXPECT_EQ(guest.call(Opcode::allocate, node, bytes_of(fuse::AllocateIn{handle, 0, 1 << 16, 0, 0})).error,
              0);
    EXPECT_EQ(guest
                  .call(Opcode::copy_range, node,
                        bytes_of(fuse::CopyRangeIn{handle, 0, node, handle, 1 << 20, 10, 0}))
                  .as<fuse::WriteOut>()
                  .size,
              10u);
  }
  EXPECT_EQ(guest.read(node, handle, 1 << 20, 10).text(), "0123456789");
}

TEST_F(LaneTest, AnotherShareTakesThePlace) {
  TemporaryFolder other;
  std::ofstream(other.path() / "new") << "new";
  guest.device().replace(FuseGuest::single(other.path()));
  EXPECT_EQ(guest.read(node, handle, 0, 10).error, EBADF);
  EXPECT_EQ(guest.open(node, O_RDONLY).error, ESTALE);
  const uint64_t found = guest.look_up(fuse::kRootNode, "new");
  EXPECT_EQ(guest.read(found, guest.open(found, O_RDONLY).as<fuse::OpenOut>().handle, 0, 10).text(), "new");
  guest.device().replace({});
  EXPECT_EQ(guest.look_up(fuse::kRootNode, "new"), 0u);
  EXPECT_EQ(guest.attributes(fuse::kRootNode).mode, S_IFDIR | 0555u);
}

// What is under way when the share is taken away brings nothing of it into the next.
TEST_F(LaneTest, ABusyGuestKeepsNothingOfAnotherShare) {
  std::filesystem::create_directory(folder.path() / "folder");
  const auto old = FuseGuest::single(folder.path());
  TemporaryFolder empty;
  const auto next = FuseGuest::single(empty.path(), {.read_only = true});
  const auto server = share::Server::create(old).value();
  std::atomic<bool> stops = false;
  std::atomic<uint64_t> rounds = 0;
  std::vector<std::thread> busy;
  for (int i = 0; i < 2; ++i) {
    busy.emplace_back([&] {
      while (!stops) {
        if (const auto found = server->look_up(fuse::kRootNode, "folder"))
          (void)server->open_directory(found->node);
        if (const auto found = server->look_up(fuse::kRootNode, "file"))
          (void)server->open(found->node, 0, false);
        (void)server->create(fuse::kRootNode, "made", {O_RDWR, 0600, 0, 0}, {});
        (void)server->unlink(fuse::kRootNode, "made", false);
        ++rounds;
      }
    });
  }
  for (int turn = 0; turn < 100; ++turn) {
    server->replace(old);
    const uint64_t before = rounds;
    while (rounds < before + 3) std::this_thread::yield();
    server->replace(next);
    // Nobody is in a round that began before.
    const uint64_t after = rounds;
    while (rounds < after + 3) std::this_thread::yield();
    EXPECT_EQ(server->known_inodes(), 1u);
    EXPECT_EQ(server->open_files(), 0u);
  }
  stops = true;
  for (std::thread& thread : busy) thread.join();
}

}  // namespace
}  // namespace alcove::devices::fs
