#pragma once

#include <vector>

#include "network/frame_port.h"
#include "support/unique_fd.h"

namespace alcove::network {

// A connected stream socket that carries frames as passt(1) does: four bytes of length in network byte order,
// then the frame.
class StreamPort final : public FramePort {
 public:
  StreamPort(UniqueFd socket, uint16_t mtu);

  int descriptor() const override { return socket_.get(); }
  uint16_t mtu() const override { return mtu_; }
  Outcome send(Bytes frame, size_t segment_size) override;
  Outcome receive(Bytes& frame) override;
  bool has_unsent() const override { return !unsent_.empty(); }
  Outcome flush() override;

 private:
  Outcome failed(int error);

  const UniqueFd socket_;
  const uint16_t mtu_;
  std::vector<std::byte> unsent_;  // The rest of a frame.
  std::vector<std::byte> buffer_;
  size_t begin_ = 0, end_ = 0;  // Of what was read and not yet given.
};

}  // namespace alcove::network
