// What the program tells of EFI firmware's variables, and its `efi` commands.
#pragma once

#include <alcove/alcove.h>

#include <nlohmann/json.hpp>
#include <string>

namespace CLI {
class App;
}

namespace alcove::cli {

// Where a machine's variables are; null if they are nowhere.
const EFIVariableStore* variable_store(const VirtualMachineConfiguration& configuration);

// Secure Boot's state and the boot entries; or what is wrong with the file.
nlohmann::json describe(const EFIVariableStore& store);
std::string efi_text(const nlohmann::json& description);

void add_efi_commands(CLI::App& app, int& status);

}  // namespace alcove::cli
