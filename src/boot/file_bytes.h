// Whole files as bytes, and out of their compression.
#pragma once

#include <alcove/error.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace alcove::boot {

using Bytes = std::span<const std::byte>;

// The largest kernel that is considered, compressed or not; one with all debug information stays below.
inline constexpr uint64_t kLargestFile = uint64_t{2} << 30;

// A value at `offset`, or nothing when the bytes end before.
template <class T>
std::optional<T> value_at(Bytes bytes, uint64_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

bool has_text(Bytes bytes, uint64_t offset, std::string_view text);

// The size of an open regular file; errors name `field`.
Result<uint64_t> file_size(int descriptor, std::string_view field);

Result<std::vector<std::byte>> read_file(int descriptor, std::string_view field);

// Fills `out` from there in the file.
Result<> read_into(int descriptor, std::string_view field, std::span<std::byte> out, uint64_t offset = 0);

// What a gzip or zstd stream holds; nothing if it is neither.
Result<std::optional<std::vector<std::byte>>> decompress(Bytes bytes, std::string_view field);

}  // namespace alcove::boot
