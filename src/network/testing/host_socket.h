// Sockets of the host's, for tests.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "support/unique_fd.h"

namespace alcove::network::testing {

// On one of the host's loopback addresses; waits for five seconds to receive.
struct HostSocket {
  explicit HostSocket(int type, const char* address = "127.0.0.1")
      : fd(socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    const timeval limit{.tv_sec = 5};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in where = at(address, 0);
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&where), sizeof where), 0);
    socklen_t size = sizeof where;
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&where), &size);
    port = ntohs(where.sin_port);
  }
  static sockaddr_in at(const char* address, uint16_t port) {
    sockaddr_in result{.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &result.sin_addr);
    return result;
  }
  bool connect(uint16_t to) const {
    const sockaddr_in where = at("127.0.0.1", to);
    return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0;
  }
  UniqueFd fd;
  uint16_t port = 0;
};

}  // namespace alcove::network::testing
