#include "view/window/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

namespace alcove::view::window {

Result<std::unique_ptr<Connection>> Connection::create(UniqueFd socket) {
  std::unique_ptr<Connection> connection(new Connection(std::move(socket)));
  connection->say(Word::hello);
  auto reader = DisplayReader::borrow(connection->descriptor());
  if (!reader) return std::unexpected(std::move(reader.error()));
  connection->reader_ = *std::move(reader);
  pollfd wait{.fd = connection->descriptor(), .events = POLLIN, .revents = 0};
  while (connection->situation_ == Situation{}) {
    if ((::poll(&wait, 1, -1) < 0 && errno != EINTR) || !connection->receive())
      return fail(ErrorCode::internal, "", "the process that has the machine is gone");
  }
  return connection;
}

bool Connection::flush() {
  while (!sending_.empty()) {
    const ssize_t count =
        ::send(socket_.get(), sending_.data(), sending_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    sending_.erase(0, static_cast<size_t>(count));
  }
  return true;
}

// Never waits: a process that is stopped, perhaps in a debugger, takes nothing. What is lost then may have
// been a release.
void Connection::say(const Message& message) {
  if (!flush()) {
    lost_some_ = true;
    return;
  }
  if (std::exchange(lost_some_, false)) sending_ += to_line(Word::release);
  sending_ += to_line(message);
  flush();
}

// Waits a little for the other side to read: this may be much, and does not come often.
void Connection::set_clipboard(ClipboardContents contents) {
  constexpr int kPatience = 2000;  // Milliseconds without any of it read.
  if (!flush()) return;
  sending_ += to_bytes(contents);
  pollfd room{.fd = socket_.get(), .events = POLLOUT, .revents = 0};
  while (!flush() && ::poll(&room, 1, kPatience) == 1 && !(room.revents & (POLLERR | POLLHUP))) {
  }
}

bool Connection::receive() {
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return true;
    if (count <= 0) return false;
    incoming_.feed({buffer.data(), static_cast<size_t>(count)});
    while (const auto item = incoming_.next()) {
      if (const auto* contents = std::get_if<ClipboardContents>(&*item)) {
        clipboard_ = *contents;
        ++clipboard_changes_;
        continue;
      }
      auto situation = situation_from_line(std::get<std::string>(*item));
      if (!situation) return false;
      situation_ = *std::move(situation);
    }
    if (incoming_.failed()) return false;
  }
}

}  // namespace alcove::view::window
