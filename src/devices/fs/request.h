// A FUSE request on its way: parse() → Session::process() → finish(). All distrust of what the guest wrote
// into the request's framing lives in parse(): it is copied once, its lengths are checked there, and names
// end where they say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <variant>
#include <vector>

#include "spec/fuse.h"
#include "virtio/queue.h"

namespace alcove::devices::fs {

namespace fuse = spec::fuse;

struct Request {
  fuse::InHeader header{};
  fuse::Opcode opcode{};
  std::vector<std::byte> arguments;  // As large as the opcode's fixed arguments, at least.
  std::string names[2];              // Without zero bytes; as many as the opcode has.
  std::vector<std::byte>
      value;  // What follows, where something may; but what is to be written to a file stays.
  virtio::Chain chain;

  // The fixed arguments, from `offset` on.
  template <class T>
  T as(size_t offset = 0) const {
    T value_of{};
    if (offset + sizeof value_of <= arguments.size())
      std::memcpy(&value_of, &arguments[offset], sizeof value_of);
    return value_of;
  }
};

struct Refused {
  uint64_t unique = 0;
  int error = 0;  // errno
  virtio::Chain chain;
};

// How the guest's kernel speaks.
struct Dialect {
  bool extended_set_attribute = false;  // fuse::kExtendedSetAttribute was agreed upon.
};

// Most bytes of one read or write.
inline constexpr uint32_t kMaximumTransfer = 1 << 20;
// Where the data of a write begin.
inline constexpr size_t kWriteDataOffset = sizeof(fuse::InHeader) + sizeof(fuse::WriteIn);

std::variant<Request, Refused> parse(virtio::Chain chain, Dialect dialect);

// What the guest is told, and what it gets.
struct Reply {
  int error = 0;                   // errno
  std::vector<std::byte> payload;  // Behind the header,
  uint32_t in_place = 0;           // or so many bytes that are there already.
  bool is_none = false;            // The guest waits for no reply.
};

template <class T>
Reply reply_of(const T& payload) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&payload);
  return {.payload = {bytes, bytes + sizeof payload}};
}

void finish(uint64_t unique, const Reply& reply, virtio::Chain chain, virtio::Queue& queue);

}  // namespace alcove::devices::fs
