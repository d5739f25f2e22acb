// What commands print.
#pragma once

#include <alcove/alcove.h>

#include <nlohmann/json.hpp>
#include <string>

namespace alcove::cli {

// On stderr: "alcove: where: what", and the hint on a line of its own. Gives the exit status 1.
int report(const Error& error);

// A display's PNG file; displays are counted through all graphics devices.
Result<std::string> take_screenshot(VirtualMachine& machine, size_t display);

nlohmann::json to_json(const Error& error);
Error error_from_json(const nlohmann::json& json);

// What tells a person which disk it is: its image's path, or its URL.
std::string storage_source(const StorageDeviceConfiguration& device);

// State, processes, memory, addresses and forwards of a machine that runs.
nlohmann::json describe(VirtualMachine& machine);
// The same for a person, on lines of their own.
std::string description_text(const nlohmann::json& machine);

}  // namespace alcove::cli
