#include "client/borrowed_reader.h"

#include <alcove/graphics.h>
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "display/frame_memory.h"
#include "support/unique_fd.h"

namespace alcove {
namespace {

using Descriptors = std::array<int, 2>;  // Of the frames, and of the event that tells of new ones.

// One byte, with room for descriptors.
struct Parcel {
  Parcel() = default;
  Parcel(const Parcel&) = delete;
  Parcel& operator=(const Parcel&) = delete;

  char byte = 0;
  iovec data{.iov_base = &byte, .iov_len = 1};
  msghdr message{.msg_name = nullptr,
                 .msg_namelen = 0,
                 .msg_iov = &data,
                 .msg_iovlen = 1,
                 .msg_control = &ancillary,
                 .msg_controllen = sizeof ancillary.bytes,
                 .msg_flags = 0};
  union Ancillary {
    cmsghdr header;
    std::array<char, CMSG_SPACE(sizeof(Descriptors))> bytes;
  } ancillary{};
};

Result<std::array<UniqueFd, 2>> receive_descriptors(int socket) {
  Parcel parcel;
  ssize_t count = -1;
  do {
    count = ::recvmsg(socket, &parcel.message, MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  if (count < 0)
    return fail(ErrorCode::internal, "", fmt::format("can't borrow a display: {}", std::strerror(errno)));
  std::array<UniqueFd, 2> received;
  const cmsghdr* const header = CMSG_FIRSTHDR(&parcel.message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
    return fail(ErrorCode::internal, "", "what was to lend a display ended");
  const size_t number = std::min((header->cmsg_len - CMSG_LEN(0)) / sizeof(int), received.size());
  Descriptors descriptors{-1, -1};
  std::memcpy(descriptors.data(), CMSG_DATA(header), number * sizeof(int));
  for (size_t i = 0; i < received.size(); ++i) received[i].reset(descriptors[i]);
  if (!received.back()) return fail(ErrorCode::internal, "", "a display was lent with too few descriptors");
  return received;
}

class BorrowedReader final : public DisplayReader {
 public:
  BorrowedReader(display::FrameMemory memory, UniqueFd event)
      : memory_(std::move(memory)), event_(std::move(event)) {}
  int descriptor() const override { return event_.get(); }
  std::vector<DisplayRectangle> read(DisplayFrame& frame) override {
    eventfd_t count = 0;
    eventfd_read(event_.get(), &count);
    return memory_.read(frame, position_);
  }
  DisplayCursor cursor(uint64_t known_shape) override { return memory_.read_cursor(known_shape); }
  Result<> lend(int socket) const override {
    return client::lend_display(socket, memory_.descriptor(), event_.get());
  }

 private:
  const display::FrameMemory memory_;
  const UniqueFd event_;
  display::FrameMemory::Position position_;
};

}  // namespace

Result<> client::lend_display(int socket, int frames, int event) {
  const Descriptors descriptors{frames, event};
  Parcel parcel;
  cmsghdr& header = parcel.ancillary.header;
  header.cmsg_level = SOL_SOCKET;
  header.cmsg_type = SCM_RIGHTS;
  header.cmsg_len = CMSG_LEN(sizeof descriptors);
  std::memcpy(CMSG_DATA(&header), descriptors.data(), sizeof descriptors);
  ssize_t sent = -1;
  do {
    sent = ::sendmsg(socket, &parcel.message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent == 1) return {};
  return fail(ErrorCode::internal, "", fmt::format("can't lend a display: {}", std::strerror(errno)));
}

Result<std::unique_ptr<DisplayReader>> DisplayReader::borrow(int socket) {
  auto descriptors = receive_descriptors(socket);
  if (!descriptors) return std::unexpected(std::move(descriptors.error()));
  auto& [frames, event] = *descriptors;
  auto memory = display::FrameMemory::open_read_only(std::move(frames));
  if (!memory) return std::unexpected(std::move(memory.error()));
  eventfd_write(event.get(), 1);  // All is new to this one.
  return std::make_unique<BorrowedReader>(*std::move(memory), std::move(event));
}

}  // namespace alcove
