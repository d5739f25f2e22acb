#pragma once

#include <vector>

#include "network/frame_port.h"
#include "support/unique_fd.h"

namespace alcove::network {

// A connected socket that keeps messages apart: each is a frame.
class DatagramPort final : public FramePort {
 public:
  DatagramPort(UniqueFd socket, uint16_t mtu);

  int descriptor() const override { return socket_.get(); }
  uint16_t mtu() const override { return mtu_; }
  Outcome send(Bytes frame, size_t segment_size) override;
  Outcome receive(Bytes& frame) override;

 private:
  const UniqueFd socket_;
  const uint16_t mtu_;
  const bool ends_with_nothing_;  // A message of no bytes is the connection's end.
  std::vector<std::byte> buffer_;
};

}  // namespace alcove::network
