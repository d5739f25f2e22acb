#pragma once

#include <alcove/virtual_machine.h>

#include <string>
#include <vector>

namespace alcove::service {

// What this host has of what machines need, as the process that runs them sees it.
std::vector<Prerequisite> probe();

// One line of JSON, for the library that asked.
std::string print(const std::vector<Prerequisite>& prerequisites);

}  // namespace alcove::service
