#include "control/frame.h"

#include <fmt/format.h>

#include <cstdint>

namespace alcove::control {
namespace {

constexpr size_t kHeaderSize = 4;

}  // namespace

std::string frame(std::string_view message) {
  std::string out;
  for (size_t shift = 0; shift < 32; shift += 8) out += static_cast<char>(message.size() >> shift & 0xff);
  return out.append(message);
}

void FrameReader::add(std::span<const std::byte> bytes) {
  pending_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<std::optional<std::string>> FrameReader::next() {
  if (pending_.size() < kHeaderSize) return std::nullopt;
  size_t size = 0;
  for (size_t index = 0; index < kHeaderSize; ++index) {
    size |= static_cast<size_t>(static_cast<uint8_t>(pending_[index])) << (8 * index);
  }
  if (size > kLargestMessage)
    return fail(ErrorCode::internal, "", fmt::format("a message of {} bytes", size));
  if (pending_.size() < kHeaderSize + size) return std::nullopt;
  std::string message = pending_.substr(kHeaderSize, size);
  pending_.erase(0, kHeaderSize + size);
  return message;
}

}  // namespace alcove::control
