#include "client/clipboard.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "control/channel.h"

namespace alcove::client {

ClipboardProxy::ClipboardProxy(exec::EventLoop& loop, ClipboardSharing sharing, std::function<void()> changed)
    : loop_(loop),
      changed_(std::move(changed)),
      agent_(sharing,
             [this](const ClipboardContents& contents) {
               {
                 const std::lock_guard lock(mutex_);
                 contents_ = contents;
               }
               changed_();
             }),
      sharing_(sharing) {}

bool ClipboardProxy::is_connected() const {
  const std::lock_guard lock(mutex_);
  return connected_;
}

ClipboardContents ClipboardProxy::contents() const {
  const std::lock_guard lock(mutex_);
  return contents_;
}

ClipboardSharing ClipboardProxy::sharing() const {
  const std::lock_guard lock(mutex_);
  return sharing_;
}

Result<> ClipboardProxy::set_contents(ClipboardContents contents) {
  if (contents.size() > maximum_size())
    return fail(ErrorCode::virtual_machine_limit_exceeded, "contents",
                fmt::format("there are {} bytes", contents.size()),
                fmt::format("a clipboard takes {} at most", maximum_size()));
  loop_.post([this, contents = std::move(contents)]() mutable {
    agent_.offer(std::move(contents));
    write_some();
  });
  return {};
}

void ClipboardProxy::set_sharing(ClipboardSharing sharing) {
  {
    const std::lock_guard lock(mutex_);
    sharing_ = sharing;
  }
  loop_.post([this, sharing] {
    agent_.share(sharing);
    write_some();
  });
}

void ClipboardProxy::arrange(std::vector<DisplaySize> displays) {
  loop_.post([this, displays = std::move(displays)]() mutable {
    agent_.arrange(std::move(displays));
    write_some();
  });
}

Result<UniqueFd> ClipboardProxy::connect() {
  disconnect();
  auto pair = control::socket_pair();
  if (!pair) {
    pair.error().where = "console_devices";
    return std::unexpected(std::move(pair.error()));
  }
  socket_ = std::move(pair->first);
  agent_.open();
  loop_.watch(socket_.get(), EPOLLIN, [this](uint32_t events) { ready(events); });
  write_some();
  return std::move(pair->second);
}

void ClipboardProxy::disconnect() {
  if (socket_) loop_.unwatch(socket_.get());
  socket_.reset();
  agent_.close();
  note_connection();
}

void ClipboardProxy::reset() {
  disconnect();
  agent_.arrange({});
}

void ClipboardProxy::note_connection() {
  const std::lock_guard lock(mutex_);
  connected_ = agent_.is_connected();
}

void ClipboardProxy::ready(uint32_t events) {
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_some();
  write_some();
}

void ClipboardProxy::read_some() {
  std::array<std::byte, 65536> buffer;
  const ssize_t size = ::read(socket_.get(), buffer.data(), buffer.size());
  if (size > 0) {
    agent_.receive(std::span(buffer).first(static_cast<size_t>(size)));
    note_connection();
  } else if (size == 0 || errno != EAGAIN) {
    disconnect();
  }
}

void ClipboardProxy::write_some() {
  if (!socket_) return;
  while (!agent_.pending().empty()) {
    const auto pending = agent_.pending();
    const ssize_t size = ::send(socket_.get(), pending.data(), pending.size(), MSG_NOSIGNAL);
    if (size < 0) break;
    agent_.consume(static_cast<size_t>(size));
  }
  loop_.change(socket_.get(), agent_.pending().empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

}  // namespace alcove::client
