// What happens to a machine, as `alcove events` tells it.
#pragma once

#include <alcove/alcove.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace alcove::cli {

// `tell` is called on the machine's executor, in the order in which things happened.
VirtualMachineObserver observe_events(std::function<void(nlohmann::json)> tell);

// A line for a person.
std::string event_text(const nlohmann::json& event);

}  // namespace alcove::cli
