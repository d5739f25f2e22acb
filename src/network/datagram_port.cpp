#include "network/datagram_port.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "spec/internet.h"

namespace alcove::network {

using spec::internet::kEthernetSize;

namespace {

bool is_connection(int socket) {
  int type = 0;
  socklen_t size = sizeof type;
  return getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

}  // namespace

DatagramPort::DatagramPort(UniqueFd socket, uint16_t mtu)
    : socket_(std::move(socket)),
      mtu_(mtu),
      ends_with_nothing_(is_connection(socket_.get())),
      buffer_(largest_frame(mtu)) {}

FramePort::Outcome DatagramPort::send(Bytes frame, size_t) {
  if (frame.size() > largest_frame(frame, mtu_)) return Outcome::lost;
  while (::send(socket_.get(), frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    switch (errno) {
      case EINTR:
        continue;
      case EAGAIN:
        return Outcome::full;
      case EMSGSIZE:  // Longer than its send buffer.
      case ENOBUFS:
      case ENOMEM:
        return Outcome::lost;
      case ECONNREFUSED:
      case ECONNRESET:
      case ENOTCONN:
      case EPIPE:
        return close("the other end is closed");
      default:
        return close(std::strerror(errno));
    }
  }
  return Outcome::done;
}

FramePort::Outcome DatagramPort::receive(Bytes& frame) {
  ssize_t size;
  do {
    size = ::recv(socket_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT | MSG_TRUNC);
  } while (size < 0 && errno == EINTR);
  if (size < 0 && errno == EAGAIN) return Outcome::full;
  if (size < 0 && (errno == ECONNRESET || errno == ECONNREFUSED)) return close("the other end is closed");
  if (size < 0) return close(std::strerror(errno));
  if (size == 0 && ends_with_nothing_) return close("the other end is closed");
  const auto length = static_cast<size_t>(size);
  if (length < kEthernetSize || length > buffer_.size()) return Outcome::lost;
  frame = Bytes(buffer_).first(length);
  if (length > largest_frame(frame, mtu_)) return Outcome::lost;
  return Outcome::done;
}

}  // namespace alcove::network
