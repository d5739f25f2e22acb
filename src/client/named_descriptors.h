#pragma once

#include <utility>
#include <vector>

#include "config/json.h"
#include "support/unique_fd.h"

namespace alcove::client {

// Takes the descriptors out of `named`, a map by paths of fields, in the order of the names that the request
// gets.
template <class Map>
std::vector<UniqueFd> add_descriptors(config::Json& request, Map named) {
  auto paths = config::Json::array();
  std::vector<UniqueFd> descriptors;
  for (auto& [path, descriptor] : named) {
    paths.push_back(path);
    descriptors.push_back(std::move(descriptor));
  }
  request["descriptors"] = std::move(paths);
  return descriptors;
}

}  // namespace alcove::client
