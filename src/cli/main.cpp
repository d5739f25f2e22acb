#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <optional>

#include "cli/commands.h"
#include "cli/disk.h"
#include "cli/efi.h"
#include "cli/network.h"
#include "cli/output.h"
#include "cli/view_options.h"

namespace alcove::cli {
namespace {

struct Given {
  VirtualMachineConfiguration configuration;
  UniqueFd lock;  // Of the bundle, if it is one that is to run.
};

// What `run` was given: a bundle, a machine file, or nothing.
Result<Given> load(const std::string& given, bool to_run) {
  if (given.empty()) return Given{default_configuration(), {}};
  if (given.ends_with(".toml")) {
    auto configuration = VirtualMachineConfiguration::load(given);
    if (!configuration) return std::unexpected(configuration.error());
    return Given{std::move(*configuration), {}};
  }
  auto bundle = Bundle::open(given);
  if (!bundle) return std::unexpected(bundle.error());
  auto configuration = bundle->configuration();
  if (!configuration) return std::unexpected(configuration.error());
  if (!to_run) return Given{std::move(*configuration), {}};
  if (!configuration->label) configuration->label = bundle->name();
  auto lock = bundle->lock();
  if (!lock) return std::unexpected(lock.error());
  bundle->set_last_error({});
  return Given{std::move(*configuration), std::move(*lock)};
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
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return fmt::format("alcove: {}\n        `alcove --help` and `alcove COMMAND --help` tell more\n",
                       error.what());
  });
  int status = 0;

  MachineOptions options;
  std::string name;
  bool json = false, force = false, yes = false, print = false;
  unsigned timeout = 90;
  std::string new_disk, file, usb_device, view_text = "none", view_kind = "web";
  unsigned display = 0;

  CLI::App* run_command = app.add_subcommand(
      "run", "Run a machine until it stops, its console on this terminal (Ctrl-] for the monitor)");
  run_command->add_option("MACHINE", name, "A kept machine's name or folder, or a machine file (.toml)")
      ->type_name("");
  run_command->add_flag("--print", print, "Print the machine file that the options make, and do not run it");
  run_command
      ->add_option("--view", view_text,
                   "Show the display: window, web (in a browser), vnc (to VNC clients) or none; options: "
                   "display=N; of web and vnc port=N; of window system-keys (default: none)")
      ->type_name("window|web|vnc|none[,OPTION]...");
  options.add_to(*run_command);
  run_command->callback([&] {
    auto given = load(name, !print);
    auto applied = given ? options.apply(given->configuration) : std::unexpected(given.error());
    const auto view_options = parse_view(view_text);
    if (applied && !view_options) applied = std::unexpected(view_options.error());
    if (applied && !print && options.efi) applied = options.make_variable_store(given->configuration, {});
    if (!applied) {
      status = report(applied.error());
    } else if (print) {
      prepare_for_view(given->configuration, *view_options);
      fmt::print("{}", given->configuration.to_toml());
    } else if (name.empty() && !given->configuration.boot_loader) {
      status = report(no_kernel());
    } else {
      status = run(given->configuration, *view_options);
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
      ->type_name("SECONDS")
      ->check(whole_number);
  add("pause", "Let a running machine stand still", [](const Bundle& bundle) { return pause(bundle); });
  add("resume", "Let a paused machine go on", [](const Bundle& bundle) { return resume(bundle); });
  add("console", "Attach this terminal to a running machine's console (Ctrl-] q leaves it)",
      [](const Bundle& bundle) { return console(bundle); });
  add("view", "Show a running machine's display in a window, in a browser or to VNC clients",
      [&](const Bundle& bundle) {
        const auto view_options = parse_view(view_kind);
        if (!view_options) return report(view_options.error());
        return view(bundle, *view_options);
      })
      ->add_option("KIND", view_kind, "window, web or vnc, with options as for --view of run (default: web)")
      ->type_name("");
  CLI::App* screenshot_command =
      add("screenshot", "Take what a running machine's display shows as a PNG file",
          [&](const Bundle& bundle) { return screenshot(bundle, file, display); });
  screenshot_command
      ->add_option("FILE", file, "The file, - for standard output (default: the machine's name and .png)")
      ->type_name("");
  screenshot_command->add_option("--display", display, "Which one, if it has several (default: 0)")
      ->type_name("N")
      ->check(whole_number);
  uint32_t port = 0;
  bool pass_descriptor = false;
  CLI::App* connect_command =
      add("connect", "Join standard input and output with a port (vsock) of a running machine's guest",
          [&](const Bundle& bundle) { return connect(bundle, port, pass_descriptor); });
  connect_command->add_option("PORT", port, "The port that the guest listens on")->required()->type_name("");
  connect_command->add_flag("--pass-descriptor", pass_descriptor,
                            "Hand the connection to ssh: for its ProxyCommand, with ProxyUseFdpass");
  SshOptions ssh_options;
  CLI::App* ssh_command = app.add_subcommand(
      "ssh", "Run ssh to a running machine's guest, over its port 22 (vsock), without a network");
  ssh_command->prefix_command();
  ssh_command->add_option("NAME", name, "[USER@]NAME of a kept machine; what follows is a command")
      ->required()
      ->type_name("");
  ssh_command->add_option("-l,--user", ssh_options.user, "As whom (default: as ssh)")->type_name("USER");
  ssh_command->add_option("-p,--port", ssh_options.port, "The guest's port (default: 22)")->type_name("PORT");
  ssh_command->add_option("-i,--identity", ssh_options.identities, "As -i of ssh")
      ->type_name("FILE")
      ->take_all()
      ->allow_extra_args(false);
  ssh_command->add_option("-o,--option", ssh_options.options, "As -o of ssh; may be repeated")
      ->type_name("NAME=VALUE")
      ->take_all()
      ->allow_extra_args(false);
  ssh_command->callback([&] {
    ssh_options.command = ssh_command->remaining();
    status = ssh(name, ssh_options);
  });
  CLI::App* usb_command =
      app.add_subcommand("usb", "Plug USB disks into a running machine and pull them out");
  usb_command->require_subcommand(1);
  const auto add_usb = [&](const std::string& command, const std::string& help, auto action) {
    CLI::App* added = usb_command->add_subcommand(command, help);
    added->add_option("NAME", name, "A running machine's name or folder")->required()->type_name("");
    added->callback([&, action] { status = with_bundle(name, action); });
    return added;
  };
  add_usb("attach", "Plug a disk image in",
          [&](const Bundle& bundle) { return usb_attach(bundle, usb_device); })
      ->add_option("FILE", usb_device, "The image, and options as for --usb-disk")
      ->required()
      ->type_name("");
  add_usb("detach", "Pull a USB disk out",
          [&](const Bundle& bundle) { return usb_detach(bundle, usb_device); })
      ->add_option("ID", usb_device, "As `alcove usb list` shows it, or its beginning")
      ->required()
      ->type_name("");
  std::string usb_id;
  CLI::App* change_command = add_usb("change", "Put another disc into a drive", [&](const Bundle& bundle) {
    return usb_change(bundle, usb_id, usb_device);
  });
  change_command->add_option("ID", usb_id, "The drive's, as `alcove usb list` shows it, or its beginning")
      ->required()
      ->type_name("");
  change_command->add_option("FILE", usb_device, "The image, and options as for --usb-disk")
      ->required()
      ->type_name("");
  add_usb("eject", "Take the disc out of a drive",
          [&](const Bundle& bundle) { return usb_change(bundle, usb_id, ""); })
      ->add_option("ID", usb_id, "The drive's, as `alcove usb list` shows it, or its beginning")
      ->required()
      ->type_name("");
  add_usb("list", "Show what is plugged in", [&](const Bundle& bundle) {
    return usb_list(bundle, json);
  })->add_flag("--json", json, "For programs");
  CLI::App* storage_command = app.add_subcommand(
      "storage", "Show, attach and detach a running machine's disks, and change their size and speed");
  storage_command->require_subcommand(1);
  unsigned disk = 0, operations_per_second = 0;
  std::string size, bytes_per_second = "0";
  const auto add_storage = [&](const std::string& command, const std::string& help, auto action) {
    CLI::App* added = storage_command->add_subcommand(command, help);
    added->add_option("NAME", name, "A running machine's name or folder")->required()->type_name("");
    added->callback([&, action] { status = with_bundle(name, action); });
    return added;
  };
  const auto add_disk_number = [&](CLI::App* command) {
    command->add_option("DISK", disk, "Its number, as `alcove storage list` shows it")
        ->required()
        ->type_name("")
        ->check(whole_number);
    return command;
  };
  add_storage("list", "Show the disks", [&](const Bundle& bundle) {
    return storage_list(bundle, json);
  })->add_flag("--json", json, "For programs");
  std::string new_device;
  bool nvme = false;
  CLI::App* attach_command =
      add_storage("attach", "Give the machine another disk, and print its number",
                  [&](const Bundle& bundle) { return storage_attach(bundle, new_device, nvme); });
  attach_command->add_option("FILE", new_device, "The image, and options as for --disk, or for --nvme")
      ->required()
      ->type_name("");
  attach_command->add_flag("--nvme", nvme, "An NVM Express disk instead of a virtio disk");
  std::optional<unsigned> patience;
  CLI::App* detach_command = add_disk_number(
      add_storage("detach", "Ask the guest to let go of a disk that was attached, and take it away",
                  [&](const Bundle& bundle) { return storage_detach(bundle, disk, patience, force); }));
  detach_command->add_flag("--force", force, "Take it away all the same, at once or after the timeout given");
  detach_command->add_option("--timeout", patience, "Seconds to wait for the guest (default: 30)")
      ->type_name("SECONDS")
      ->check(whole_number);
  add_disk_number(add_storage("resize", "Make a disk larger; the guest sees it at once",
                              [&](const Bundle& bundle) { return storage_resize(bundle, disk, size); }))
      ->add_option("SIZE", size, "Its new size, like 40GiB")
      ->required()
      ->type_name("");
  CLI::App* limit_command = add_disk_number(add_storage(
      "limit", "Limit what the guest may ask of a disk; without options nothing limits it any more",
      [&](const Bundle& bundle) {
        return storage_limit(bundle, disk, bytes_per_second, operations_per_second);
      }));
  limit_command->add_option("--bytes-per-second", bytes_per_second, "Read and written together, like 20MiB")
      ->type_name("SIZE");
  limit_command->add_option("--operations-per-second", operations_per_second, "Reads, writes and discards")
      ->type_name("N")
      ->check(whole_number);
  add("stats", "Show what a running machine has used, and what its devices did", [&](const Bundle& bundle) {
    return stats(bundle, json);
  })->add_flag("--json", json, "For programs");
  add("events", "Tell what happens to a running machine, a line each, until it stops",
      [&](const Bundle& bundle) { return events(bundle, json); })
      ->add_flag("--json", json, "For programs: an object on each line");
  add("info", "Show a kept machine", [&](const Bundle& bundle) {
    return info(bundle, json);
  })->add_flag("--json", json, "For programs");
  add("delete", "Delete a kept machine and its disks", [&](const Bundle& bundle) {
    return remove(bundle, yes);
  })->add_flag("--yes", yes, "Do not ask");

  std::string text;
  std::vector<std::string> combinations;
  unsigned delay = 20;
  CLI::App* type_command = add("type", "Type a text, or press keys, on a running machine's keyboard",
                               [&](const Bundle& bundle) { return type(bundle, text, combinations, delay); });
  type_command->add_option("TEXT", text, "What a US keyboard can write; - reads standard input")
      ->type_name("");
  type_command
      ->add_option("--key", combinations, "Keys pressed together, like ctrl-alt-f2 or enter; may be repeated")
      ->type_name("KEYS")
      ->take_all();
  type_command->add_option("--delay", delay, "Milliseconds that a key is down, and then up (default: 20)")
      ->type_name("MS")
      ->check(whole_number);
  add_efi_commands(app, status);
  add_disk_commands(app, status);
  add_network_commands(app, status);

  CLI::App* list_command = app.add_subcommand("list", "List the kept machines");
  list_command->add_flag("--json", json, "For programs");
  list_command->callback([&] { status = list(json); });

  CLI::App* doctor_command = app.add_subcommand("doctor", "Tell what this host can run, and why not");
  doctor_command->add_flag("--json", json, "For programs");
  doctor_command->callback([&] { status = doctor(json); });

  if (argc < 2) {
    fmt::print(stderr, "{}", app.help());
    return 2;
  }
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  if (argv[1][0] != '-' && std::ranges::find(commands, argv[1], &CLI::App::get_name) == commands.end()) {
    report({ErrorCode::not_supported, argv[1], "there is no such command", "`alcove --help` lists them"});
    return 2;
  }
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
