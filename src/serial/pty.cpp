#include "serial/pty.h"

#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>

#include <cerrno>
#include <cstring>

namespace alcove::serial {

Result<Pty> open_pty() {
  Pty pty{.master = UniqueFd(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)), .path = {}};
  char path[64] = {};
  termios mode{};
  if (!pty.master || grantpt(pty.master.get()) != 0 || unlockpt(pty.master.get()) != 0 ||
      ptsname_r(pty.master.get(), path, sizeof path) != 0 || tcgetattr(pty.master.get(), &mode) != 0) {
    return fail(ErrorCode::internal, "",
                std::string("cannot open a pseudo-terminal: ") + std::strerror(errno),
                "/dev/ptmx and /dev/pts must be there and below the limit in /proc/sys/kernel/pty/max");
  }
  cfmakeraw(&mode);
  tcsetattr(pty.master.get(), TCSANOW, &mode);
  pty.path = path;
  return pty;
}

}  // namespace alcove::serial
