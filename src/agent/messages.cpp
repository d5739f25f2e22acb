#include "agent/messages.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "spec/spice_agent.h"

namespace alcove::agent {

namespace wire = spec::spice_agent;

namespace {

// Guests cut their messages into pieces of kLargestChunk; far more than that is not their protocol.
constexpr uint32_t kLongestChunk = 1 << 20;

// Takes what is missing for `size` bytes; tells whether they are complete.
bool collect(std::vector<std::byte>& into, size_t size, std::span<const std::byte>& bytes) {
  const size_t taken = std::min(size - into.size(), bytes.size());
  into.insert(into.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(taken));
  bytes = bytes.subspan(taken);
  return into.size() == size;
}

template <class T>
T value_of(const std::vector<std::byte>& bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

template <class T>
void append(std::vector<std::byte>& bytes, const T& value) {
  const auto view = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), view.begin(), view.end());
}

}  // namespace

MessageReader::MessageReader(size_t largest, OnMessage on_message)
    : largest_(largest), on_message_(std::move(on_message)) {}

void MessageReader::reset() {
  chunk_header_.clear();
  chunk_left_ = 0;
  message_header_.clear();
  body_.clear();
  body_left_ = 0;
  skipping_ = lost_ = false;
}

void MessageReader::feed(std::span<const std::byte> bytes) {
  while (!bytes.empty() && !lost_) {
    if (chunk_left_ == 0) {
      if (!collect(chunk_header_, sizeof(wire::ChunkHeader), bytes)) return;
      const auto header = value_of<wire::ChunkHeader>(chunk_header_);
      chunk_header_.clear();
      chunk_port_ = header.port;
      chunk_left_ = header.size;
      lost_ = header.size > kLongestChunk;
      continue;
    }
    const auto piece = bytes.first(std::min<size_t>(chunk_left_, bytes.size()));
    bytes = bytes.subspan(piece.size());
    chunk_left_ -= static_cast<uint32_t>(piece.size());
    if (chunk_port_ == wire::kClientPort) feed_chunk(piece);
  }
}

void MessageReader::feed_chunk(std::span<const std::byte> bytes) {
  while (!bytes.empty() && !lost_) {
    if (message_header_.size() < sizeof(wire::MessageHeader)) {
      if (!collect(message_header_, sizeof(wire::MessageHeader), bytes)) return;
      const auto header = value_of<wire::MessageHeader>(message_header_);
      lost_ = header.protocol != wire::kProtocol;
      body_left_ = header.size;
      skipping_ = header.size > largest_;
      body_.clear();
    }
    const auto piece = bytes.first(std::min<size_t>(body_left_, bytes.size()));
    bytes = bytes.subspan(piece.size());
    body_left_ -= static_cast<uint32_t>(piece.size());
    if (!skipping_) body_.insert(body_.end(), piece.begin(), piece.end());
    if (body_left_ != 0 || lost_) continue;
    const uint32_t type = value_of<wire::MessageHeader>(message_header_).type;
    message_header_.clear();
    if (!skipping_) on_message_(type, body_);
    if (body_.capacity() > wire::kLargestChunk) std::exchange(body_, {});
  }
}

std::vector<std::byte> chunks_of(uint32_t type, std::span<const std::byte> body) {
  std::vector<std::byte> message;
  message.reserve(sizeof(wire::MessageHeader) + body.size());
  append(message, wire::MessageHeader{.protocol = wire::kProtocol,
                                      .type = type,
                                      .opaque = 0,
                                      .size = static_cast<uint32_t>(body.size())});
  message.insert(message.end(), body.begin(), body.end());
  std::vector<std::byte> chunks;
  chunks.reserve(message.size() + (message.size() / wire::kLargestChunk + 1) * sizeof(wire::ChunkHeader));
  for (std::span<const std::byte> rest(message); !rest.empty();) {
    const auto piece = rest.first(std::min<size_t>(wire::kLargestChunk, rest.size()));
    rest = rest.subspan(piece.size());
    append(chunks, wire::ChunkHeader{.port = wire::kClientPort, .size = static_cast<uint32_t>(piece.size())});
    chunks.insert(chunks.end(), piece.begin(), piece.end());
  }
  return chunks;
}

}  // namespace alcove::agent
