// A block request on its way: parse() → process() → finish(), each consuming what the one before made, so
// that a half-done request cannot be held. All distrust of what the guest wrote into the request lives in
// parse().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "storage/disk.h"
#include "virtio/queue.h"

namespace alcove::devices::block {

// What requests are checked against.
struct Limits {
  uint64_t features = 0;  // As negotiated.
  uint64_t disk_size = 0;
  bool read_only = false;
};

// Most that one request may ask for, as told in the device's configuration.
inline constexpr uint32_t kMaximumRangeSectors = 1 << 21;  // 1 GiB
inline constexpr uint32_t kMaximumRanges = 16;

struct Range {  // In bytes, within the disk.
  uint64_t offset = 0;
  uint64_t size = 0;
  bool may_unmap = false;
};

struct Read : Range {};
struct Write : Range {};
struct Flush {};
struct GetId {};
struct Discard {
  std::vector<Range> ranges;
};
struct WriteZeroes {
  std::vector<Range> ranges;
};
struct Refused {
  uint8_t status = 0;
};

struct Parsed {
  std::variant<Read, Write, Flush, GetId, Discard, WriteZeroes, Refused> what;
  bool is_write_through = false;  // What it writes is flushed before it is answered.
  virtio::Chain chain;
};

struct Processed {
  uint8_t status = 0;
  int error = 0;  // errno of the host's failure, if that was the reason.
  virtio::Chain chain;
};

// Nothing if the request is no request at all: it lacks the header or the status byte.
std::optional<Parsed> parse(virtio::Chain chain, const Limits& limits);
Processed process(Parsed request, storage::Disk& disk, const std::array<char, 20>& identifier);
void finish(Processed request, virtio::Queue& queue);

}  // namespace alcove::devices::block
