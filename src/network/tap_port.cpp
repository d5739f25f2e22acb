#include "network/tap_port.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "network/segmenter.h"
#include "spec/internet.h"
#include "spec/virtio_net.h"

namespace alcove::network {

namespace wire = spec::internet;
using wire::kEthernetSize;

namespace {

// What is before each frame, with the header that has no number of buffers (virtio 1.2, section 5.1.6).
constexpr int kShortHeader = sizeof(spec::virtio_net::Header) - sizeof(uint16_t);

uint16_t mtu_of(const char* interface) {
  constexpr int kUsual = 1500, kLeast = 68, kMost = 65535;
  const UniqueFd control(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::string_view(interface).copy(request.ifr_name, IFNAMSIZ - 1);
  // Not of an interface in another network namespace.
  if (::ioctl(control.get(), SIOCGIFMTU, &request) != 0) return kUsual;
  return static_cast<uint16_t>(std::clamp(request.ifr_mtu, kLeast, kMost));
}

}  // namespace

TapPort::TapPort(UniqueFd tap, uint16_t mtu, size_t header_size)
    : tap_(std::move(tap)),
      mtu_(mtu),
      header_size_(header_size),
      buffer_(header_size + largest_frame(mtu) + 1) {}

Result<std::unique_ptr<TapPort>> TapPort::create(UniqueFd tap, const std::string& where) {
  const auto failed = [&](std::string_view doing) {
    return fail(ErrorCode::network_error, where, fmt::format("can't {}: {}", doing, std::strerror(errno)));
  };
  ifreq interface{};
  if (::ioctl(tap.get(), TUNGETIFF, &interface) != 0) return failed("use it as a tap interface");
  if (!(interface.ifr_flags & IFF_TAP) || !(interface.ifr_flags & IFF_NO_PI))
    return fail(ErrorCode::network_error, where, "is not open as a tap interface without packet information",
                "open /dev/net/tun with IFF_TAP | IFF_NO_PI");
  const int status = ::fcntl(tap.get(), F_GETFL);
  if (status < 0 || ::fcntl(tap.get(), F_SETFL, status | O_NONBLOCK) != 0) return failed("change its flags");
  size_t header_size = 0;
  if (interface.ifr_flags & IFF_VNET_HDR) {
    int size = kShortHeader;
    // Frames for the guest come whole and with their checksums.
    if (::ioctl(tap.get(), TUNSETVNETHDRSZ, &size) != 0 || ::ioctl(tap.get(), TUNSETOFFLOAD, 0) != 0)
      return failed("choose its header");
    header_size = kShortHeader;
  }
  return std::unique_ptr<TapPort>(new TapPort(std::move(tap), mtu_of(interface.ifr_name), header_size));
}

FramePort::Outcome TapPort::send(Bytes frame, size_t segment_size) {
  spec::virtio_net::Header header{};
  std::array<std::byte, kMostTcpHeaders> changed;
  Bytes head;
  const bool is_large = frame.size() > largest_frame(frame, mtu_);
  const auto headers =
      header_size_ != 0 && (is_large || segment_size != 0) ? tcp_headers(frame) : std::nullopt;
  if (is_large && !headers) return Outcome::lost;
  if (headers) {
    // The kernel sums up each segment, from what the field holds: the pseudo-header's sum.
    const size_t tcp = headers->tcp();
    std::ranges::copy(frame.first(headers->total()), changed.begin());
    store16(changed, tcp + wire::kTcpChecksum,
            tcp_pseudo_sum(frame.subspan(headers->ip), frame.size() - tcp));
    header = {.flags = spec::virtio_net::kNeedsChecksum,
              .segment_type = spec::virtio_net::kSegmentTcp4,
              .header_length = static_cast<uint16_t>(headers->total()),
              .segment_size = static_cast<uint16_t>(usable_segment_size(*headers, segment_size, mtu_)),
              .checksum_start = static_cast<uint16_t>(tcp),
              .checksum_offset = wire::kTcpChecksum};
    head = Bytes(changed).first(headers->total());
    frame = frame.subspan(head.size());
  }
  const auto part = [](Bytes bytes) { return iovec{const_cast<std::byte*>(bytes.data()), bytes.size()}; };
  const std::array<iovec, 3> parts{part(std::as_bytes(std::span(&header, 1)).first(header_size_)), part(head),
                                   part(frame)};
  while (::writev(tap_.get(), parts.data(), parts.size()) < 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return Outcome::full;
    if (errno == EBADFD || errno == ENODEV) return close("the interface is gone");
    return Outcome::lost;  // It is down, or takes no such frame.
  }
  return Outcome::done;
}

FramePort::Outcome TapPort::receive(Bytes& frame) {
  ssize_t size;
  do {
    size = ::read(tap_.get(), buffer_.data(), buffer_.size());
  } while (size < 0 && errno == EINTR);
  if (size < 0 && errno == EAGAIN) return Outcome::full;
  if (size < 0 && (errno == EBADFD || errno == ENODEV || errno == EIO)) return close("the interface is gone");
  if (size < 0) return close(std::strerror(errno));
  if (static_cast<size_t>(size) < header_size_ + kEthernetSize) return Outcome::lost;
  frame = Bytes(buffer_).first(static_cast<size_t>(size)).subspan(header_size_);
  if (frame.size() > largest_frame(frame, mtu_)) return Outcome::lost;  // Maybe cut to the buffer, too.
  return Outcome::done;
}

FramePort::Outcome TapPort::check() {
  ifreq interface{};
  return ::ioctl(tap_.get(), TUNGETIFF, &interface) == 0 ? Outcome::done : close("the interface is gone");
}

}  // namespace alcove::network
