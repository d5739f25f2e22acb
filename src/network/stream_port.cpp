#include "network/stream_port.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "spec/internet.h"

namespace alcove::network {

using spec::internet::kEthernetSize;

namespace {

constexpr size_t kLength = 4;
constexpr size_t kLargestFrame = largest_frame(65535);
constexpr size_t kLargestSent = 65535;  // passt ends the connection at more.
constexpr size_t kBuffer = 4 * (kLength + kLargestFrame);

}  // namespace

StreamPort::StreamPort(UniqueFd socket, uint16_t mtu)
    : socket_(std::move(socket)), mtu_(mtu), buffer_(kBuffer) {}

FramePort::Outcome StreamPort::failed(int error) {
  if (error == ECONNRESET || error == EPIPE || error == ENOTCONN) return close("the other end is closed");
  return close(std::strerror(error));
}

FramePort::Outcome StreamPort::send(Bytes frame, size_t) {
  if (const Outcome flushed = flush(); flushed != Outcome::done) return flushed;
  if (frame.size() > kLargestSent) return Outcome::lost;
  std::array<std::byte, kLength> length{};
  store16(length, 0, static_cast<uint16_t>(frame.size() >> 16));
  store16(length, 2, static_cast<uint16_t>(frame.size() & 0xffff));
  std::array<iovec, 2> parts{iovec{length.data(), length.size()},
                             iovec{const_cast<std::byte*>(frame.data()), frame.size()}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  ssize_t sent;
  do {
    sent = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return errno == EAGAIN ? Outcome::full : failed(errno);
  const auto done = static_cast<size_t>(sent);
  if (done < kLength) unsent_.assign(length.begin() + sent, length.end());
  const Bytes rest = frame.subspan(done - std::min(done, kLength));
  unsent_.insert(unsent_.end(), rest.begin(), rest.end());
  return Outcome::done;
}

FramePort::Outcome StreamPort::flush() {
  while (!unsent_.empty()) {
    const ssize_t sent = ::send(socket_.get(), unsent_.data(), unsent_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN ? Outcome::full : failed(errno);
    unsent_.erase(unsent_.begin(), unsent_.begin() + sent);
  }
  return Outcome::done;
}

FramePort::Outcome StreamPort::receive(Bytes& frame) {
  while (true) {
    const Bytes got = Bytes(buffer_).subspan(begin_, end_ - begin_);
    if (got.size() >= kLength) {
      const size_t size = load32(got, 0);
      // Whoever says so is no peer to go on with: where the next frame begins is lost.
      if (size > kLargestFrame) return close("the other end sent a frame that is too long");
      if (got.size() - kLength >= size) {
        begin_ += kLength + size;
        frame = got.subspan(kLength, size);
        if (size < kEthernetSize || size > largest_frame(frame, mtu_)) return Outcome::lost;
        return Outcome::done;
      }
    }
    if (begin_ != 0) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    const ssize_t count = ::recv(socket_.get(), buffer_.data() + end_, buffer_.size() - end_, MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN ? Outcome::full : failed(errno);
    if (count == 0) return close("the other end is closed");
    end_ += static_cast<size_t>(count);
  }
}

}  // namespace alcove::network
