#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <filesystem>
#include <optional>

namespace alcove {

// Where a UNIX socket is: its path, as connect(2) and bind(2) take it.
class UnixAddress {
 public:
  // None for no path and for one that an address has no room for: 107 bytes (unix(7)).
  static std::optional<UnixAddress> of(const std::filesystem::path& path) {
    UnixAddress made;
    if (path.empty() || path.native().size() >= sizeof made.address_.sun_path) return {};
    std::ranges::copy(path.native(), made.address_.sun_path);
    return made;
  }

  // As the functions of the system: whether it was done, errno tells why not.
  bool connect(int socket) const { return ::connect(socket, generic(), sizeof address_) == 0; }
  bool bind(int socket) const { return ::bind(socket, generic(), sizeof address_) == 0; }

 private:
  UnixAddress() = default;
  const sockaddr* generic() const { return reinterpret_cast<const sockaddr*>(&address_); }

  sockaddr_un address_{.sun_family = AF_UNIX, .sun_path = {}};
};

}  // namespace alcove
