// The parts of an option like FILE,readonly,id=NAME, and what is said of wrong ones.
#pragma once

#include <alcove/error.h>

#include <string>
#include <utility>
#include <vector>

namespace alcove::cli {

inline std::unexpected<Error> usage(std::string option, std::string what, std::string hint = {}) {
  return fail(ErrorCode::invalid_virtual_machine_configuration, std::move(option), std::move(what),
              std::move(hint));
}

inline std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  size_t start = 0;
  while (true) {
    const size_t comma = text.find(',', start);
    parts.push_back(text.substr(start, comma - start));
    if (comma == std::string::npos) return parts;
    start = comma + 1;
  }
}

// "key=value" into its halves; the second is empty without '='.
inline std::pair<std::string, std::string> key_and_value(const std::string& part) {
  const size_t equals = part.find('=');
  if (equals == std::string::npos) return {part, ""};
  return {part.substr(0, equals), part.substr(equals + 1)};
}

}  // namespace alcove::cli
