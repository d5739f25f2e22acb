// Machine files: TOML to and from the tree of json.h.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "config/json.h"

namespace alcove::config {

struct ParsedToml {
  Json tree;
  std::map<std::string, unsigned> lines;  // Where each field stands, by its path.

  // The line of the field, or of what is around it; 0 if unknown.
  unsigned line_of(std::string_view path) const;
};

Result<ParsedToml> parse_toml(std::string_view text);

// Scalars first, then tables as [table] and lists of tables as [[list]]; what is inside those on one line.
std::string print_toml(const Json& tree);

}  // namespace alcove::config
