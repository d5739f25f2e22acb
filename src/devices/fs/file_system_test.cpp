#include "devices/fs/file_system.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "devices/fs/testing/fuse_guest.h"
#include "spec/virtio.h"

namespace alcove::devices::fs {
namespace {

using fuse::Opcode;
using testing::Answer;
using testing::Bytes;
using testing::bytes_of;
using ::testing::ElementsAre;
using testing::FuseGuest;
using testing::name;
using ::testing::UnorderedElementsAre;
using testing::operator+;

constexpr uint64_t kRoot = fuse::kRootNode;

struct FileSystemTest : ::testing::Test {
  TemporaryFolder folder;
  std::filesystem::path shared = folder.path() / "shared";
  std::filesystem::path outside = folder.path() / "outside";
  std::unique_ptr<FuseGuest> guest;

  FileSystemTest() {
    std::filesystem::create_directories(shared);
    std::filesystem::create_directories(outside);
    write(outside / "secret", "secret");
  }
  void start(const SharedDirectory& options = {}, const share::ServerLimits& limits = {}) {
    guest = std::make_unique<FuseGuest>(FuseGuest::single(shared, options), limits);
    guest->initialize();
  }
  static void write(const std::filesystem::path& file, std::string_view text) { std::ofstream(file) << text; }
  static std::string read(const std::filesystem::path& file) {
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  uint64_t handle_of(const Answer& opened) { return opened.as<fuse::OpenOut>().handle; }
  std::vector<std::string> list(uint64_t node, Opcode opcode = Opcode::read_directory, uint32_t size = 4096) {
    const uint64_t handle = handle_of(guest->call(Opcode::open_directory, node, bytes_of(fuse::OpenIn{})));
    std::vector<std::string> names;
    for (uint64_t offset = 0;;) {
      const Answer part =
          guest->call(opcode, node, bytes_of(fuse::ReadIn{handle, offset, size, 0, 0, 0, 0}), size + 16);
      EXPECT_EQ(part.error, 0);
      if (part.payload.empty()) break;
      for (size_t at = 0; at < part.payload.size();) {
        const size_t before = opcode == Opcode::read_directory_plus ? sizeof(fuse::EntryOut) : 0;
        const auto entry = part.as<fuse::DirectoryEntry>(at + before);
        const std::string text = part.text().substr(at + before + sizeof entry, entry.name_length);
        if (text != "." && text != "..") names.push_back(text);
        offset = entry.offset;
        at += fuse::aligned(before + sizeof entry + entry.name_length);
      }
    }
    guest->call(Opcode::release_directory, node, bytes_of(fuse::ReleaseIn{handle, 0, 0, 0}));
    return names;
  }
};

TEST_F(FileSystemTest, ConfigurationHasTagAndQueues) {
  start();
  spec::virtio_fs::Configuration configuration;
  guest->device().read_config(0, std::as_writable_bytes(std::span(&configuration, 1)));
  EXPECT_EQ(std::string(configuration.tag), "tag");
  EXPECT_EQ(configuration.request_queue_count, 2u);
  EXPECT_EQ(guest->device().device_id(), spec::virtio::kFileSystemDevice);
  EXPECT_EQ(guest->device().queue_sizes().size(), 3u);
}

TEST_F(FileSystemTest, AgreesOnWhatBothKnow) {
  start();
  const auto all = guest->initialize();
  EXPECT_EQ(all.major, 7u);
  EXPECT_EQ(all.maximum_write, 1u << 20);
  EXPECT_TRUE(all.flags & fuse::kMaximumPages);
  EXPECT_FALSE(all.flags & fuse::kWritebackCache);
  EXPECT_EQ(guest->initialize(0).flags, 0u);
  EXPECT_EQ(guest->initialize(0, 31).minor, 31u);
  EXPECT_EQ(guest->initialize(0, 99).minor, 38u);
  EXPECT_EQ(guest->call(Opcode::initialize, 0, bytes_of(fuse::InitializeIn{7, 30, 0, 0})).error, EPROTO);
  // A newer kernel asks again.
  EXPECT_EQ(guest->call(Opcode::initialize, 0, bytes_of(fuse::InitializeIn{8, 0, 0, 0}))
                .as<fuse::InitializeOut>()
                .major,
            7u);
}

TEST_F(FileSystemTest, NothingBeforeTheBeginning) {
  guest = std::make_unique<FuseGuest>(FuseGuest::single(shared));
  EXPECT_EQ(guest->call(Opcode::get_attributes, kRoot, bytes_of(fuse::GetAttributesIn{})).error, EIO);
}

TEST_F(FileSystemTest, WritesAndReadsFiles) {
  start();
  const Answer created = guest->create(kRoot, "file");
  ASSERT_EQ(created.error, 0);
  const uint64_t node = created.as<fuse::EntryOut>().node;
  const uint64_t handle = created.as<fuse::OpenOut>(sizeof(fuse::EntryOut)).handle;
  EXPECT_EQ(guest->write(node, handle, 3, "hello").as<fuse::WriteOut>().size, 5u);
  EXPECT_EQ(read(shared / "file"), std::string("\0\0\0hello", 8));
  EXPECT_EQ(guest->read(node, handle, 4, 100).text(), "ello");
  EXPECT_EQ(guest->attributes(node).size, 8u);
  EXPECT_EQ(guest->attributes(node).mode, S_IFREG | 0644u);
  EXPECT_EQ(guest->call(Opcode::release, node, bytes_of(fuse::ReleaseIn{handle, 0, 0, 0})).error, 0);
  EXPECT_EQ(guest->read(node, handle, 0, 1).error, EBADF);
  EXPECT_EQ(guest->call(Opcode::release, node, bytes_of(fuse::ReleaseIn{handle, 0, 0, 0})).error, EBADF);
  EXPECT_EQ(guest->create(kRoot, "file", O_RDWR | O_EXCL).error, EEXIST);
}

TEST_F(FileSystemTest, AppendsToTheEndThatThereIs) {
  start();
  write(shared / "log", "one");
  const uint64_t node = guest->look_up(kRoot, "log");
  const uint64_t handle = handle_of(guest->open(node, O_WRONLY | O_APPEND));
  write(shared / "log", "one+two");
  EXPECT_EQ(guest->write(node, handle, 3, "+three", O_WRONLY | O_APPEND).error, 0);
  EXPECT_EQ(read(shared / "log"), "one+two+three");
}

TEST_F(FileSystemTest, LargeReadsGoToManyBuffers) {
  start();
  std::string contents(1 << 20, 'x');
  for (size_t i = 0; i < contents.size(); ++i) contents[i] = static_cast<char>(i * 7 ^ i >> 8);
  write(shared / "large", contents);
  const uint64_t node = guest->look_up(kRoot, "large");
  const uint64_t handle = handle_of(guest->open(node, O_RDONLY));
  const auto reply = guest->guest().queue(1).request(
      {.readable = {guest->request(Opcode::read, node,
                                   bytes_of(fuse::ReadIn{handle, 0, 1 << 20, 0, 0, 0, 0}))},
       .writable =
           [] {
             std::vector<uint32_t> sizes = {16};
             sizes.resize(257, 4096);
             return sizes;
           }(),
       .indirect = true});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->length, 16u + (1 << 20));
  std::string got;
  for (size_t i = 1; i < reply->writable.size(); ++i)
    got.append(reinterpret_cast<const char*>(reply->writable[i].data()), reply->writable[i].size());
  EXPECT_TRUE(got == contents);
}

TEST_F(FileSystemTest, ChangesFolders) {
  start();
  const uint64_t a = guest->make_directory(kRoot, "a").as<fuse::EntryOut>().node;
  const uint64_t b = guest->make_directory(a, "b").as<fuse::EntryOut>().node;
  ASSERT_NE(b, 0u);
  EXPECT_EQ(guest->make_directory(kRoot, "a").error, EEXIST);
  EXPECT_EQ(guest->call(Opcode::make_symbolic_link, b, name("link") + name("../target")).error, 0);
  EXPECT_EQ(guest->call(Opcode::read_link, guest->look_up(b, "link")).text(), "../target");
  EXPECT_EQ(
      guest->call(Opcode::make_node, b, bytes_of(fuse::MakeNodeIn{S_IFIFO | 0600, 0, 0, 0}) + name("pipe"))
          .error,
      0);
  EXPECT_TRUE(std::filesystem::is_fifo(shared / "a/b/pipe"));
  const uint64_t file = guest->create(b, "file").as<fuse::EntryOut>().node;
  EXPECT_EQ(
      guest->call(Opcode::link, kRoot, bytes_of(fuse::LinkIn{file}) + name("hard")).as<fuse::EntryOut>().node,
      file);
  EXPECT_EQ(guest->attributes(file).link_count, 2u);
  EXPECT_EQ(guest->call(Opcode::rename, a, bytes_of(fuse::RenameIn{kRoot}) + name("b") + name("c")).error, 0);
  // What is in it is where it is now.
  EXPECT_EQ(guest->look_up(b, "file"), file);
  EXPECT_EQ(guest->create(b, "new").error, 0);
  EXPECT_TRUE(std::filesystem::exists(shared / "c/new"));
  EXPECT_EQ(guest->call(Opcode::unlink, b, name("new")).error, 0);
  EXPECT_EQ(guest->call(Opcode::remove_directory, kRoot, name("c")).error, ENOTEMPTY);
  EXPECT_EQ(guest->call(Opcode::remove_directory, kRoot, name("a")).error, 0);
  EXPECT_EQ(guest->call(Opcode::unlink, kRoot, name("c")).error, EISDIR);
}

TEST_F(FileSystemTest, ListsFolders) {
  start();
  std::vector<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    expected.push_back(std::string(1 + i % 200, 'n') + std::to_string(i));
    write(shared / expected.back(), "");
  }
  EXPECT_THAT(list(kRoot), ::testing::UnorderedElementsAreArray(expected));
  EXPECT_THAT(list(kRoot, Opcode::read_directory, 512), ::testing::UnorderedElementsAreArray(expected));
  const size_t before = guest->device().server().known_inodes();
  EXPECT_THAT(list(kRoot, Opcode::read_directory_plus), ::testing::UnorderedElementsAreArray(expected));
  EXPECT_EQ(guest->device().server().known_inodes(), before + 300);
  // Too small for one is no end.
  const uint64_t handle = handle_of(guest->call(Opcode::open_directory, kRoot, bytes_of(fuse::OpenIn{})));
  EXPECT_EQ(
      guest->call(Opcode::read_directory, kRoot, bytes_of(fuse::ReadIn{handle, 0, 8, 0, 0, 0, 0})).error,
      EINVAL);
}

TEST_F(FileSystemTest, ForgetsWhatItIsToldTo) {
  start();
  write(shared / "file", "");
  const uint64_t node = guest->look_up(kRoot, "file");
  EXPECT_EQ(guest->look_up(kRoot, "file"), node);
  EXPECT_EQ(guest->raw(guest->request(Opcode::forget, node, bytes_of(fuse::ForgetIn{1})), 0, 0),
            std::nullopt);
  EXPECT_EQ(guest->attributes(node).mode, S_IFREG | 0644u);
  const fuse::ForgetOne ones[] = {{node, 1}, {12345, 1}};
  guest->raw(
      guest->request(Opcode::batch_forget, 0, bytes_of(fuse::BatchForgetIn{1000000, 0}) + bytes_of(ones)), 0,
      0);
  EXPECT_EQ(guest->call(Opcode::get_attributes, node, bytes_of(fuse::GetAttributesIn{})).error, ESTALE);
  EXPECT_NE(guest->look_up(kRoot, "file"), node);
  // The mount's folder stays.
  guest->raw(guest->request(Opcode::forget, kRoot, bytes_of(fuse::ForgetIn{~uint64_t{0}})), 0, 0);
  EXPECT_NE(guest->look_up(kRoot, "file"), 0u);
}

TEST_F(FileSystemTest, SetsAttributes) {
  start();
  write(shared / "file", "0123456789");
  const uint64_t node = guest->look_up(kRoot, "file");
  EXPECT_EQ(guest->set_attributes(node, {.valid = fuse::kSetSize, .size = 4})
                .as<fuse::AttributesOut>()
                .attributes.size,
            4u);
  EXPECT_EQ(guest->set_attributes(node, {.valid = fuse::kSetMode, .mode = 0600})
                    .as<fuse::AttributesOut>()
                    .attributes.mode &
                0777,
            0600u);
  fuse::SetAttributesIn times{.valid = fuse::kSetModificationTime, .modification_time = 1000};
  times.modification_nanoseconds = 5;
  const auto attributes = guest->set_attributes(node, times).as<fuse::AttributesOut>().attributes;
  EXPECT_EQ(attributes.modification_time, 1000u);
  EXPECT_EQ(attributes.modification_nanoseconds, 5u);
  EXPECT_EQ(guest->set_attributes(node, {.valid = fuse::kSetSize, .size = ~uint64_t{0}}).error, EFBIG);
  EXPECT_EQ(guest->set_attributes(kRoot, {.valid = fuse::kSetSize}).error, EISDIR);
}

TEST_F(FileSystemTest, WritesOfTheUnprivilegedTakeSetIdBits) {
  const IDRange all{.host = 0, .guest = 0, .count = UINT32_MAX};
  for (const SharedDirectoryOwnership& ownership :
       {SharedDirectoryOwnership(VirtualOwnership{}),
        SharedDirectoryOwnership(MappedOwnership{.users = {all}, .groups = {all}})}) {
    start({.ownership = ownership});
    guest->caller = {::geteuid(), ::getegid()};
    const std::string file = std::holds_alternative<VirtualOwnership>(ownership) ? "virtual" : "mapped";
    const Answer made = guest->create(kRoot, file);
    const uint64_t node = made.as<fuse::EntryOut>().node;
    const uint64_t handle = made.as<fuse::OpenOut>(sizeof(fuse::EntryOut)).handle;
    const auto set_mode = [&](uint32_t mode) {
      EXPECT_EQ(guest->set_attributes(node, {.valid = fuse::kSetMode, .mode = mode}).error, 0);
      EXPECT_EQ(guest->attributes(node).mode, S_IFREG | mode);
    };
    const auto write_as = [&](uint32_t write_flags) {
      return guest
          ->call(
              Opcode::write, node,
              bytes_of(fuse::WriteIn{handle, 0, 1, write_flags, 0, 0, 0}) + bytes_of(std::string_view("x")))
          .error;
    };
    set_mode(06755);
    EXPECT_EQ(write_as(fuse::kWriteKillPrivileges), 0);
    EXPECT_EQ(guest->attributes(node).mode, S_IFREG | 0755u);
    set_mode(06745);  // A group that may not execute: then the bit is about locks.
    EXPECT_EQ(guest->set_attributes(node, {.valid = fuse::kSetSize | fuse::kSetKillPrivileges}).error, 0);
    EXPECT_EQ(guest->attributes(node).mode, S_IFREG | 02745u);
    set_mode(04755);
    EXPECT_EQ(
        guest->call(Opcode::open, node, bytes_of(fuse::OpenIn{O_WRONLY | O_TRUNC, fuse::kOpenKillPrivileges}))
            .error,
        0);
    EXPECT_EQ(guest->attributes(node).mode, S_IFREG | 0755u);
    if (::geteuid() == 0) {  // Any other user's writes take them by themselves, on the host.
      set_mode(06755);
      EXPECT_EQ(write_as(0), 0);
      EXPECT_EQ(guest->attributes(node).mode, S_IFREG | 06755u);
    }
  }
}

TEST_F(FileSystemTest, ReadOnlyMeansIt) {
  write(shared / "file", "text");
  start({.read_only = true});
  const uint64_t node = guest->look_up(kRoot, "file");
  EXPECT_EQ(guest->read(node, handle_of(guest->open(node, O_RDONLY)), 0, 10).text(), "text");
  EXPECT_EQ(guest->open(node, O_RDWR).error, EROFS);
  EXPECT_EQ(guest->open(node, O_RDONLY | O_TRUNC).error, EROFS);
  EXPECT_EQ(guest->create(kRoot, "new").error, EROFS);
  EXPECT_EQ(guest->make_directory(kRoot, "new").error, EROFS);
  EXPECT_EQ(guest->call(Opcode::unlink, kRoot, name("file")).error, EROFS);
  EXPECT_EQ(
      guest->call(Opcode::rename, kRoot, bytes_of(fuse::RenameIn{kRoot}) + name("file") + name("x")).error,
      EROFS);
  EXPECT_EQ(guest->call(Opcode::link, kRoot, bytes_of(fuse::LinkIn{node}) + name("x")).error, EROFS);
  EXPECT_EQ(guest->set_attributes(node, {.valid = fuse::kSetMode}).error, EROFS);
  EXPECT_EQ(guest
                ->call(Opcode::set_extended_attribute, node,
                       bytes_of(fuse::SetExtendedAttributeIn{1, 0}) + Bytes(8) + name("user.a") + Bytes(1))
                .error,
            EROFS);
  // What a handle can't do does not depend on what it was opened for.
  const uint64_t handle = handle_of(guest->open(node, O_RDONLY));
  EXPECT_EQ(guest->write(node, handle, 0, "x").error, EBADF);
  EXPECT_EQ(read(shared / "file"), "text");
  std::filesystem::permissions(shared / "file", std::filesystem::perms(04755));
  const fuse::WriteIn dropping{handle, 0, 1, fuse::kWriteKillPrivileges, 0, 0, 0};
  EXPECT_EQ(guest->call(Opcode::write, node, bytes_of(dropping) + bytes_of(std::string_view("x"))).error,
            EBADF);
  EXPECT_EQ(std::filesystem::status(shared / "file").permissions(), std::filesystem::perms(04755));
}

TEST_F(FileSystemTest, ExtendedAttributesAreTheUsers) {
  start();
  write(shared / "file", "");
  const uint64_t node = guest->look_up(kRoot, "file");
  const auto set = [&](std::string_view which, const Bytes& value) {
    return guest
        ->call(Opcode::set_extended_attribute, node,
               bytes_of(fuse::SetExtendedAttributeIn{static_cast<uint32_t>(value.size()), 0}) + Bytes(8) +
                   name(which) + value)
        .error;
  };
  const auto get = [&](std::string_view which, uint32_t size) {
    return guest->call(Opcode::get_extended_attribute, node,
                       bytes_of(fuse::GetExtendedAttributeIn{size, 0}) + name(which));
  };
  ASSERT_EQ(set("user.color", bytes_of("green")), 0);
  EXPECT_EQ(get("user.color", 100).text(), "green");
  EXPECT_EQ(get("user.color", 0).as<fuse::GetExtendedAttributeOut>().size, 5u);
  EXPECT_EQ(get("user.color", 2).error, ERANGE);
  EXPECT_EQ(get("user.other", 0).error, ENODATA);
  EXPECT_EQ(set("security.capability", Bytes(20)), EOPNOTSUPP);
  EXPECT_EQ(set("trusted.x", Bytes(1)), EOPNOTSUPP);
  EXPECT_EQ(set(share::kOverrideAttribute, bytes_of("0:0:0777")), EOPNOTSUPP);
  EXPECT_EQ(
      guest->call(Opcode::list_extended_attributes, node, bytes_of(fuse::GetExtendedAttributeIn{100, 0}))
          .text(),
      std::string("user.color\0", 11));
  EXPECT_EQ(
      guest->call(Opcode::list_extended_attributes, node, bytes_of(fuse::GetExtendedAttributeIn{3, 0})).error,
      ERANGE);
  EXPECT_EQ(guest->call(Opcode::remove_extended_attribute, node, name("user.color")).error, 0);
  EXPECT_EQ(get("user.color", 100).error, ENODATA);
}

TEST_F(FileSystemTest, TemporaryFilesGetTheirNameLater) {
  start();
  const Answer made =
      guest->call(Opcode::temporary_file, kRoot, bytes_of(fuse::CreateIn{O_RDWR, 0600, 0, 0}) + name("#1"));
  if (made.error == EOPNOTSUPP) GTEST_SKIP() << "this file system has none";
  ASSERT_EQ(made.error, 0);
  const uint64_t node = made.as<fuse::EntryOut>().node;
  const uint64_t handle = made.as<fuse::OpenOut>(sizeof(fuse::EntryOut)).handle;
  EXPECT_EQ(guest->write(node, handle, 0, "kept").error, 0);
  EXPECT_THAT(list(kRoot), ElementsAre());
  EXPECT_EQ(guest->call(Opcode::link, kRoot, bytes_of(fuse::LinkIn{node}) + name("file")).error, 0);
  EXPECT_EQ(read(shared / "file"), "kept");
}

TEST_F(FileSystemTest, OpenFilesOutliveTheirNames) {
  start();
  write(shared / "file", "text");
  const uint64_t node = guest->look_up(kRoot, "file");
  const uint64_t handle = handle_of(guest->open(node, O_RDWR));
  std::filesystem::remove(shared / "file");  // The host does.
  EXPECT_EQ(guest->read(node, handle, 0, 10).text(), "text");
  EXPECT_EQ(guest->attributes(node).link_count, 0u);
  EXPECT_EQ(guest->set_attributes(node, {.valid = fuse::kSetMode, .mode = 0640}).error, 0);
  // A file of that name is another.
  write(shared / "file", "new");
  EXPECT_NE(guest->look_up(kRoot, "file"), node);
  EXPECT_EQ(guest->read(node, handle, 0, 10).text(), "text");
}

TEST_F(FileSystemTest, WhatTheHostReplacedIsStale) {
  start();
  write(shared / "file", "text");
  const uint64_t node = guest->look_up(kRoot, "file");
  write(shared / "other", "other");
  std::filesystem::rename(shared / "other", shared / "file");
  EXPECT_EQ(guest->open(node, O_RDONLY).error, ESTALE);
  EXPECT_EQ(guest->set_attributes(node, {.valid = fuse::kSetMode, .mode = 0}).error, ESTALE);
  EXPECT_EQ(guest->look_up(kRoot, "gone"), 0u);
}

TEST_F(FileSystemTest, WhatTheHostReplacedIsNotOpenedAgain) {
  start();
  write(shared / "file", "text");
  const uint64_t node = guest->look_up(kRoot, "file");
  const uint64_t handle = handle_of(guest->open(node, O_RDONLY));
  write(shared / "other", "other");
  std::filesystem::rename(shared / "other", shared / "file");
  EXPECT_EQ(guest->open(node, O_RDWR).error, ESTALE);
  EXPECT_EQ(guest->read(node, handle, 0, 10).text(), "text") << "what is open is";
  EXPECT_EQ(guest->open(guest->look_up(kRoot, "file"), O_RDWR).error, 0);
}

TEST_F(FileSystemTest, FoldersThatTheHostTurnedInsideOutAreFound) {
  start();
  std::filesystem::create_directories(shared / "a/b");
  const uint64_t a = guest->look_up(kRoot, "a"), b = guest->look_up(a, "b");
  const auto opened = guest->call(Opcode::open_directory, b, bytes_of(fuse::OpenIn{}));
  std::filesystem::rename(shared / "a/b", shared / "b");
  std::filesystem::rename(shared / "a", shared / "b/a");
  write(shared / "b/a/file", "text");
  EXPECT_EQ(guest->look_up(b, "a"), a) << "by the descriptor, though b was in a";
  guest->call(Opcode::release_directory, b, bytes_of(fuse::ReleaseIn{handle_of(opened), 0, 0, 0}));
  EXPECT_EQ(guest->look_up(kRoot, "b"), b);
  EXPECT_EQ(guest->look_up(b, "a"), a);
  const uint64_t file = guest->look_up(a, "file");
  EXPECT_EQ(guest->attributes(file).size, 4u);
  guest->call(Opcode::forget, file, bytes_of(fuse::ForgetIn{1}));
  guest->call(Opcode::forget, a, bytes_of(fuse::ForgetIn{3}));
  guest->call(Opcode::forget, b, bytes_of(fuse::ForgetIn{2}));
  EXPECT_EQ(guest->device().server().known_inodes(), 1u);
}

TEST_F(FileSystemTest, WhatTheGuestFoundAgainIsThereToOpen) {
  start();
  const auto replace = [&](std::string_view text) {
    write(shared / "other", text);
    std::filesystem::rename(shared / "other", shared / "file");
  };
  replace("first");
  const uint64_t first = guest->look_up(kRoot, "file");
  replace("second");
  EXPECT_EQ(guest->open(first, O_RDONLY).error, ESTALE);  // Linux looks it up once more.
  const uint64_t second = guest->look_up(kRoot, "file");
  replace("third");
  const Answer opened = guest->open(second, O_RDONLY);
  ASSERT_EQ(opened.error, 0);
  EXPECT_EQ(guest->read(second, handle_of(opened), 0, 10).text(), "second");
  const uint64_t third = guest->look_up(kRoot, "file");
  std::filesystem::remove(shared / "file");
  EXPECT_EQ(guest->attributes(third).size, 5u);
  EXPECT_EQ(guest->look_up(kRoot, "file"), 0u);
}

TEST_F(FileSystemTest, FewDescriptorsServeManyFiles) {
  start({}, {.open_files = 4, .paths = 8});
  std::vector<uint64_t> nodes;
  for (int i = 0; i < 50; ++i) {
    const std::string text = std::to_string(i);
    std::filesystem::create_directories(shared / text);
    write(shared / text / "file", text);
    nodes.push_back(guest->look_up(guest->look_up(kRoot, text), "file"));
  }
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 50; ++i) {
      const uint64_t handle = handle_of(guest->open(nodes[i], O_RDONLY));
      EXPECT_EQ(guest->read(nodes[i], handle, 0, 10).text(), std::to_string(i));
      guest->call(Opcode::release, nodes[i], bytes_of(fuse::ReleaseIn{handle, 0, 0, 0}));
    }
  }
  EXPECT_LE(guest->device().server().open_paths(), 8u);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(guest->open(nodes[i], O_RDONLY).error, 0);
  EXPECT_EQ(guest->open(nodes[5], O_RDONLY).error, ENFILE);
}

}  // namespace
}  // namespace alcove::devices::fs
