// What a hostile guest tries to reach: nothing outside the shared folder, and none of it crashes or hangs the
// server.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <thread>

#include "devices/fs/testing/fuse_guest.h"

namespace alcove::devices::fs {
namespace {

using fuse::Opcode;
using testing::Answer;
using testing::Bytes;
using testing::bytes_of;
using testing::FuseGuest;
using testing::name;
using testing::operator+;

constexpr uint64_t kRoot = fuse::kRootNode;

struct Confinement : ::testing::Test {
  TemporaryFolder folder;
  std::filesystem::path shared = folder.path() / "shared";
  std::filesystem::path outside = folder.path() / "outside";
  std::unique_ptr<FuseGuest> guest;

  Confinement() {
    std::filesystem::create_directories(shared);
    std::filesystem::create_directories(outside);
    write(outside / "secret", "secret");
    start({});
  }
  void start(const SharedDirectory& options) {
    guest = std::make_unique<FuseGuest>(FuseGuest::single(shared, options));
    guest->initialize();
  }
  static void write(const std::filesystem::path& file, std::string_view text) { std::ofstream(file) << text; }
  // Of the folder outside: names and contents are as they were.
  void expect_nothing_happened() const {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(outside)) ++count;
    EXPECT_EQ(count, 1u);
    std::ifstream stream(outside / "secret");
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(stream), {}), "secret");
  }
  int look_up_error(uint64_t node, std::string_view text) {
    return guest->call(Opcode::lookup, node, name(text)).error;
  }
};

TEST_F(Confinement, NamesAreOneComponent) {
  std::filesystem::create_directories(shared / "a/b");
  const uint64_t a = guest->look_up(kRoot, "a");
  for (const std::string_view text : {"", ".", "..", "/", "a/b", "../outside", "b/..", "/etc/passwd", "b/"}) {
    EXPECT_EQ(look_up_error(kRoot, text), EINVAL) << text;
    EXPECT_EQ(look_up_error(a, text), EINVAL) << text;
    EXPECT_EQ(guest->create(a, text).error, EINVAL) << text;
    EXPECT_EQ(guest->make_directory(a, text).error, EINVAL) << text;
    EXPECT_EQ(guest->call(Opcode::unlink, a, name(text)).error, EINVAL) << text;
    EXPECT_EQ(guest->call(Opcode::remove_directory, a, name(text)).error, EINVAL) << text;
    EXPECT_EQ(guest->call(Opcode::make_symbolic_link, a, name(text) + name("x")).error, EINVAL) << text;
    EXPECT_EQ(guest->call(Opcode::rename, a, bytes_of(fuse::RenameIn{a}) + name("b") + name(text)).error,
              EINVAL)
        << text;
    EXPECT_EQ(guest->call(Opcode::rename, a, bytes_of(fuse::RenameIn{a}) + name(text) + name("c")).error,
              EINVAL)
        << text;
    EXPECT_EQ(guest->call(Opcode::link, a, bytes_of(fuse::LinkIn{a}) + name(text)).error, EINVAL) << text;
  }
  EXPECT_EQ(look_up_error(kRoot, std::string(256, 'n')), ENAMETOOLONG);
  EXPECT_EQ(look_up_error(kRoot, std::string(60000, 'n')), ENAMETOOLONG);
  expect_nothing_happened();
}

TEST_F(Confinement, LinksAreNotFollowed) {
  std::filesystem::create_symlink(outside, shared / "folder");
  std::filesystem::create_symlink(outside / "secret", shared / "file");
  std::filesystem::create_symlink("/proc/self/root", shared / "magic");
  for (const char* text : {"folder", "file", "magic"}) {
    const uint64_t node = guest->look_up(kRoot, text);
    ASSERT_NE(node, 0u);
    EXPECT_TRUE(S_ISLNK(guest->attributes(node).mode));
    EXPECT_EQ(look_up_error(node, "secret"), ENOTDIR);
    EXPECT_EQ(guest->create(node, "new").error, ENOTDIR);
    EXPECT_EQ(guest->make_directory(node, "new").error, ENOTDIR);
    EXPECT_NE(guest->open(node, O_RDONLY).error, 0);
    EXPECT_NE(guest->open(node, O_WRONLY | O_TRUNC).error, 0);
    EXPECT_EQ(guest->call(Opcode::open_directory, node, bytes_of(fuse::OpenIn{})).error, ENOTDIR);
    EXPECT_NE(guest->set_attributes(node, {.valid = fuse::kSetSize}).error, 0);
    EXPECT_NE(guest->set_attributes(node, {.valid = fuse::kSetMode, .mode = 0777}).error, 0);
    guest->set_attributes(node, {.valid = fuse::kSetModificationTime, .modification_time = 1});
    EXPECT_NE(guest
                  ->call(Opcode::set_extended_attribute, node,
                         bytes_of(fuse::SetExtendedAttributeIn{1, 0}) + Bytes(8) + name("user.a") + Bytes(1))
                  .error,
              0);
    // A hard link is one to the link itself.
    EXPECT_EQ(
        guest->call(Opcode::link, kRoot, bytes_of(fuse::LinkIn{node}) + name(std::string(text) + "2")).error,
        0);
    EXPECT_TRUE(std::filesystem::is_symlink(shared / (std::string(text) + "2")));
    // O_CREAT through a link makes nothing.
    EXPECT_NE(guest->create(kRoot, text).error, 0);
  }
  struct stat status{};
  ASSERT_EQ(::stat((outside / "secret").c_str(), &status), 0);
  EXPECT_NE(status.st_mtime, 1);
  EXPECT_NE(status.st_mode & 0777, 0777u);
  expect_nothing_happened();
}

TEST_F(Confinement, AFolderThatBecameALinkIsStale) {
  std::filesystem::create_directories(shared / "a/b");
  write(shared / "a/b/secret", "inside");
  FuseGuest few(FuseGuest::single(shared), {.open_files = 8, .paths = 1});
  few.initialize();
  const uint64_t a = few.look_up(kRoot, "a");
  const uint64_t b = few.look_up(a, "b");
  const uint64_t file = few.look_up(b, "secret");
  few.look_up(kRoot, "a");
  std::filesystem::rename(shared / "a/b", shared / "old");
  std::filesystem::create_symlink(outside, shared / "a/b");
  for (int i = 0; i < 3; ++i) {  // Whatever descriptors are left.
    few.make_directory(kRoot, std::to_string(i));
    few.look_up(few.look_up(kRoot, std::to_string(i)), "x");
  }
  EXPECT_EQ(few.open(file, O_RDONLY).error, ESTALE);
  EXPECT_EQ(few.create(b, "new").error, ESTALE);
  EXPECT_EQ(few.call(Opcode::unlink, b, name("secret")).error, ESTALE);
  expect_nothing_happened();
}

TEST_F(Confinement, DevicesAreNeitherMadeNorOpened) {
  for (const uint32_t type : {S_IFCHR, S_IFBLK}) {
    EXPECT_EQ(guest
                  ->call(Opcode::make_node, kRoot,
                         bytes_of(fuse::MakeNodeIn{type | 0666, 0x103, 0, 0}) + name("null"))
                  .error,
              EPERM);
  }
  EXPECT_EQ(
      guest->call(Opcode::make_node, kRoot, bytes_of(fuse::MakeNodeIn{S_IFDIR | 0666, 0, 0, 0}) + name("x"))
          .error,
      EINVAL);
  EXPECT_EQ(
      guest->call(Opcode::make_node, kRoot, bytes_of(fuse::MakeNodeIn{S_IFLNK | 0666, 0, 0, 0}) + name("x"))
          .error,
      EINVAL);
  if (::mknod((shared / "zero").c_str(), S_IFCHR | 0666, 0x105) == 0) {
    EXPECT_EQ(guest->open(guest->look_up(kRoot, "zero"), O_RDONLY).error, ENXIO);
    EXPECT_NE(guest->create(kRoot, "zero").error, 0);
  }
  // Nobody writes to it: to open it would wait.
  ASSERT_EQ(::mkfifo((shared / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(guest->open(guest->look_up(kRoot, "pipe"), O_RDONLY).error, ENXIO);
  EXPECT_EQ(guest->open(guest->look_up(kRoot, "pipe"), O_WRONLY).error, ENXIO);
  EXPECT_EQ(guest->create(kRoot, "pipe").error, ENXIO);
  // With virtual ownership a device is a file that says so.
  start({.ownership = VirtualOwnership{}});
  const Answer made = guest->call(Opcode::make_node, kRoot,
                                  bytes_of(fuse::MakeNodeIn{S_IFBLK | 0640, 0x1234567, 0, 0}) + name("disk"));
  ASSERT_EQ(made.error, 0);
  EXPECT_EQ(made.as<fuse::EntryOut>().attributes.mode, S_IFBLK | 0640u);
  EXPECT_EQ(made.as<fuse::EntryOut>().attributes.device, 0x1234567u);
  EXPECT_TRUE(std::filesystem::is_regular_file(shared / "disk"));
}

TEST_F(Confinement, SetIdBitsOfSquashedFilesAreNotKept) {
  ASSERT_EQ(guest->create(kRoot, "file", O_RDWR, 06755).error, 0);
  struct stat status{};
  ::stat((shared / "file").c_str(), &status);
  EXPECT_EQ(status.st_mode & 07777, 0755u);
  const uint64_t node = guest->look_up(kRoot, "file");
  EXPECT_EQ(guest->set_attributes(node, {.valid = fuse::kSetMode, .mode = 06711}).error, 0);
  ::stat((shared / "file").c_str(), &status);
  EXPECT_EQ(status.st_mode & 07777, 0711u);
}

TEST_F(Confinement, ForeignNodesAndHandlesAreRefused) {
  write(shared / "file", "text");
  const uint64_t node = guest->look_up(kRoot, "file");
  const uint64_t handle = guest->open(node, O_RDWR).as<fuse::OpenOut>().handle;
  const uint64_t directory =
      guest->call(Opcode::open_directory, kRoot, bytes_of(fuse::OpenIn{})).as<fuse::OpenOut>().handle;
  for (const uint64_t wrong : {uint64_t{0}, uint64_t{999}, ~uint64_t{0}, uint64_t{1} << 63}) {
    EXPECT_EQ(guest->read(node, wrong, 0, 10).error, EBADF);
    EXPECT_EQ(guest->write(node, wrong, 0, "x").error, EBADF);
    EXPECT_EQ(
        guest->call(Opcode::read_directory, kRoot, bytes_of(fuse::ReadIn{wrong, 0, 100, 0, 0, 0, 0})).error,
        EBADF);
    EXPECT_EQ(guest->call(Opcode::allocate, node, bytes_of(fuse::AllocateIn{wrong, 0, 1, 0, 0})).error,
              EBADF);
    EXPECT_EQ(guest->call(Opcode::seek, node, bytes_of(fuse::SeekIn{wrong, 0, SEEK_DATA, 0})).error, EBADF);
    EXPECT_EQ(
        guest->call(Opcode::copy_range, node, bytes_of(fuse::CopyRangeIn{handle, 0, node, wrong, 0, 1, 0}))
            .error,
        EBADF);
    EXPECT_EQ(look_up_error(wrong, "file"), ESTALE);
  }
  // Of the wrong kind.
  EXPECT_EQ(
      guest->call(Opcode::read_directory, node, bytes_of(fuse::ReadIn{handle, 0, 100, 0, 0, 0, 0})).error,
      EBADF);
  EXPECT_EQ(
      guest->call(Opcode::read_directory, node, bytes_of(fuse::ReadIn{directory, 0, 100, 0, 0, 0, 0})).error,
      EBADF);
  EXPECT_EQ(guest->read(node, directory, 0, 10).error, EISDIR);
  EXPECT_NE(guest->write(node, directory, 0, "x").error, 0);
  EXPECT_EQ(look_up_error(node, "x"), ENOTDIR);
  // Offsets at the end of the world.
  EXPECT_EQ(guest->read(node, handle, ~uint64_t{0}, 10).error, EINVAL);
  EXPECT_EQ(guest->write(node, handle, uint64_t{1} << 63, "x").error, EFBIG);
  EXPECT_NE(guest
                ->call(Opcode::read_directory, kRoot,
                       bytes_of(fuse::ReadIn{directory, ~uint64_t{0}, 100, 0, 0, 0, 0}))
                .error,
            -1);
  EXPECT_EQ(
      guest->call(Opcode::allocate, node, bytes_of(fuse::AllocateIn{handle, 5, ~uint64_t{0}, 0, 0})).error,
      EFBIG);
  EXPECT_EQ(guest->read(node, handle, 0, 10).text(), "text");
}

TEST_F(Confinement, TheFolderOfFoldersIsNoneOfTheHosts) {
  const SharedDirectory options{.path = shared, .ownership = VirtualOwnership{}};
  guest = std::make_unique<FuseGuest>(share::Share{.folders = {FuseGuest::open_root("a", options)}});
  guest->initialize();
  const uint64_t handle =
      guest->call(Opcode::open_directory, kRoot, bytes_of(fuse::OpenIn{})).as<fuse::OpenOut>().handle;
  EXPECT_EQ(guest->read(kRoot, handle, 0, 10).error, EBADF);
  const fuse::WriteIn dropping{handle, 0, 1, fuse::kWriteKillPrivileges, 0, 0, 0};
  EXPECT_EQ(guest->call(Opcode::write, kRoot, bytes_of(dropping) + bytes_of(std::string_view("x"))).error,
            EBADF);
  EXPECT_EQ(guest->set_attributes(kRoot, {.valid = fuse::kSetSize | fuse::kSetKillPrivileges}).error, EROFS);
  const fuse::LockIn lock{handle, 1, {0, 0, F_RDLCK, 0}, 0, 0};
  EXPECT_EQ(guest->call(Opcode::set_lock, kRoot, bytes_of(lock)).error, ENOLCK);
  EXPECT_EQ(guest->call(Opcode::get_lock, kRoot, bytes_of(lock)).error, ENOLCK);
}

TEST_F(Confinement, LocksThatAreNotSharedHoldNobodyUp) {
  write(shared / "file", "text");
  start({.read_only = true});
  const uint64_t node = guest->look_up(kRoot, "file");
  const uint64_t handle = guest->open(node, O_RDONLY).as<fuse::OpenOut>().handle;
  for (const uint32_t flags : {0u, fuse::kLockFlock}) {
    const fuse::LockIn lock{handle, 1, {0, 0, F_WRLCK, 0}, flags, 0};
    EXPECT_EQ(guest->call(Opcode::set_lock, node, bytes_of(lock)).error, ENOLCK);
  }
}

// Not even for a moment, in which others that guess its number might use it.
TEST_F(Confinement, ProcessesAreNoFiles) {
  guest = std::make_unique<FuseGuest>(FuseGuest::single("/"));
  guest->initialize();
  EXPECT_EQ(look_up_error(kRoot, "proc"), EACCES);
  EXPECT_EQ(guest->device().server().known_inodes(), 1u);
  EXPECT_EQ(guest->look_up(kRoot, "etc"), kRoot + 1) << "a number was given away";
  const UniqueFd processes(::open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));
  EXPECT_FALSE(share::may_be_shared(processes.get()));
}

// What it is not told of is not made either.
TEST_F(Confinement, AGuestKnowsSoManyAndNoMore) {
  FuseGuest few(FuseGuest::single(shared), {.inodes = 3});
  few.initialize();
  EXPECT_EQ(few.create(kRoot, "one").error, 0);
  EXPECT_EQ(few.make_directory(kRoot, "two").error, 0);
  EXPECT_EQ(few.create(kRoot, "three").error, ENFILE);
  EXPECT_EQ(few.make_directory(kRoot, "four").error, ENFILE);
  EXPECT_FALSE(std::filesystem::exists(shared / "three"));
  EXPECT_FALSE(std::filesystem::exists(shared / "four"));
  EXPECT_EQ(few.open(few.look_up(kRoot, "one"), O_RDONLY).error, 0);
}

// Guest and host rename folders, and put links to the outside in their place, while the guest looks names up,
// makes, writes and removes.
TEST_F(Confinement, RacesLeadNowhere) {
  std::filesystem::create_directories(shared / "a/b/c");
  std::filesystem::create_directories(shared / "z");
  std::atomic<bool> done = false;
  std::thread host([&] {
    std::error_code ignored;
    while (!done) {
      std::filesystem::rename(shared / "a/b", shared / "z/b", ignored);
      std::filesystem::create_directory_symlink(outside, shared / "a/b", ignored);
      std::this_thread::yield();
      std::filesystem::remove(shared / "a/b", ignored);
      std::filesystem::rename(shared / "z/b", shared / "a/b", ignored);
      std::filesystem::rename(shared / "a", shared / "y", ignored);
      std::filesystem::create_directory_symlink(folder.path(), shared / "a", ignored);
      std::filesystem::remove(shared / "a", ignored);
      std::filesystem::rename(shared / "y", shared / "a", ignored);
    }
  });
  FuseGuest few(FuseGuest::single(shared), {.open_files = 64, .paths = 2});
  few.initialize();
  // On a fast host the guest's memory, of which nothing is freed, would end before the time.
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(800);
  for (int round = 0; round < 1000 && std::chrono::steady_clock::now() < end; ++round) {
    const uint64_t a = few.look_up(kRoot, "a");
    const uint64_t b = few.look_up(a, "b");
    const uint64_t c = few.look_up(b, "c");
    for (const uint64_t node : {a, b, c}) {
      few.create(node, "made");
      few.make_directory(node, "folder");
      EXPECT_EQ(few.look_up(node, "secret"), 0u);
      few.call(Opcode::unlink, node, name("secret"));
      few.call(Opcode::rename, node, bytes_of(fuse::RenameIn{c}) + name("made") + name("moved"));
      few.call(Opcode::unlink, node, name("moved"));
    }
    few.call(Opcode::destroy, 0);
    few.initialize();
  }
  done = true;
  host.join();
  expect_nothing_happened();
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "made"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "folder"));
}

TEST_F(Confinement, BrokenRequestsAreAnsweredOrIgnored) {
  const auto with = [&](auto change) {
    Bytes request = guest->request(Opcode::lookup, kRoot, name("x"));
    fuse::InHeader header;
    std::memcpy(&header, request.data(), sizeof header);
    change(header);
    std::memcpy(request.data(), &header, sizeof header);
    const auto answer = guest->raw(request);
    return answer ? answer->error : -1;
  };
  EXPECT_EQ(with([](auto&) {}), ENOENT);
  EXPECT_EQ(with([](auto& header) { header.length = 0; }), EINVAL);
  EXPECT_EQ(with([](auto& header) { ++header.length; }), EINVAL);
  EXPECT_EQ(with([](auto& header) { header.length = ~0u; }), EINVAL);
  EXPECT_EQ(with([](auto& header) { header.extension_length = 1; }), EINVAL);
  for (const uint32_t opcode : {0u, 7u, 19u, 37u, 40u, 52u, 4096u, ~0u})
    EXPECT_EQ(with([&](auto& header) { header.opcode = opcode; }), ENOSYS) << opcode;
  // Names without an end, too few and too many.
  EXPECT_EQ(guest->call(Opcode::lookup, kRoot, bytes_of("x")).error, EINVAL);
  EXPECT_EQ(guest->call(Opcode::lookup, kRoot).error, EINVAL);
  EXPECT_EQ(guest->call(Opcode::lookup, kRoot, name("x") + name("y")).error, EINVAL);
  EXPECT_EQ(guest->call(Opcode::rename, kRoot, bytes_of(fuse::RenameIn{kRoot}) + name("x")).error, EINVAL);
  EXPECT_EQ(guest->call(Opcode::create, kRoot, Bytes(15)).error, EINVAL);
  EXPECT_EQ(guest->call(Opcode::lookup, kRoot, Bytes(200000, std::byte{'x'})).error, E2BIG);
  // Data that are more or fewer than said.
  const fuse::WriteIn lie{1, 0, 100, 0, 0, 0, 0};
  EXPECT_EQ(guest->call(Opcode::write, kRoot, bytes_of(lie) + Bytes(99)).error, EINVAL);
  EXPECT_EQ(guest->call(Opcode::write, kRoot, bytes_of(lie) + Bytes(101)).error, EINVAL);
  EXPECT_EQ(guest
                ->call(Opcode::set_extended_attribute, kRoot,
                       bytes_of(fuse::SetExtendedAttributeIn{100, 0}) + Bytes(8) + name("user.a") + Bytes(99))
                .error,
            EINVAL);
  // No room for an answer, or for a part of it.
  EXPECT_EQ(guest->raw(guest->request(Opcode::lookup, kRoot, name("x")), 15), std::nullopt);
  EXPECT_EQ(guest->call(Opcode::get_attributes, kRoot, bytes_of(fuse::GetAttributesIn{}), 20).error,
            EOVERFLOW);
  // Less than a header.
  EXPECT_EQ(guest->raw(Bytes(39))->error, EINVAL);
  EXPECT_EQ(guest->call(Opcode::lookup, kRoot, name("x")).error, ENOENT);
}

}  // namespace
}  // namespace alcove::devices::fs
