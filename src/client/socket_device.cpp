#include "client/socket_device.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "client/socket_pair.h"
#include "control/messages.h"

namespace alcove {

VirtioSocketConnection& VirtioSocketConnection::operator=(VirtioSocketConnection&& other) noexcept {
  if (this == &other) return *this;
  close();
  file_descriptor_ = other.release();
  source_port_ = other.source_port_;
  destination_port_ = other.destination_port_;
  return *this;
}

void VirtioSocketConnection::close() {
  UniqueFd(release()).reset();
}

namespace client {

Result<std::pair<UniqueFd, UniqueFd>> connection_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail(ErrorCode::internal, "", fmt::format("can't create a socket: {}", std::strerror(errno)),
                "raise the limit of open files (ulimit -n)");
  }
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

void SocketDeviceProxy::connect(uint32_t port, std::chrono::milliseconds timeout, Connected completion) {
  auto pair = connection_pair();
  if (!pair) return requests_.refuse(std::move(completion), std::move(pair.error()));
  std::vector<UniqueFd> machine_end;
  machine_end.push_back(std::move(pair->second));
  requests_.request_for_device(
      {{"request", "connect_socket"},
       {"port", port},
       {"timeout", static_cast<uint64_t>(std::max<int64_t>(timeout.count(), 0))}},
      [port, own_end = std::move(pair->first),
       completion = std::move(completion)](Result<config::Json> reply) mutable {
        if (!reply) {
          Error error = std::move(reply.error());
          if (error.where.empty()) error.where = fmt::format("port {}", port);
          return completion(std::unexpected(std::move(error)));
        }
        const auto source = static_cast<uint32_t>(control::number_of(*reply, "port").value_or(0));
        completion(VirtioSocketConnection(own_end.release(), source, port));
      },
      std::move(machine_end));
}

void SocketDeviceProxy::set_socket_listener(std::shared_ptr<VirtioSocketListener> listener, uint32_t port) {
  std::shared_ptr<VirtioSocketListener> replaced = std::move(listener);  // Ends outside the lock.
  const std::lock_guard lock(mutex_);
  std::swap(listeners_[port], replaced);
}

void SocketDeviceProxy::remove_socket_listener(uint32_t port) {
  std::shared_ptr<VirtioSocketListener> removed;  // Ends outside the lock.
  const std::lock_guard lock(mutex_);
  auto node = listeners_.extract(port);
  if (node) removed = std::move(node.mapped());
}

void SocketDeviceProxy::decide(uint64_t connection, uint32_t source_port, uint32_t port) {
  std::shared_ptr<VirtioSocketListener> listener;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = listeners_.find(port); found != listeners_.end()) listener = found->second;
  }
  std::vector<UniqueFd> machine_end;
  auto pair =
      listener && listener->should_accept_new_connection ? std::optional(connection_pair()) : std::nullopt;
  if (pair && *pair) {
    VirtioSocketConnection offered((*pair)->first.release(), source_port, port);
    if (listener->should_accept_new_connection(offered, *this))
      machine_end.push_back(std::move((*pair)->second));
  }
  requests_.request_for_device(
      {{"request", "answer_socket"}, {"connection", connection}}, [](const Result<config::Json>&) {},
      std::move(machine_end));
}

}  // namespace client
}  // namespace alcove
