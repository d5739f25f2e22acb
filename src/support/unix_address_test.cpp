#include "support/unix_address.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "support/testing/temporary_folder.h"
#include "support/unique_fd.h"

namespace alcove {
namespace {

UniqueFd new_socket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

TEST(UnixAddress, HasRoomForSoMuch) {
  EXPECT_FALSE(UnixAddress::of(""));
  EXPECT_TRUE(UnixAddress::of(std::string(107, 'x')));
  EXPECT_FALSE(UnixAddress::of(std::string(108, 'x')));
}

TEST(UnixAddress, ConnectsWithWhoeverListensThere) {
  const TemporaryFolder folder;
  const auto address = UnixAddress::of(folder.path() / "socket");
  ASSERT_TRUE(address);
  const UniqueFd listener = new_socket(), early = new_socket(), client = new_socket();
  EXPECT_FALSE(address->connect(early.get()));
  EXPECT_EQ(errno, ENOENT);
  ASSERT_TRUE(address->bind(listener.get()));
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  EXPECT_TRUE(address->connect(client.get()));
  EXPECT_FALSE(address->bind(new_socket().get()));
  EXPECT_EQ(errno, EADDRINUSE);
}

}  // namespace
}  // namespace alcove
