// Cuts the byte stream between application and machine into messages: four bytes of length (little endian),
// then that many bytes of JSON.
#pragma once

#include <alcove/error.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace alcove::control {

// Larger than any message; the other side can't make us collect more.
constexpr size_t kLargestMessage = 4 << 20;

std::string frame(std::string_view message);

class FrameReader {
 public:
  // Adds bytes as they come, and gives complete messages one after another. After an error the stream is
  // lost.
  void add(std::span<const std::byte> bytes);
  Result<std::optional<std::string>> next();

 private:
  std::string pending_;
};

}  // namespace alcove::control
