#include "client/image_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

namespace alcove::client {
namespace {

std::string first_line(const std::filesystem::path& file) {
  std::string line;
  std::getline(std::ifstream(file), line);
  return line;
}

// The kernel does not tell who holds an open file description lock, but each holder's /proc/PID/fdinfo has a
// line "lock:\t1: OFDLCK  ADVISORY  WRITE -1 08:01:1234 0 EOF" with the file's device and inode (proc(5)).
bool holds_lock(const std::filesystem::path& process, const std::string& file_identity) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(process / "fdinfo", error), end; !error && entry != end;
       entry.increment(error)) {
    std::ifstream info(entry->path());
    for (std::string line; std::getline(info, line);) {
      if (line.starts_with("lock:") && line.find(file_identity) != std::string::npos) return true;
    }
  }
  return false;
}

// "process 123 (alcove-vm)", or what can be said of processes of other users.
std::string holder_of(const struct stat& status) {
  const std::string file_identity =
      fmt::format(" {:02x}:{:02x}:{} ", major(status.st_dev), minor(status.st_dev), status.st_ino);
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string pid = entry->path().filename();
    if (!std::ranges::all_of(pid, [](char c) { return c >= '0' && c <= '9'; })) continue;
    if (holds_lock(entry->path(), file_identity)) {
      return fmt::format("process {} ({})", pid, first_line(entry->path() / "comm"));
    }
  }
  return "a process of another user";
}

}  // namespace

Result<> lock_image(int descriptor, bool exclusive, const std::filesystem::path& path) {
  struct flock lock{};
  lock.l_type = exclusive ? F_WRLCK : F_RDLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(descriptor, F_OFD_SETLK, &lock) == 0) return {};
  if (errno != EAGAIN && errno != EACCES) {
    return fail(
        ErrorCode::invalid_disk_image, "",
        fmt::format("can't lock {}: {}", path.string(), std::strerror(errno)),
        "set locking_mode to none if its file system has no locks, and use it for one machine at a time");
  }
  struct stat status{};
  ::fstat(descriptor, &status);
  return fail(ErrorCode::invalid_disk_image, "",
              fmt::format("{} is in use by {}", path.string(), holder_of(status)),
              exclusive ? "stop the other machine, or use a copy of the image"
                        : "the other machine writes it: stop that, or use a copy of the image");
}

}  // namespace alcove::client
