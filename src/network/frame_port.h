#pragma once

#include <string>

#include "network/packet.h"

namespace alcove::network {

// Moves frames over a descriptor of the host's, one at a time and without waiting. One thread at a time.
class FramePort {
 public:
  enum class Outcome {
    done,
    full,    // send(): not now; again once the descriptor can be written to. receive(): there is none now.
    lost,    // This frame can't be sent, or was none for a guest; others can.
    closed,  // Neither this one nor any other: reason() says why.
  };
  virtual ~FramePort() = default;
  virtual int descriptor() const = 0;
  virtual uint16_t mtu() const = 0;

  // At most largest_frame(frame, mtu()), or what can be cut into segments of that size, see Network.
  virtual Outcome send(Bytes frame, size_t segment_size) = 0;
  // `frame` is at least an Ethernet header and valid until the next call.
  virtual Outcome receive(Bytes& frame) = 0;
  // Whether send() takes large segments as they are.
  virtual bool takes_large_segments() const { return false; }
  // Whether something of a frame that was sent is not on its way yet: flush() when it can be written.
  virtual bool has_unsent() const { return false; }
  virtual Outcome flush() { return Outcome::done; }

  // Where the end of it shows neither by sending nor by receiving, it is looked for now and then: done or
  // closed.
  virtual bool is_to_be_checked() const { return false; }
  virtual Outcome check() { return Outcome::done; }

  const std::string& reason() const { return reason_; }

 protected:
  Outcome close(std::string reason) {
    reason_ = std::move(reason);
    return Outcome::closed;
  }

 private:
  std::string reason_;
};

}  // namespace alcove::network
