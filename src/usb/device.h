// A USB device as its host controller sees it, and a transfer as the device sees it.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "spec/usb.h"

namespace alcove::usb {

enum class Speed { high, super };

// A transfer on a bulk or interrupt endpoint, of any length. It belongs to the controller; the device may
// keep a reference from submit() until it completes it or cancel() gives it back.
class Transfer {
 public:
  enum class Status { success, stall, gone };

  virtual ~Transfer() = default;
  uint8_t endpoint() const { return endpoint_; }  // Its address: the number, and 0x80 towards the host.
  uint16_t stream() const { return stream_; }     // 0 without streams.
  // The guest's memory; it may change meanwhile, as the guest likes.
  std::span<const iovec> buffers() const { return buffers_; }
  uint64_t size() const { return size_; }

  // Once; `transferred` is at most size(). Less, towards the host, is a short packet.
  virtual void complete(Status status, uint64_t transferred) = 0;

 protected:
  uint8_t endpoint_ = 0;
  uint16_t stream_ = 0;
  std::vector<iovec> buffers_;
  uint64_t size_ = 0;
};

// All calls come in the turn of the controller's strand (exec/strand.h), one after another and on any thread,
// and Transfer::complete() is called in it, too, also from within submit(). On each endpoint, or stream of
// one, there is at most one transfer at a time.
class Device {
 public:
  virtual ~Device() = default;
  virtual Speed speed() const = 0;

  // The bus was reset: unconfigured. Transfers that the device keeps are completed as `gone`, at once or when
  // the host is done with them.
  virtual void reset() = 0;
  // A request to endpoint 0: what it answers, of which the guest gets at most setup.length bytes; none: a
  // stall. `data` is what came with a request to the device.
  virtual std::optional<std::vector<std::byte>> control(const spec::usb::SetupPacket& setup,
                                                        std::span<const std::byte> data) = 0;
  virtual void submit(Transfer& transfer) = 0;
  // Takes a transfer back that has not begun: true. Else false: it will be completed soon.
  virtual bool cancel(Transfer& transfer) = 0;

  // The machine pauses: when pause() returns, the host works on no transfer, and on none until resume(). From
  // the thread that pauses the machine, outside that turn.
  virtual void pause() {}
  virtual void resume() {}
};

}  // namespace alcove::usb
