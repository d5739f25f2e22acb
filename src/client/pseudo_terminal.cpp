#include "client/pseudo_terminal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): ptsname_r is POSIX, not C++.
#include <termios.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace alcove::client {

Result<PseudoTerminal> PseudoTerminal::open() {
  const auto failed = [] {
    return fail(ErrorCode::internal, "",
                fmt::format("can't open a pseudo terminal: {}", std::strerror(errno)),
                "/dev/ptmx and /dev/pts must be there and below the limit in /proc/sys/kernel/pty/max");
  };
  PseudoTerminal terminal;
  std::array<char, 64> name{};
  terminal.machine_side.reset(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  const int descriptor = terminal.machine_side.get();
  if (descriptor < 0 || ::grantpt(descriptor) != 0 || ::unlockpt(descriptor) != 0 ||
      ::ptsname_r(descriptor, name.data(), name.size()) != 0 ||
      ::fcntl(descriptor, F_SETFL, O_NONBLOCK) != 0) {
    return failed();
  }
  terminal.path = name.data();
  // Of the terminal side, which keeps them as long as there is this one.
  termios settings{};
  if (::tcgetattr(descriptor, &settings) != 0) return failed();
  ::cfmakeraw(&settings);
  if (::tcsetattr(descriptor, TCSANOW, &settings) != 0) return failed();
  return terminal;
}

}  // namespace alcove::client
