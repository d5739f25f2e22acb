#include "cli/network.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/bundle.h"
#include "cli/control.h"
#include "cli/machine_options.h"
#include "cli/output.h"

namespace alcove::cli {

namespace {

struct NetworkArguments {
  std::string name, attachment;
  unsigned device = 0;
  bool json = false;
};

int request(const NetworkArguments& given, const std::string& attachment) {
  const auto bundle = Bundle::open(given.name);
  if (!bundle) return report(bundle.error());
  const auto reply =
      ask(*bundle, {{"command", "attach_network"}, {"device", given.device}, {"attachment", attachment}});
  return reply ? 0 : report(reply.error());
}

int attach(const NetworkArguments& given) {
  const auto parsed = parse_attachment(given.attachment);
  if (!parsed) {
    Error error = parsed.error();
    error.where = "ATTACHMENT";
    return report(error);
  }
  // The descriptor would be one of the machine's background process.
  if (*parsed && std::holds_alternative<FileHandleNetworkDeviceAttachment>(**parsed))
    return report({ErrorCode::not_supported, "ATTACHMENT", "a descriptor can't be given to a running machine",
                   "use nat, network=NAME, tap=INTERFACE or passt"});
  return request(given, given.attachment);
}

int detach(const NetworkArguments& given) {
  return request(given, "none");
}

int list_interfaces(const NetworkArguments& given) {
  nlohmann::json list = nlohmann::json::array();
  for (const BridgedNetworkInterface& interface : BridgedNetworkInterface::list()) {
    list.push_back({{"identifier", interface.identifier},
                    {"display_name", interface.display_name},
                    {"mac_address", interface.mac_address.string()},
                    {"has_link", interface.has_link},
                    {"is_wireless", interface.is_wireless}});
    if (!given.json)
      fmt::print("{:<16} {}  {:<9} {}\n", interface.identifier, interface.mac_address.string(),
                 interface.has_link ? "link" : "no link", interface.display_name);
  }
  if (given.json) fmt::print("{}\n", list.dump(2));
  return 0;
}

int list_networks(const NetworkArguments& given) {
  nlohmann::json list = nlohmann::json::array();
  for (const SharedNetwork& network : SharedNetwork::list()) {
    nlohmann::json members = nlohmann::json::array();
    if (!given.json)
      fmt::print("{}  {}  {}  MTU {}\n", network.name, network.subnet, network.ipv6_prefix,
                 network.maximum_transmission_unit);
    for (const SharedNetwork::Member& member : network.members) {
      members.push_back({{"mac_address", member.mac_address.string()},
                         {"host_name", member.host_name},
                         {"address", member.address},
                         {"reaches_peers", member.reaches_peers}});
      if (!given.json)
        fmt::print("  {:<15} {}  {}{}\n", member.address, member.mac_address.string(),
                   member.host_name.empty() ? "-" : member.host_name, member.reaches_peers ? "  peers" : "");
    }
    list.push_back({{"name", network.name},
                    {"subnet", network.subnet},
                    {"ipv6_prefix", network.ipv6_prefix},
                    {"maximum_transmission_unit", network.maximum_transmission_unit},
                    {"members", members}});
  }
  if (given.json) fmt::print("{}\n", list.dump(2));
  return 0;
}

}  // namespace

void add_network_commands(CLI::App& app, int& status) {
  CLI::App* network =
      app.add_subcommand("network", "Plug running machines into other networks, and show the host's");
  network->require_subcommand(1);
  const auto arguments = std::make_shared<NetworkArguments>();
  const auto add = [&](const char* command, const char* help, int (*action)(const NetworkArguments&)) {
    CLI::App* added = network->add_subcommand(command, help);
    added->callback([=, &status] { status = action(*arguments); });
    return added;
  };
  const auto add_machine = [&](CLI::App* command) {
    command->add_option("NAME", arguments->name, "A running machine's name or folder")
        ->required()
        ->type_name("");
    command->add_option("--device", arguments->device, "Which network card, if it has several (default: 0)")
        ->type_name("N")
        ->check(whole_number);
  };
  CLI::App* attach_command =
      add("attach", "Plug a network card's cable in elsewhere: its link goes down, then up", attach);
  add_machine(attach_command);
  attach_command->add_option("ATTACHMENT", arguments->attachment, "As for --net, without mac=")
      ->required()
      ->type_name("");
  add_machine(add("detach", "Pull a network card's cable", detach));
  CLI::App* list = add("list", "Show the networks that machines share, and who is on them", list_networks);
  list->add_flag("--json", arguments->json, "For programs");
  CLI::App* interfaces =
      add("interfaces", "Show the host's interfaces that a machine can be bridged to", list_interfaces);
  interfaces->add_flag("--json", arguments->json, "For programs");
}

}  // namespace alcove::cli
