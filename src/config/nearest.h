#pragma once

#include <span>
#include <string_view>

namespace alcove::config {

// The candidate that `word` is most likely a misspelling of; empty if none is near.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace alcove::config
