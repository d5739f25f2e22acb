// What a running machine's devices count.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/running_machine.h"

namespace alcove::cli {

// Asks all devices; `done` is called once, by call_back(), with an object of what they answered.
void collect_statistics(RunningMachine& running, std::function<void(nlohmann::json)> done);

// As `alcove stats` and `alcove storage list` print it.
std::string statistics_text(const nlohmann::json& statistics);
std::string storage_text(const nlohmann::json& statistics);

}  // namespace alcove::cli
