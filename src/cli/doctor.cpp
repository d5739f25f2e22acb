#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/output.h"

namespace alcove::cli {

void warn_about_hypervisor(const VirtualMachineConfiguration& configuration) {
  if (configuration.hypervisor != HypervisorChoice::kvm) return;
  for (const Prerequisite& item : VirtualMachine::prerequisites()) {
    if (item.name == "kvm" && !item.satisfied)
      report({ErrorCode::not_supported, "warning: hypervisor", item.found, item.hint});
  }
}

int doctor(bool json) {
  const std::vector<Prerequisite> prerequisites = VirtualMachine::prerequisites();
  const auto supported = VirtualMachine::is_supported();
  if (json) {
    nlohmann::json list = nlohmann::json::array();
    for (const Prerequisite& item : prerequisites) {
      list.push_back({{"name", item.name},
                      {"satisfied", item.satisfied},
                      {"required", item.required},
                      {"found", item.found},
                      {"hint", item.hint}});
    }
    fmt::print("{}\n", nlohmann::json{{"supported", supported.has_value()}, {"prerequisites", list}}.dump(2));
  } else {
    for (const Prerequisite& item : prerequisites) {
      fmt::print("{} {:<16} {}\n",
                 item.satisfied  ? "ok     "
                 : item.required ? "MISSING"
                                 : "no     ",
                 item.name, item.found);
      if (!item.hint.empty()) fmt::print("{:<25}{}\n", "", item.hint);
    }
    fmt::print("\n{}\n",
               supported ? "This host can run virtual machines." : "This host cannot run virtual machines.");
  }
  return supported ? 0 : 1;
}

}  // namespace alcove::cli
