// Access control lists of shared folders, from the guest's side and the host's.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fstream>

#include "devices/fs/testing/fuse_guest.h"
#include "share/access_list.h"

namespace alcove::devices::fs {
namespace {

using fuse::Opcode;
using share::AccessList;
using share::kAccessList;
using share::kDefaultList;
using testing::Answer;
using testing::Bytes;
using testing::bytes_of;
using testing::FuseGuest;
using testing::name;
using testing::operator+;

constexpr uint64_t kRoot = fuse::kRootNode;

struct Entry {
  uint16_t tag, permissions;
  uint32_t id;
};
Bytes list_of(std::initializer_list<Entry> entries) {
  Bytes bytes = bytes_of(uint32_t{2});
  for (const Entry& entry : entries) bytes = bytes + bytes_of(entry);
  return bytes;
}
// user::rwx user:ID:rw group::r mask::rw other::-
Bytes list_for(uint32_t id) {
  return list_of(
      {{1, 7, UINT32_MAX}, {2, 6, id}, {4, 4, UINT32_MAX}, {16, 6, UINT32_MAX}, {32, 0, UINT32_MAX}});
}

struct AccessListsTest : ::testing::Test {
  TemporaryFolder folder;
  std::optional<FuseGuest> guest;

  void start(const SharedDirectoryOwnership& ownership, uint64_t flags = ~uint64_t{0}) {
    guest.emplace(FuseGuest::single(folder.path(), {.ownership = ownership}));
    agreed = guest->initialize(flags).flags;
  }
  int set(uint64_t node, std::string_view which, const Bytes& value, uint32_t set_flags = 0) {
    return guest
        ->call(Opcode::set_extended_attribute, node,
               bytes_of(fuse::SetExtendedAttributeIn{static_cast<uint32_t>(value.size()), 0}) +
                   bytes_of(fuse::SetExtendedAttributeInExtension{set_flags, 0}) + name(which) + value)
        .error;
  }
  Answer get(uint64_t node, std::string_view which, uint32_t size = 1000) {
    return guest->call(Opcode::get_extended_attribute, node,
                       bytes_of(fuse::GetExtendedAttributeIn{size, 0}) + name(which));
  }
  std::string names(uint64_t node) {
    return guest
        ->call(Opcode::list_extended_attributes, node, bytes_of(fuse::GetExtendedAttributeIn{1000, 0}))
        .text();
  }
  // What the host has; empty if there is nothing.
  Bytes on_host(const std::string& file, const char* which) const {
    Bytes bytes(1000);
    const ssize_t size = ::getxattr((folder.path() / file).c_str(), which, bytes.data(), bytes.size());
    bytes.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return bytes;
  }
  mode_t mode_on_host(const std::string& file) const {
    struct stat status{};
    ::stat((folder.path() / file).c_str(), &status);
    return status.st_mode & 07777;
  }
  uint64_t made(const Answer& answer) {
    EXPECT_EQ(answer.error, 0);
    return answer.as<fuse::EntryOut>().node;
  }

  uint64_t agreed = 0;
};

const MappedOwnership kShifted{.users = {{0, 0, 1}, {5000, 1000, 100}}, .groups = {{0, 0, 1}}};
constexpr uint64_t kLists = fuse::kPosixAcl | fuse::kDontMask;

TEST_F(AccessListsTest, AreAgreedUponWhereOwnersMeanSomething) {
  start(SquashedOwnership{});
  EXPECT_EQ(agreed & kLists, 0u);
  EXPECT_EQ(set(kRoot, kAccessList, list_for(1000)), EOPNOTSUPP);
  EXPECT_EQ(get(kRoot, kAccessList).error, EOPNOTSUPP);
  start(VirtualOwnership{});
  EXPECT_EQ(agreed & kLists, kLists);
  start(VirtualOwnership{}, ~uint64_t{fuse::kDontMask});
  EXPECT_EQ(agreed & kLists, 0u);
  EXPECT_EQ(set(kRoot, kAccessList, list_for(1000)), EOPNOTSUPP);
}

TEST_F(AccessListsTest, AreTheHostsOwnWithOtherIds) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs to be root";
  start(kShifted);
  const uint64_t node = made(guest->create(kRoot, "file", O_RDWR, 0600));
  if (set(node, kAccessList, list_for(1000)) == EOPNOTSUPP) GTEST_SKIP() << "this file system has none";
  EXPECT_EQ(on_host("file", kAccessList), list_for(5000));
  EXPECT_EQ(get(node, kAccessList).payload, list_for(1000));
  EXPECT_EQ(get(node, kAccessList, 0).as<fuse::GetExtendedAttributeOut>().size, 44u);
  EXPECT_EQ(get(node, kAccessList, 43).error, ERANGE);
  EXPECT_EQ(guest->attributes(node).mode & 0777, 0760u);
  EXPECT_THAT(names(node), ::testing::HasSubstr(kAccessList));
  // Ids that are none of the share's, and lists that are none.
  EXPECT_EQ(set(node, kAccessList, list_for(7)), EINVAL);
  EXPECT_EQ(set(node, kAccessList, Bytes(12)), EINVAL);
  EXPECT_EQ(set(node, kDefaultList, list_for(1000)), EACCES);
  EXPECT_EQ(on_host("file", kAccessList), list_for(5000));
  ASSERT_EQ(::setxattr((folder.path() / "file").c_str(), kAccessList, list_for(7).data(), 44, 0), 0);
  EXPECT_EQ(get(node, kAccessList).payload, list_for(share::kNobody));
  EXPECT_EQ(guest->call(Opcode::remove_extended_attribute, node, name(kAccessList)).error, 0);
  EXPECT_EQ(get(node, kAccessList).error, ENODATA);
  EXPECT_EQ(guest->call(Opcode::remove_extended_attribute, node, name(kAccessList)).error, 0);
}

TEST_F(AccessListsTest, TakeTheRightsOfTheGroupAway) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs to be root";
  start(kShifted);
  const uint64_t node = made(guest->create(kRoot, "file", O_RDWR, 0600));
  for (const uint32_t flags : {0u, fuse::kSetAclKillSetGroup}) {
    ASSERT_EQ(guest->set_attributes(node, {.valid = fuse::kSetMode, .mode = 02770}).error, 0);
    if (set(node, kAccessList, list_for(1000), flags) == EOPNOTSUPP) GTEST_SKIP() << "none here";
    EXPECT_EQ(guest->attributes(node).mode & 07777, flags ? 0760u : 02760u);
  }
}

struct Inheritance : AccessListsTest, ::testing::WithParamInterface<SharedDirectoryOwnership> {};

TEST_P(Inheritance, TakesThePlaceOfTheMask) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs to be root";
  start(GetParam());
  // The guest's kernel leaves the mask (022) to the server.
  const uint64_t plain = made(guest->create(kRoot, "plain", O_RDWR, 0666));
  EXPECT_EQ(guest->attributes(plain).mode & 0777, 0644u);
  EXPECT_EQ(mode_on_host("plain"), 0644u);
  const uint64_t sub = made(guest->make_directory(kRoot, "sub", 0777));
  EXPECT_EQ(guest->attributes(sub).mode & 0777, 0755u);
  if (set(sub, kDefaultList, list_for(1000)) == EOPNOTSUPP) GTEST_SKIP() << "none here";
  EXPECT_EQ(guest->attributes(sub).mode & 0777, 0755u);
  const uint64_t file = made(guest->create(sub, "file", O_RDWR, 0666));
  EXPECT_EQ(guest->attributes(file).mode & 0777, 0660u);
  EXPECT_EQ(
      get(file, kAccessList).payload,
      list_of(
          {{1, 6, UINT32_MAX}, {2, 6, 1000}, {4, 4, UINT32_MAX}, {16, 6, UINT32_MAX}, {32, 0, UINT32_MAX}}));
  const uint64_t below = made(guest->make_directory(sub, "below", 0750));
  EXPECT_EQ(guest->attributes(below).mode & 0777, 0740u);
  EXPECT_EQ(get(below, kDefaultList).payload, list_for(1000));
  const uint64_t special = made(guest->call(
      Opcode::make_node, sub, bytes_of(fuse::MakeNodeIn{S_IFIFO | 0666, 0, 022, 0}) + name("pipe")));
  EXPECT_EQ(guest->attributes(special).mode, S_IFIFO | 0660u);
  // chmod(2) changes the mask.
  ASSERT_EQ(guest->set_attributes(file, {.valid = fuse::kSetMode, .mode = 0640}).error, 0);
  EXPECT_EQ(AccessList::parse(get(file, kAccessList).payload)->permissions(), 0640u);
  EXPECT_EQ(AccessList::parse(get(file, kAccessList).payload)->entries()[1].permissions, 6);
  EXPECT_EQ(guest->call(Opcode::remove_extended_attribute, sub, name(kDefaultList)).error, 0);
  EXPECT_EQ(guest->attributes(made(guest->create(sub, "after", O_RDWR, 0666))).mode & 0777, 0644u);
}

INSTANTIATE_TEST_SUITE_P(Ownership, Inheritance,
                         ::testing::Values(SharedDirectoryOwnership(kShifted),
                                           SharedDirectoryOwnership(VirtualOwnership{})));

TEST_F(AccessListsTest, AreBesideWhatIsVirtual) {
  start(VirtualOwnership{});
  const uint64_t node = made(guest->create(kRoot, "file", O_RDWR, 0640));
  EXPECT_EQ(get(node, kAccessList).error, ENODATA);
  ASSERT_EQ(set(node, kAccessList, list_for(123456)), 0);
  EXPECT_EQ(get(node, kAccessList).payload, list_for(123456));
  EXPECT_EQ(guest->attributes(node).mode & 0777, 0760u);
  EXPECT_TRUE(on_host("file", kAccessList).empty());
  // The guest sees it by one name.
  EXPECT_EQ(names(node), std::string(kAccessList) + '\0');
  EXPECT_EQ(get(node, "user.alcove.posix_acl_access").error, EOPNOTSUPP);
  EXPECT_EQ(set(node, "user.alcove.posix_acl_access", Bytes(3)), EOPNOTSUPP);
  // One that says no more than the mode is none.
  EXPECT_EQ(set(node, kAccessList, list_of({{1, 6, 0}, {4, 0, 0}, {32, 0, 0}})), 0);
  EXPECT_EQ(guest->attributes(node).mode & 0777, 0600u);
  EXPECT_EQ(names(node), "");
  EXPECT_EQ(set(node, kDefaultList, list_for(1)), EACCES);
}

TEST_F(AccessListsTest, AskedForWhereThereAreNone) {
  SharedDirectory squashed{.path = folder.path()},
      with{.path = folder.path(), .ownership = VirtualOwnership{}};
  guest.emplace(
      share::Share{.folders = {FuseGuest::open_root("a", squashed), FuseGuest::open_root("b", with)}});
  EXPECT_EQ(guest->initialize().flags & kLists, kLists);
  const uint64_t a = guest->look_up(kRoot, "a"), b = guest->look_up(kRoot, "b");
  EXPECT_EQ(get(a, kAccessList).error, ENODATA);
  EXPECT_EQ(get(kRoot, kAccessList).error, ENODATA);
  EXPECT_EQ(set(a, kAccessList, list_for(1)), EOPNOTSUPP);
  EXPECT_EQ(set(b, kDefaultList, list_for(1)), 0);
  EXPECT_EQ(guest->attributes(made(guest->create(a, "file", O_RDWR, 0666))).mode & 0777, 0644u);
}

}  // namespace
}  // namespace alcove::devices::fs
