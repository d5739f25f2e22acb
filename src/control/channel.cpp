#include "control/channel.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace alcove::control {
namespace {

// The kernel takes at most 253 descriptors in one call (SCM_MAX_FD, unix(7)).
constexpr size_t kDescriptorsPerCall = 128;
constexpr size_t kReadSize = 64 * 1024;

union ControlBuffer {
  cmsghdr header;
  std::array<char, CMSG_SPACE(kDescriptorsPerCall * sizeof(int))> bytes;
};

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return fail(ErrorCode::internal, "", fmt::format("can't create a socket: {}", std::strerror(errno)));
  }
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

Channel::Channel(exec::EventLoop& loop, UniqueFd socket, OnMessage on_message, OnClosed on_closed)
    : loop_(loop),
      socket_(std::move(socket)),
      on_message_(std::move(on_message)),
      on_closed_(std::move(on_closed)) {
  loop_.watch(socket_.get(), EPOLLIN, [this](uint32_t events) { ready(events); });
}

Channel::~Channel() {
  *alive_ = false;
  if (socket_) loop_.unwatch(socket_.get());
}

void Channel::send(Json message, std::vector<UniqueFd> descriptors) {
  if (!socket_) return;
  if (!descriptors.empty()) message["descriptor_count"] = descriptors.size();
  outgoing_.push_back({frame(config::print_json(message)), std::move(descriptors)});
  backlog_ += outgoing_.back().bytes.size();
  if (!watching_output_) ready(0);
}

void Channel::ready(uint32_t events) {
  const auto alive = alive_;
  while (!outgoing_.empty() && write_some()) {
  }
  const bool waiting = !outgoing_.empty();
  if (socket_ && waiting != watching_output_) {
    watching_output_ = waiting;
    watch();
    if (!waiting && on_drained_) on_drained_();
    if (!*alive) return;
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || !socket_) return;
  // epoll tells of it again and again, and what is left is no more than a socket holds.
  if ((events & (EPOLLHUP | EPOLLERR)) != 0 && !std::exchange(hung_up_, true)) {
    reading_ = true;
    watch();
  }
  deliver();  // What came before reading was stopped.
  if (!*alive || !socket_ || !reading_ || !read_some()) return;
  deliver();
}

void Channel::watch() {
  loop_.change(socket_.get(), (reading_ ? EPOLLIN : 0) | (watching_output_ ? EPOLLOUT : 0));
}

void Channel::set_reading(bool reading) {
  if (!socket_ || hung_up_ || reading == reading_) return;
  reading_ = reading;
  watch();
  if (!reading) return;
  loop_.post([this, alive = alive_] {
    if (*alive) deliver();
  });
}

// Tells whether to try again at once. An error of the socket is left for reading, which finds out the same.
bool Channel::write_some() {
  Outgoing& next = outgoing_.front();
  const size_t count = std::min(next.descriptors.size(), kDescriptorsPerCall);
  // While descriptors are left over, one byte goes with each group of them.
  iovec data{next.bytes.data(), count < next.descriptors.size() ? 1 : next.bytes.size()};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  ControlBuffer control{};
  if (count != 0) {
    header.msg_control = control.bytes.data();
    header.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(count * sizeof(int));
    std::array<int, kDescriptorsPerCall> numbers{};
    for (size_t index = 0; index < count; ++index) numbers[index] = next.descriptors[index].get();
    std::memcpy(CMSG_DATA(rights), numbers.data(), count * sizeof(int));
  }
  const ssize_t sent = ::sendmsg(socket_.get(), &header, MSG_NOSIGNAL);
  if (sent < 0) return errno == EINTR;
  next.descriptors.erase(next.descriptors.begin(), next.descriptors.begin() + static_cast<ptrdiff_t>(count));
  next.bytes.erase(0, static_cast<size_t>(sent));
  backlog_ -= static_cast<size_t>(sent);
  if (next.bytes.empty()) outgoing_.pop_front();
  return true;
}

bool Channel::read_some() {
  std::array<std::byte, kReadSize> buffer;
  iovec data{buffer.data(), buffer.size()};
  ControlBuffer control{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes.data();
  header.msg_controllen = control.bytes.size();
  const ssize_t count = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
  if (count < 0) {
    if (errno != EAGAIN && errno != EINTR)
      close(fmt::format("the connection broke: {}", std::strerror(errno)));
    return false;
  }
  for (cmsghdr* rights = CMSG_FIRSTHDR(&header); rights != nullptr; rights = CMSG_NXTHDR(&header, rights)) {
    if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS) continue;
    std::array<int, kDescriptorsPerCall> numbers{};
    const size_t size = std::min<size_t>(rights->cmsg_len - CMSG_LEN(0), sizeof(numbers));
    std::memcpy(numbers.data(), CMSG_DATA(rights), size);
    for (size_t index = 0; index < size / sizeof(int); ++index) received_.emplace_back(numbers[index]);
  }
  if ((header.msg_flags & MSG_CTRUNC) != 0 || received_.size() > kMostDescriptors) {
    close("too many file descriptors");
    return false;
  }
  if (count == 0) {
    close("the other side closed the connection");
    return false;
  }
  reader_.add(std::span(buffer).first(static_cast<size_t>(count)));
  return true;
}

void Channel::deliver() {
  const auto alive = alive_;
  while (*alive && socket_ && reading_) {
    auto text = reader_.next();
    if (!text) return close(text.error().what);
    if (!*text) return;
    auto message = config::parse_json(**text, "message");
    if (!message || !message->is_object()) return close("a message that is no JSON object");
    size_t count = 0;
    if (const auto member = message->find("descriptor_count"); member != message->end()) {
      if (!member->is_number_unsigned()) return close("a message with a wrong descriptor_count");
      count = member->get<size_t>();
    }
    if (count > received_.size()) return close("a message without its file descriptors");
    std::vector<UniqueFd> descriptors;
    for (size_t index = 0; index < count; ++index) {
      descriptors.push_back(std::move(received_.front()));
      received_.pop_front();
    }
    on_message_(*std::move(message), std::move(descriptors));
  }
}

void Channel::flush(exec::Clock::time_point deadline) {
  while (socket_ && !outgoing_.empty()) {
    if (write_some()) continue;
    if (errno != EAGAIN) return;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - exec::Clock::now());
    if (left.count() <= 0) return;
    pollfd poll_descriptor{.fd = socket_.get(), .events = POLLOUT, .revents = 0};
    ::poll(&poll_descriptor, 1, static_cast<int>(left.count()));
  }
}

void Channel::close(std::string why) {
  if (!socket_) return;
  loop_.unwatch(socket_.get());
  socket_.reset();
  outgoing_.clear();
  received_.clear();
  backlog_ = 0;
  on_closed_(Error{ErrorCode::internal, "", std::move(why), ""});
}

}  // namespace alcove::control
