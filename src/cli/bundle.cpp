#include "cli/bundle.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "cli/output.h"
#include "support/unix_address.h"

namespace alcove::cli {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".alcove";
constexpr std::string_view kSocket = "control.socket";
constexpr std::string_view kLock = "lock";
constexpr std::string_view kLastError = "last-error.json";

std::unexpected<Error> bundle_error(const fs::path& path, std::string what, std::string hint = {}) {
  return fail(ErrorCode::internal, path.string(), std::move(what), std::move(hint));
}

// A socket address has room for 107 bytes only, a folder's path may be longer: so the folder is named by its
// descriptor.
struct SocketAddress {
  explicit SocketAddress(const fs::path& folder)
      : folder_fd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
        by_folder(*UnixAddress::of(fmt::format("/proc/self/fd/{}/{}", folder_fd.get(), kSocket))) {}
  UniqueFd folder_fd;
  UnixAddress by_folder;
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
    if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory)
      return bundle_error(path, fmt::format("can't be looked at: {}", error.message()));
    if (fs::is_regular_file(given, error)) {
      return bundle_error(given, "is a file, and not a machine file",
                          "a machine file's name ends in .toml; a kernel is given with --kernel");
    }
    return bundle_error(path, fmt::format("there is no machine '{}'", name_or_path),
                        "`alcove list` shows those there are");
  }
  Bundle bundle(fs::absolute(path.has_filename() ? path : path.parent_path()));
  if (!fs::exists(bundle.machine_file(), error)) {
    return bundle_error(path, "the folder has no machine.toml, so it is not a machine",
                        "name a folder that `alcove create` made");
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

Result<std::vector<Bundle>> Bundle::all() {
  std::vector<Bundle> bundles;
  std::error_code error;
  fs::directory_iterator entry(home(), error);
  if (error == std::errc::no_such_file_or_directory) return bundles;
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code missing;
    const fs::path path = entry->path();
    if (path.extension() == kExtension && fs::exists(path / "machine.toml", missing)) {
      bundles.push_back(Bundle(path));
    }
  }
  if (error) {
    return bundle_error(home(), fmt::format("can't be listed: {}", error.message()),
                        "set XDG_DATA_HOME to a folder of yours");
  }
  std::ranges::sort(bundles, {}, &Bundle::name);
  return bundles;
}

Result<VirtualMachineConfiguration> Bundle::configuration() const {
  return VirtualMachineConfiguration::load(machine_file());
}

Result<> Bundle::remove() const {
  auto held = lock();
  if (!held) return std::unexpected(held.error());
  std::error_code error;
  fs::remove_all(path_, error);
  if (error)
    return bundle_error(path_, fmt::format("the machine's folder cannot be deleted: {}", error.message()));
  return {};
}

Result<UniqueFd> Bundle::lock() const {
  UniqueFd file(::open((path_ / kLock).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file)
    return bundle_error(path_, fmt::format("the machine's folder can't be written: {}", strerror(errno)));
  constexpr std::chrono::seconds kEndingTakesAtMost{3};
  const auto deadline = std::chrono::steady_clock::now() + kEndingTakesAtMost;
  const struct flock whole{.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0, .l_pid = 0};
  while (fcntl(file.get(), F_OFD_SETLK, &whole) != 0) {
    if (errno != EAGAIN && errno != EACCES)
      return bundle_error(path_ / kLock, fmt::format("can't be locked: {}", strerror(errno)));
    // In the background and answering: it is not about to end.
    if (connect() || std::chrono::steady_clock::now() > deadline) {
      return fail(ErrorCode::invalid_virtual_machine_state, name(),
                  fmt::format("the machine is running already, in process {}", holder().value_or(0)),
                  fmt::format("`alcove stop {}` first", name()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const std::string process = fmt::format("{}\n", getpid());
  if (ftruncate(file.get(), 0) != 0 ||
      pwrite(file.get(), process.data(), process.size(), 0) != static_cast<ssize_t>(process.size()))
    return bundle_error(path_ / kLock, fmt::format("can't be written: {}", strerror(errno)));
  return file;
}

std::optional<pid_t> Bundle::holder() const {
  const UniqueFd file(::open((path_ / kLock).c_str(), O_RDWR | O_CLOEXEC));
  struct flock whole{.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0, .l_pid = 0};
  if (!file || fcntl(file.get(), F_OFD_GETLK, &whole) != 0 || whole.l_type == F_UNLCK) return std::nullopt;
  pid_t process = 0;
  std::ifstream(path_ / kLock) >> process;
  return process;
}

bool Bundle::wait_until_free(std::chrono::steady_clock::time_point deadline) const {
  while (holder()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

Result<UniqueFd> Bundle::connect() const {
  const SocketAddress address(path_);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (address.by_folder.connect(socket.get())) return socket;
  if (errno == EACCES) {
    return fail(ErrorCode::invalid_virtual_machine_state, name(), "the machine belongs to another user",
                "do this as that user");
  }
  if (auto process = holder()) {
    return fail(ErrorCode::invalid_virtual_machine_state, name(),
                fmt::format("the machine runs at the terminal of process {} (`alcove run`)", *process),
                "its monitor is there: Ctrl-]");
  }
  return fail(ErrorCode::invalid_virtual_machine_state, name(), "the machine is not running",
              fmt::format("`alcove start {}` starts it", name()));
}

Result<UniqueFd> Bundle::listen() const {
  const SocketAddress address(path_);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // The socket's file outlives a process that was killed.
  unlink((path_ / kSocket).c_str());
  const mode_t mask = umask(0077);
  const bool bound = address.by_folder.bind(socket.get()) && ::listen(socket.get(), 16) == 0;
  umask(mask);
  if (!bound)
    return bundle_error(path_, fmt::format("the control socket cannot be made: {}", strerror(errno)));
  return socket;
}

std::optional<Error> Bundle::last_error() const {
  if (holder()) return std::nullopt;
  std::ifstream file(path_ / kLastError);
  if (file) {
    const auto json = nlohmann::json::parse(file, nullptr, false);
    if (json.is_object()) return error_from_json(json);
  }
  std::error_code error;
  if (!fs::exists(path_ / kSocket, error)) return std::nullopt;
  return Error{ErrorCode::internal, name(),
               "the machine's background process was killed, or the host went down under it",
               fmt::format("`alcove start {}` starts it again", name())};
}

void Bundle::set_last_error(const std::optional<Error>& error) const {
  unlink((path_ / kSocket).c_str());
  unlink((path_ / kLastError).c_str());
  if (error) std::ofstream(path_ / kLastError) << to_json(*error).dump(2) << '\n';
}

}  // namespace alcove::cli
