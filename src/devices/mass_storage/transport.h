// How a mass storage device's commands, data and answers travel.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "devices/mass_storage/unit.h"
#include "usb/device.h"

namespace alcove::devices::mass_storage {

// All calls come in the controller's turn.
class Transport {
 public:
  // `halt` halts an endpoint.
  Transport(Unit& unit, std::function<void(uint8_t)> halt) : unit_(unit), halt_(std::move(halt)) {}
  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // As of usb::Device; the device is configured and the endpoint not halted.
  virtual void submit(usb::Transfer& transfer) = 0;
  virtual bool cancel(usb::Transfer& transfer) = 0;
  // Everything under way is forgotten. What the disk's thread does goes on, for nobody.
  virtual void restart() = 0;
  // The machine is no longer paused.
  virtual void advance() = 0;

 protected:
  void halt(uint8_t endpoint) const { halt_(endpoint); }
  Unit& unit_;

 private:
  const std::function<void(uint8_t)> halt_;
};

// The first `size` bytes of a transfer's buffers.
inline std::vector<iovec> first_bytes(const usb::Transfer& transfer, uint64_t size) {
  std::vector<iovec> buffers;
  for (iovec buffer : transfer.buffers()) {
    if (size == 0) break;
    buffer.iov_len = std::min<uint64_t>(buffer.iov_len, size);
    size -= buffer.iov_len;
    buffers.push_back(buffer);
  }
  return buffers;
}

inline void copy_out(const usb::Transfer& transfer, std::span<const std::byte> bytes) {
  size_t done = 0;
  for (const iovec& buffer : first_bytes(transfer, bytes.size())) {
    std::memcpy(buffer.iov_base, bytes.data() + done, buffer.iov_len);
    done += buffer.iov_len;
  }
}

inline void copy_in(const usb::Transfer& transfer, std::span<std::byte> bytes) {
  size_t done = 0;
  for (const iovec& buffer : first_bytes(transfer, bytes.size())) {
    std::memcpy(bytes.data() + done, buffer.iov_base, buffer.iov_len);
    done += buffer.iov_len;
  }
}

}  // namespace alcove::devices::mass_storage
