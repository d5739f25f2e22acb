#include "cli/bundle.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace alcove::cli {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".alcove";
constexpr std::string_view kSocket = "control.socket";

std::unexpected<Error> bundle_error(const fs::path& path, std::string what, std::string hint = {}) {
  return fail(ErrorCode::internal, path.string(), std::move(what), std::move(hint));
}

// A socket address has room for 107 bytes only, a folder's path may be longer: so the folder is named by its
// descriptor.
struct SocketAddress {
  explicit SocketAddress(const fs::path& folder)
      : folder_fd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
    address.sun_family = AF_UNIX;
    const std::string path = fmt::format("/proc/self/fd/{}/{}", folder_fd.get(), kSocket);
    path.copy(address.sun_path, sizeof address.sun_path - 1);
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
  UniqueFd folder_fd;
  sockaddr_un address{};
};

}  // namespace

fs::path Bundle::home() {
  if (const char* data = std::getenv("XDG_DATA_HOME"); data && *data) return fs::path(data) / "alcove";
  const char* user = std::getenv("HOME");
  return fs::path(user ? user : "/") / ".local/share/alcove";
}

Result<> Bundle::validate_name(const std::string& name) {
  const auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  };
  if (name.empty() || name.size() > 64 || name[0] == '.' || name[0] == '-' ||
      !std::ranges::all_of(name, allowed)) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, "NAME",
                fmt::format("'{}' cannot be a machine's name", name),
                "use letters, digits, '.', '_' and '-', beginning with a letter or digit, at most 64");
  }
  return {};
}

Result<Bundle> Bundle::open(const std::string& name_or_path) {
  const fs::path given(name_or_path);
  const bool is_path = name_or_path.contains('/') || given.extension() == kExtension;
  const fs::path path = is_path ? given : home() / (name_or_path + std::string(kExtension));
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    return bundle_error(path, fmt::format("there is no machine '{}'", name_or_path),
                        "`alcove list` shows those there are");
  }
  Bundle bundle(fs::absolute(path.has_filename() ? path : path.parent_path()));
  if (!fs::exists(bundle.machine_file(), error)) {
    return bundle_error(path, "the folder has no machine.toml, so it is not a machine");
  }
  return bundle;
}

Result<Bundle> Bundle::create(const std::string& name, const VirtualMachineConfiguration& configuration) {
  if (auto valid = validate_name(name); !valid) return std::unexpected(valid.error());
  Bundle bundle(home() / (name + std::string(kExtension)));
  std::error_code error;
  fs::create_directories(home(), error);
  if (error)
    return bundle_error(home(), fmt::format("the folder for machines cannot be made: {}", error.message()));
  if (!fs::create_directory(bundle.path(), error)) {
    if (error)
      return bundle_error(bundle.path(),
                          fmt::format("the machine's folder cannot be made: {}", error.message()));
    return bundle_error(bundle.path(), fmt::format("there is a machine '{}' already", name),
                        "choose another name, or delete it first");
  }
  if (auto saved = configuration.save(bundle.machine_file()); !saved) {
    fs::remove_all(bundle.path(), error);
    return std::unexpected(saved.error());
  }
  return bundle;
}

std::vector<Bundle> Bundle::all() {
  std::vector<Bundle> bundles;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(home(), error)) {
    if (entry.path().extension() == kExtension && fs::exists(entry.path() / "machine.toml", error)) {
      bundles.push_back(Bundle(entry.path()));
    }
  }
  std::ranges::sort(bundles, {}, &Bundle::name);
  return bundles;
}

Result<VirtualMachineConfiguration> Bundle::configuration() const {
  return VirtualMachineConfiguration::load(machine_file());
}

Result<> Bundle::remove() const {
  if (connect())
    return bundle_error(path_, "the machine is running", fmt::format("`alcove stop {}` first", name()));
  std::error_code error;
  fs::remove_all(path_, error);
  if (error)
    return bundle_error(path_, fmt::format("the machine's folder cannot be deleted: {}", error.message()));
  return {};
}

Result<UniqueFd> Bundle::connect() const {
  const SocketAddress address(path_);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), address.get(), sizeof address.address) != 0) {
    return fail(ErrorCode::invalid_virtual_machine_state, name(), "the machine is not running",
                fmt::format("`alcove start {}` starts it", name()));
  }
  return socket;
}

Result<UniqueFd> Bundle::listen() const {
  const SocketAddress address(path_);
  // The socket's file outlives a process that was killed: only the lock tells whether someone runs the
  // machine.
  UniqueFd lock(::open((path_ / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock)
    return bundle_error(path_, fmt::format("the machine's folder cannot be written: {}", strerror(errno)));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(ErrorCode::invalid_virtual_machine_state, name(), "the machine is running already");
  }
  (void)lock.release();  // Held until the process ends.
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  unlinkat(address.folder_fd.get(), std::string(kSocket).c_str(), 0);
  const mode_t mask = umask(0077);
  const bool bound =
      bind(socket.get(), address.get(), sizeof address.address) == 0 && ::listen(socket.get(), 16) == 0;
  umask(mask);
  if (!bound)
    return bundle_error(path_, fmt::format("the control socket cannot be made: {}", strerror(errno)));
  return socket;
}

}  // namespace alcove::cli
