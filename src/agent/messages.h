// The SPICE agent's byte stream, taken apart into messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace alcove::agent {

// Puts a guest's bytes together again. What is no message of the protocol is skipped where its length is
// known; else the rest of the stream is lost.
class MessageReader {
 public:
  using OnMessage = std::function<void(uint32_t type, std::span<const std::byte> body)>;

  // Messages longer than `largest` bytes are skipped.
  MessageReader(size_t largest, OnMessage on_message);

  void feed(std::span<const std::byte> bytes);
  // A new stream begins.
  void reset();

 private:
  void feed_chunk(std::span<const std::byte> bytes);

  const size_t largest_;
  const OnMessage on_message_;
  std::vector<std::byte> chunk_header_;
  uint32_t chunk_port_ = 0;
  uint32_t chunk_left_ = 0;
  std::vector<std::byte> message_header_;
  std::vector<std::byte> body_;
  uint32_t body_left_ = 0;
  bool skipping_ = false;
  bool lost_ = false;
};

// A message as chunks for the guest.
std::vector<std::byte> chunks_of(uint32_t type, std::span<const std::byte> body);

}  // namespace alcove::agent
