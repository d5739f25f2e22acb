// What fuzzers of devices with several queues share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace alcove::virtio::testing {

// Deals a fuzzer's bytes out to the rings of `queues` queues, which begin every `distance` bytes from `rings`
// on: 32 bytes to each in turn, so that an input of a few hundred reaches all of them.
inline void deal(std::span<const uint8_t> input, std::byte* rings, size_t queues, size_t distance) {
  constexpr size_t kPiece = 32;
  for (size_t round = 0; !input.empty() && (round + 1) * kPiece <= distance; ++round) {
    for (size_t queue = 0; queue < queues && !input.empty(); ++queue) {
      const auto piece = input.first(std::min(kPiece, input.size()));
      std::memcpy(rings + queue * distance + round * kPiece, piece.data(), piece.size());
      input = input.subspan(piece.size());
    }
  }
}

}  // namespace alcove::virtio::testing
