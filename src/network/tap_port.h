#pragma once

#include <alcove/error.h>

#include <memory>
#include <vector>

#include "network/frame_port.h"
#include "support/unique_fd.h"

namespace alcove::network {

// A tap interface, or a macvtap. Where it has a virtio header before each frame, the kernel cuts large
// segments.
class TapPort final : public FramePort {
 public:
  // `where` of an error is the descriptor's field.
  static Result<std::unique_ptr<TapPort>> create(UniqueFd tap, const std::string& where);

  int descriptor() const override { return tap_.get(); }
  uint16_t mtu() const override { return mtu_; }
  Outcome send(Bytes frame, size_t segment_size) override;
  Outcome receive(Bytes& frame) override;
  bool takes_large_segments() const override { return header_size_ != 0; }
  // That a macvtap interface is gone the kernel tells those alone who ask for its name.
  bool is_to_be_checked() const override { return true; }
  Outcome check() override;

 private:
  TapPort(UniqueFd tap, uint16_t mtu, size_t header_size);

  const UniqueFd tap_;
  const uint16_t mtu_;
  const size_t header_size_;  // Of the virtio header; 0: there is none.
  std::vector<std::byte> buffer_;
};

}  // namespace alcove::network
