#include "client/socket_bridges.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "control/messages.h"
#include "support/unix_address.h"

namespace alcove::client {
namespace {

constexpr uint64_t kTimeout = 10000;  // Milliseconds for the guest to answer.
// Connections that one turn takes.
constexpr unsigned kTurn = 64;

// Never waits. On failure errno tells why.
UniqueFd connect_to(const UnixAddress& address) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket && !address.connect(socket.get())) {
    const int error = errno;
    socket.reset();
    errno = error;
  }
  return socket;
}

}  // namespace

Result<std::unique_ptr<SocketBridges>> SocketBridges::create(const VirtualMachineConfiguration& configuration,
                                                             exec::EventLoop& loop) {
  std::unique_ptr<SocketBridges> bridges(new SocketBridges(loop));
  for (size_t device = 0; device < configuration.socket_devices.size(); ++device) {
    const auto& all = std::get<VirtioSocketDeviceConfiguration>(configuration.socket_devices[device]).bridges;
    for (size_t index = 0; index < all.size(); ++index) {
      if (all[index].direction == SocketBridgeDirection::to_host) {
        bridges->to_host_.push_back(all[index]);
        continue;
      }
      const auto where = fmt::format("socket_devices[{}].bridges[{}].path", device, index);
      if (auto made = bridges->listen(all[index], where); !made)
        return std::unexpected(std::move(made.error()));
    }
  }
  return bridges;
}

SocketBridges::~SocketBridges() {
  if (retry_) loop_.cancel(*retry_);
  for (const Listening& listening : listening_) {
    loop_.unwatch(listening.socket.get());
    struct stat status{};
    if (::stat(listening.path.c_str(), &status) == 0 && status.st_dev == listening.device &&
        status.st_ino == listening.inode)
      ::unlink(listening.path.c_str());
  }
}

Result<> SocketBridges::listen(const UNIXSocketBridge& bridge, const std::string& where) {
  const auto address = UnixAddress::of(bridge.path);
  if (!address)
    return fail(ErrorCode::invalid_virtual_machine_configuration, where, "is no path of a socket");
  const auto refused = [&](std::string_view what, std::string hint) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, where,
                fmt::format("{} {}", bridge.path.string(), what), std::move(hint));
  };
  Listening made{.socket = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
                 .path = bridge.path,
                 .port = bridge.port};
  // The mode of what bind() makes, whatever the process's umask is.
  ::fchmod(made.socket.get(), 0600);
  bool bound = address->bind(made.socket.get());
  if (!bound && errno == EADDRINUSE) {
    struct stat status{};
    if (::lstat(bridge.path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode))
      return refused("exists and is no socket", "name a socket that is to be made");
    // One that outlived its program refuses; a program that is busy would let us wait.
    if (connect_to(*address) || errno != ECONNREFUSED)
      return refused("is in use by another program", "choose another path");
    ::unlink(bridge.path.c_str());
    bound = address->bind(made.socket.get());
  }
  struct stat status{};
  if (!bound || ::listen(made.socket.get(), SOMAXCONN) != 0 || ::stat(bridge.path.c_str(), &status) != 0)
    return refused(fmt::format("can't be made: {}", std::strerror(errno)), "");
  made.device = status.st_dev;
  made.inode = status.st_ino;
  listening_.push_back(std::move(made));
  return {};
}

void SocketBridges::start(Send send) {
  send_ = std::move(send);
  for (Listening& listening : listening_) watch(listening);
}

void SocketBridges::watch(Listening& listening) {
  loop_.watch(listening.socket.get(), EPOLLIN, [this, &listening](uint32_t) { accept(listening); });
}

void SocketBridges::accept(Listening& listening) {
  for (unsigned taken = 0; taken < kTurn; ++taken) {
    UniqueFd socket(::accept4(listening.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (socket) {
      std::vector<UniqueFd> descriptors;
      descriptors.push_back(std::move(socket));
      send_({{"request", "connect_socket"}, {"port", listening.port}, {"timeout", kTimeout}},
            std::move(descriptors));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // Whoever connects waits until there are descriptors again.
      for (const Listening& all : listening_) loop_.unwatch(all.socket.get());
      if (retry_) return;
      retry_ = loop_.call_at(exec::Clock::now() + std::chrono::milliseconds(200), [this] {
        retry_.reset();
        for (Listening& all : listening_) watch(all);
      });
      return;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

bool SocketBridges::take(const config::Json& message) {
  if (control::text_of(message, "event") != "socket_request") return false;
  const auto port = control::number_of(message, "port");
  const auto bridge = std::ranges::find_if(to_host_, [&](const auto& each) { return each.port == port; });
  if (bridge == to_host_.end()) return false;
  std::vector<UniqueFd> descriptors;
  if (const auto address = UnixAddress::of(bridge->path)) {
    if (UniqueFd socket = connect_to(*address)) descriptors.push_back(std::move(socket));
  }
  send_({{"request", "answer_socket"}, {"connection", control::number_of(message, "connection").value_or(0)}},
        std::move(descriptors));
  return true;
}

}  // namespace alcove::client
