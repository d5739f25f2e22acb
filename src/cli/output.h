// What commands print.
#pragma once

#include <alcove/alcove.h>

#include <nlohmann/json.hpp>

namespace alcove::cli {

// On stderr: "alcove: where: what", and the hint on a line of its own. Gives the exit status 1.
int report(const Error& error);

nlohmann::json to_json(const Error& error);
Error error_from_json(const nlohmann::json& json);

// State, processes, memory, addresses and forwards of a machine that runs.
nlohmann::json describe(VirtualMachine& machine);

}  // namespace alcove::cli
