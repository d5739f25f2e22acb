// Compressed clusters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace alcove::storage::qcow2 {

// Fills `out`, a cluster, from data that may be followed by anything; false if they are damaged.
// `compression` is as in a header.
bool decompress(uint8_t compression, std::span<const std::byte> data, std::span<std::byte> out);

// Nothing if the cluster does not become smaller.
std::optional<std::vector<std::byte>> compress(uint8_t compression, std::span<const std::byte> cluster);

}  // namespace alcove::storage::qcow2
