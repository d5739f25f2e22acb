#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "cli/commands.h"
#include "cli/output.h"

namespace alcove::cli {
namespace {

// What `run` was given: a bundle, a machine file, or nothing.
Result<VirtualMachineConfiguration> base_configuration(const std::string& given) {
  if (given.empty()) return default_configuration();
  if (given.ends_with(".toml")) return VirtualMachineConfiguration::load(given);
  auto bundle = Bundle::open(given);
  if (!bundle) return std::unexpected(bundle.error());
  return bundle->configuration();
}

template <class Action>
int with_bundle(const std::string& name, Action action) {
  auto bundle = Bundle::open(name);
  return bundle ? action(*bundle) : report(bundle.error());
}

int main(int argc, char** argv) {
  CLI::App app("Virtual machines on Linux hosts.", "alcove");
  app.set_version_flag("--version", ALCOVE_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  int status = 0;

  MachineOptions options;
  std::string name;
  bool json = false, force = false, yes = false, print = false;
  unsigned timeout = 90;
  std::string new_disk;

  CLI::App* run_command = app.add_subcommand(
      "run", "Run a machine until it stops, its console on this terminal (Ctrl-] for the monitor)");
  run_command->add_option("MACHINE", name, "A kept machine's name or folder, or a machine file (.toml)")
      ->type_name("");
  run_command->add_flag("--print", print, "Print the machine file that the options make, and do not run it");
  options.add_to(*run_command);
  run_command->callback([&] {
    auto configuration = base_configuration(name);
    auto applied = configuration ? options.apply(*configuration) : std::unexpected(configuration.error());
    if (!applied) {
      status = report(applied.error());
    } else if (print) {
      fmt::print("{}", configuration->to_toml());
    } else {
      status = run(*configuration);
    }
  });

  CLI::App* create_command = app.add_subcommand("create", "Make a machine that is kept");
  create_command->add_option("NAME", name, "Its name")->required()->type_name("");
  create_command->add_option("--new-disk", new_disk, "Make an empty disk of this size for it")
      ->type_name("SIZE");
  options.add_to(*create_command);
  create_command->callback([&] { status = create(name, options, new_disk); });

  const auto add = [&](const std::string& command, const std::string& help, auto action) {
    CLI::App* added = app.add_subcommand(command, help);
    added->add_option("NAME", name, "A kept machine's name or folder")->required()->type_name("");
    added->callback([&, action] { status = with_bundle(name, action); });
    return added;
  };
  add("start", "Start a kept machine in the background", [](const Bundle& bundle) { return start(bundle); });
  CLI::App* stop_command = add("stop", "Shut a running machine down by its power button",
                               [&](const Bundle& bundle) { return stop(bundle, force, timeout); });
  stop_command->add_flag("--force", force, "Pull the plug instead");
  stop_command->add_option("--timeout", timeout, "Seconds to wait for the guest (default: 90)")
      ->type_name("SECONDS");
  add("pause", "Let a running machine stand still", [](const Bundle& bundle) { return pause(bundle); });
  add("resume", "Let a paused machine go on", [](const Bundle& bundle) { return resume(bundle); });
  add("console", "Attach this terminal to a running machine's console (Ctrl-] q leaves it)",
      [](const Bundle& bundle) { return console(bundle); });
  add("info", "Show a kept machine", [&](const Bundle& bundle) {
    return info(bundle, json);
  })->add_flag("--json", json, "For programs");
  add("delete", "Delete a kept machine and its disks", [&](const Bundle& bundle) {
    return remove(bundle, yes);
  })->add_flag("--yes", yes, "Do not ask");

  CLI::App* list_command = app.add_subcommand("list", "List the kept machines");
  list_command->add_flag("--json", json, "For programs");
  list_command->callback([&] { status = list(json); });

  CLI::App* doctor_command = app.add_subcommand("doctor", "Tell what this host can run, and why not");
  doctor_command->add_flag("--json", json, "For programs");
  doctor_command->callback([&] { status = doctor(json); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  return status;
}

}  // namespace
}  // namespace alcove::cli

int main(int argc, char** argv) {
  return alcove::cli::main(argc, argv);
}
