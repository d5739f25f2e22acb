#include "client/shared_networks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "client/background_process.h"
#include "control/messages.h"
#include "control/network_messages.h"
#include "support/unix_address.h"

namespace alcove {
namespace client {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{5};
constexpr std::chrono::milliseconds kAgain{10};
constexpr std::chrono::milliseconds kTimeToLeave{500};

std::unexpected<Error> failed(std::string what, int error) {
  return fail(ErrorCode::network_error, "", fmt::format("{}: {}", what, std::strerror(error)));
}

UniqueFd new_socket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
}

// None where nobody listens.
UniqueFd connect_to(const fs::path& path) {
  const auto address = UnixAddress::of(path);
  UniqueFd socket = new_socket();
  if (!address || !socket || !address->connect(socket.get())) return {};
  return socket;
}

// The answer, which stays in the socket; nothing if the other end went away.
std::optional<std::string> ask(int socket, const control::Json& request, bool keep) {
  const std::string text = config::print_json(request);
  if (::send(socket, text.data(), text.size(), MSG_NOSIGNAL) < 0) return {};
  pollfd wait{.fd = socket, .events = POLLIN, .revents = 0};
  int ready;
  do {
    ready = ::poll(&wait, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count()));
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) return {};
  std::string answer(control::kLargestNetworkMessage, 0);
  const ssize_t size = ::recv(socket, answer.data(), answer.size(), keep ? MSG_PEEK : 0);
  if (size <= 0) return {};
  answer.resize(static_cast<size_t>(size));
  return answer;
}

// With the network's lock, which says that it has no process.
Result<> start_process(const std::string& name, const fs::path& path, UniqueFd lock,
                       const fs::path& program) {
  const auto address = UnixAddress::of(path);
  if (!address) return failed(path.string(), ENAMETOOLONG);
  UniqueFd listener = new_socket();
  ::unlink(path.c_str());
  constexpr int kBacklog = 64;
  if (!listener || !address->bind(listener.get()) || ::listen(listener.get(), kBacklog) != 0) {
    return failed(fmt::format("can't listen on {}", path.string()), errno);
  }
  std::vector<UniqueFd> passed;
  passed.push_back(std::move(listener));
  passed.push_back(std::move(lock));
  return start_in_background(program, {program.filename(), "--network=" + name}, std::move(passed));
}

struct Place {
  fs::path socket, lock;
};
Place place_of(const fs::path& folder, const std::string& name) {
  return {.socket = folder / (name + ".sock"), .lock = folder / (name + ".lock")};
}

// A connection to the network's process, which is started if there is none.
Result<UniqueFd> reach(const std::string& name, const fs::path& program) {
  const auto folder = shared_networks_folder();
  if (!folder) return std::unexpected(folder.error());
  const Place place = place_of(*folder, name);
  const auto deadline = Clock::now() + kPatience;
  while (true) {
    if (UniqueFd socket = connect_to(place.socket)) return socket;
    UniqueFd lock(::open(place.lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock) return failed(fmt::format("can't open {}", place.lock.string()), errno);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) {
      // Somebody may have started it, and it may have ended, in between: there is no process now.
      if (auto started = start_process(name, place.socket, std::move(lock), program); !started)
        return std::unexpected(std::move(started.error()));
    } else {
      // It is being started, or is about to end.
      std::this_thread::sleep_for(kAgain);
    }
    if (Clock::now() > deadline)
      return fail(ErrorCode::network_error, "", fmt::format("the network {} does not answer", name),
                  fmt::format("the process that holds {} hangs", place.lock.string()));
  }
}

std::string located(const std::string& where, const std::string& field) {
  constexpr std::string_view kAttachment = "attachment.";
  if (field.starts_with(kAttachment)) return where + "." + field.substr(kAttachment.size());
  return where;
}

}  // namespace

Result<fs::path> shared_networks_folder(Folder wish) {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  std::error_code error;
  fs::path folder = fmt::format("/run/user/{}", ::geteuid());
  if (runtime && *runtime == '/') {
    folder = fs::path(runtime) / "alcove";
  } else {
    folder = fs::is_directory(folder, error) ? folder / "alcove"
                                             : fs::path(fmt::format("/tmp/alcove-{}", ::geteuid()));
  }
  for (const fs::path& made : {folder, folder / "networks"}) {
    if (wish == Folder::made && ::mkdir(made.c_str(), 0700) != 0 && errno != EEXIST)
      return failed(fmt::format("can't make the folder {}", made.string()), errno);
    struct stat status{};
    // In /tmp anybody could have made it.
    if (::lstat(made.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) || status.st_uid != ::geteuid() ||
        (status.st_mode & 022) != 0) {
      return fail(ErrorCode::network_error, "",
                  fmt::format("{} is not a folder of this user's alone", made.string()),
                  "set XDG_RUNTIME_DIR to one that is");
    }
  }
  return folder / "networks";
}

Result<UniqueFd> join_shared_network(const SharedNetworkDeviceAttachment& attachment, MACAddress mac_address,
                                     const fs::path& machine_program, const std::string& where) {
  const control::Json request =
      control::to_json(control::JoinRequest{.network = attachment.network_name,
                                            .mac_address = mac_address,
                                            .host_name = attachment.host_name,
                                            .reaches_peers = attachment.reaches_peers,
                                            .wishes = attachment.network});
  const auto begin = Clock::now(), deadline = begin + kPatience;
  while (true) {
    auto socket = reach(attachment.network_name, machine_program);
    if (!socket) {
      socket.error().where = where;
      return socket;
    }
    const auto answer = ask(socket->get(), request, true);
    // A process that was about to end as we came is followed by another.
    if (!answer && Clock::now() < deadline) {
      std::this_thread::sleep_for(kAgain);
      continue;
    }
    if (!answer)
      return fail(ErrorCode::network_error, where,
                  fmt::format("the network {} does not answer", attachment.network_name));
    if (auto addresses = control::addresses_from_text(*answer); !addresses) {
      // The machine may just have been stopped, and not have left yet.
      if (addresses.error().where == "mac_address" && Clock::now() < begin + kTimeToLeave) {
        std::this_thread::sleep_for(kAgain);
        continue;
      }
      addresses.error().where = located(where, addresses.error().where);
      return std::unexpected(std::move(addresses.error()));
    }
    return socket;
  }
}

}  // namespace client

std::vector<SharedNetwork> SharedNetwork::list() {
  std::vector<SharedNetwork> networks;
  const auto folder = client::shared_networks_folder(client::Folder::as_it_is);
  std::error_code error;
  if (!folder) return networks;
  for (const auto& entry : std::filesystem::directory_iterator(*folder, error)) {
    if (entry.path().extension() != ".sock") continue;
    const UniqueFd socket = client::connect_to(entry.path());
    const auto answer =
        socket ? client::ask(socket.get(), {{"request", "list"}}, false) : std::optional<std::string>();
    const auto tree = answer ? config::parse_json(*answer, "") : Result<config::Json>(config::Json());
    if (!tree || !tree->is_object()) continue;
    networks.push_back(control::shared_network_from_json(*tree));
    networks.back().name = entry.path().stem();
  }
  std::ranges::sort(networks, {}, &SharedNetwork::name);
  return networks;
}

}  // namespace alcove
