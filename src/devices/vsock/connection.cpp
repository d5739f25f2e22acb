#include "devices/vsock/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace alcove::devices::vsock {

namespace {

// Most that one read of the socket is to bring.
constexpr uint32_t kMostAtOnce = 128 * 1024;
// Pieces of a packet's payload that one write takes.
constexpr size_t kMostPieces = 64;

}  // namespace

void Connection::note(const Packet& packet) {
  guest_room_ = packet.buffer_size;
  guest_forwarded_ = packet.forwarded;
}

wire::Header Connection::header(uint64_t guest_cid, Operation operation) {
  wire::Header header = header_to(guest_cid, ports, operation);
  header.buffer_size = room_;
  header.forwarded = told_ = forwarded_;
  return header;
}

bool Connection::take(const virtio::Chain& chain, uint32_t size) {
  if (guest_shutdown_ & wire::kShutdownSend) return false;
  const size_t kept = kept_.size() - head_;
  if (size > room_ - kept) return false;
  uint32_t done = 0;
  // Straight from the guest's memory, as long as the socket takes it.
  while (done < size && kept == 0 && !is_deaf_) {
    std::array<iovec, kMostPieces> pieces;
    size_t count = 0;
    uint64_t skip = sizeof(wire::Header) + done, left = size - done;
    for (const virtio::Slice& slice : chain.readable()) {
      if (left == 0 || count == pieces.size()) break;
      if (skip >= slice.size) {
        skip -= slice.size;
        continue;
      }
      const uint64_t length = std::min<uint64_t>(slice.size - skip, left);
      pieces[count++] = {slice.host + skip, length};
      left -= length;
      skip = 0;
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    const ssize_t sent = ::sendmsg(socket.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN) is_deaf_ = true;
    if (sent <= 0) break;
    done += static_cast<uint32_t>(sent);
  }
  if (is_deaf_) done = size;
  forwarded_ += done;
  if (done == size) return true;
  if (head_ > 0 && head_ >= kept) {
    kept_.erase(kept_.begin(), kept_.begin() + static_cast<ptrdiff_t>(head_));
    head_ = 0;
  }
  const size_t end = kept_.size();
  kept_.resize(end + (size - done));
  chain.read(sizeof(wire::Header) + done, std::span(kept_).subspan(end));
  return true;
}

void Connection::flush() {
  while (has_kept()) {
    const ssize_t sent =
        ::send(socket.get(), &kept_[head_], kept_.size() - head_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) {
      is_deaf_ = true;
      return discard();
    }
    head_ += static_cast<size_t>(sent);
    forwarded_ += static_cast<uint32_t>(sent);
  }
  discard();
}

void Connection::discard() {
  forwarded_ += static_cast<uint32_t>(kept_.size() - head_);
  kept_ = {};
  head_ = 0;
  if (guest_shutdown_ & wire::kShutdownSend) shut_down_sending();
}

void Connection::shut_down_sending() {
  if (socket) ::shutdown(socket.get(), SHUT_WR);
}

void Connection::note_shutdown(uint32_t flags) {
  guest_shutdown_ |= flags & wire::kShutdownBoth;
  if (!socket) return;
  if (flags & wire::kShutdownReceive) ::shutdown(socket.get(), SHUT_RD);
  // After what is kept.
  if ((flags & wire::kShutdownSend) && !has_kept()) shut_down_sending();
}

uint32_t Connection::host_shutdown() const {
  if (state == State::closing) return wire::kShutdownBoth;
  return (host_ended_ ? wire::kShutdownSend : 0) | (is_deaf_ ? wire::kShutdownReceive : 0);
}

uint32_t Connection::credit() const {
  // A guest that claims to have forwarded more than it was sent gets nothing.
  const uint32_t under_way = sent_ - guest_forwarded_;
  return under_way < guest_room_ ? guest_room_ - under_way : 0;
}

Connection::Delivery Connection::deliver(Inbox& inbox, uint64_t guest_cid) {
  const uint32_t most = std::min(credit(), kMostAtOnce);
  // Whether the host has ended is found out without the guest's credit, too.
  if (most == 0) {
    std::byte next;
    const ssize_t there = ::recv(socket.get(), &next, 1, MSG_DONTWAIT | MSG_PEEK);
    if (there > 0) return Delivery::no_credit;
    if (there == 0) host_ended_ = true;
    if (there == 0) return Delivery::ended;
    return errno == EAGAIN ? Delivery::idle : errno == EINTR ? Delivery::more : Delivery::failed;
  }
  if (!inbox.has_room()) return Delivery::no_room;
  const std::vector<iovec>& room = inbox.room_for(most);
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(room.data());
  message.msg_iovlen = room.size();
  const ssize_t received = ::recvmsg(socket.get(), &message, MSG_DONTWAIT);
  if (received < 0)
    return errno == EAGAIN ? Delivery::idle : errno == EINTR ? Delivery::more : Delivery::failed;
  if (received == 0) {
    host_ended_ = true;
    return Delivery::ended;
  }
  inbox.send_payload(header(guest_cid, Operation::data), static_cast<uint32_t>(received));
  sent_ += static_cast<uint32_t>(received);
  return Delivery::more;
}

bool Connection::is_hung_up() const {
  pollfd descriptor{.fd = socket.get(), .events = 0, .revents = 0};
  return ::poll(&descriptor, 1, 0) > 0 && (descriptor.revents & (POLLHUP | POLLERR));
}

}  // namespace alcove::devices::vsock
