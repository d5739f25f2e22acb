#include "cli/commands.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iostream>

#include "cli/control.h"
#include "cli/efi.h"
#include "cli/escape_filter.h"
#include "cli/output.h"
#include "cli/terminal.h"

namespace alcove::cli {

namespace {

// One request to the machine's background process.
int say_state(const Bundle& bundle, const Result<nlohmann::json>& reply) {
  if (!reply) return report(reply.error());
  fmt::print("{} is {}\n", bundle.name(), reply->value("state", "stopped"));
  return 0;
}

Result<> make_disk(const std::filesystem::path& path, uint64_t size) {
  UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file || ftruncate(file.get(), static_cast<off_t>(size)) != 0) {
    return fail(ErrorCode::internal, path.string(),
                fmt::format("the disk cannot be made: {}", strerror(errno)));
  }
  return {};
}

// As `info --json` and `list --json` show a machine.
nlohmann::json describe(const Bundle& bundle) {
  nlohmann::json json = {{"name", bundle.name()}, {"path", bundle.path().string()}, {"state", "stopped"}};
  if (auto reply = ask(bundle, {{"command", "info"}})) {
    json.update(*reply);
  } else if (auto process = bundle.holder()) {
    json["state"] = "running";
    json["process_id"] = *process;
  } else if (auto error = bundle.last_error()) {
    json["state"] = "error";
    json["error"] = to_json(*error);
  }
  if (auto configuration = bundle.configuration()) {
    json["configuration"] = nlohmann::json::parse(configuration->to_json(), nullptr, false);
    if (const EFIVariableStore* store = variable_store(*configuration)) json["efi"] = cli::describe(*store);
  } else {
    json["configuration_error"] = to_json(configuration.error());
  }
  return json;
}

void make_paths_absolute(DiskImageStorageDeviceAttachment& disk) {
  disk.path = std::filesystem::absolute(disk.path);
  for (DiskImageLayer& layer : disk.base_layers) layer.path = std::filesystem::absolute(layer.path);
}

}  // namespace

int create(const std::string& name, const MachineOptions& options, const std::string& new_disk_size) {
  VirtualMachineConfiguration configuration = default_configuration();
  if (auto applied = options.apply(configuration); !applied) return report(applied.error());
  set_host_names(configuration, name);
  // The bundle may be used from any folder.
  for (auto& device : configuration.storage_devices) {
    auto& attachment = std::visit([](auto& kind) -> auto& { return kind.attachment; }, device);
    if (auto* disk = std::get_if<DiskImageStorageDeviceAttachment>(&attachment)) make_paths_absolute(*disk);
  }
  for (auto& controller : configuration.usb_controllers) {
    for (auto& device : std::get<XHCIControllerConfiguration>(controller).usb_devices) {
      auto& attachment = std::get<USBMassStorageDeviceConfiguration>(device).attachment;
      if (auto* disk = std::get_if<DiskImageStorageDeviceAttachment>(&attachment)) make_paths_absolute(*disk);
    }
  }
  if (!configuration.boot_loader) return report(no_kernel());
  const auto make_absolute = [](std::filesystem::path& path) {
    if (!path.empty()) path = std::filesystem::absolute(path);
  };
  if (auto* loader = std::get_if<LinuxBootLoader>(&*configuration.boot_loader)) {
    make_absolute(loader->kernel);
    make_absolute(loader->initial_ramdisk);
  } else if (auto* firmware = std::get_if<EFIBootLoader>(&*configuration.boot_loader)) {
    make_absolute(firmware->variable_store.path);
    make_absolute(firmware->firmware);
    if (!firmware->variable_store.path.empty()) {
      if (auto made = options.make_variable_store(configuration, {}); !made) return report(made.error());
    }
  }
  for (auto& device : configuration.socket_devices) {
    for (auto& bridge : std::get<VirtioSocketDeviceConfiguration>(device).bridges) make_absolute(bridge.path);
  }
  const auto problems = configuration.validate();
  for (const Error& problem : problems) report(problem);
  if (!problems.empty()) return 1;

  uint64_t disk_size = 0;
  if (!new_disk_size.empty()) {
    auto size = parse_size_option("--new-disk", new_disk_size);
    if (!size) return report(size.error());
    constexpr uint64_t kSectorSize = 512;
    if (*size == 0 || *size % kSectorSize != 0) {
      return report({ErrorCode::invalid_virtual_machine_configuration, "--new-disk",
                     fmt::format("a disk can't have {} bytes", *size), "a multiple of 512, like 20GiB"});
    }
    disk_size = *size;
  }
  auto bundle = Bundle::create(name, configuration);
  if (!bundle) return report(bundle.error());
  auto made = options.make_variable_store(configuration, bundle->path() / "efi-variables.fd");
  if (disk_size != 0 && made) {
    const auto disk = bundle->path() / "disk.img";
    made = make_disk(disk, disk_size);
    configuration.storage_devices.insert(
        configuration.storage_devices.begin(),
        VirtioBlockDeviceConfiguration{
            .attachment = DiskImageStorageDeviceAttachment{.path = disk, .format = DiskImageFormat::raw}});
  }
  if (made) made = configuration.save(bundle->machine_file());
  if (!made) {
    (void)bundle->remove();
    return report(made.error());
  }
  fmt::print("{}\n", bundle->path().string());
  return 0;
}

int start(const Bundle& bundle) {
  if (auto configuration = bundle.configuration()) warn_about_hypervisor(*configuration);
  std::array<int, 2> ready{};
  if (pipe2(ready.data(), O_CLOEXEC) != 0)
    return report({ErrorCode::internal, "", "a pipe cannot be made", ""});
  const pid_t child = fork();
  if (child < 0) return report({ErrorCode::internal, "", "a process cannot be made", ""});
  if (child == 0) {
    close(ready[0]);
    setsid();
    if (fork() != 0) _exit(0);  // Not a session leader, so that it never gets a terminal.
    const int nothing = open("/dev/null", O_RDWR);
    for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(nothing, fd);
    close(nothing);
    _exit(supervise(bundle, ready[1]));
  }
  close(ready[1]);
  waitpid(child, nullptr, 0);
  const UniqueFd answer(ready[0]);
  std::string rest;
  auto reply = receive_line(answer.get(), rest);
  if (reply && reply->contains("error")) return report(error_from_json((*reply)["error"]));
  return say_state(bundle, reply);
}

int stop(const Bundle& bundle, bool force, unsigned timeout_seconds) {
  auto socket = bundle.connect();
  if (!socket) return report(socket.error());
  const bool show_progress = !force && isatty(STDERR_FILENO);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(timeout_seconds);
  if (!send_line(socket->get(), force ? nlohmann::json{{"command", "stop"}}
                                      : nlohmann::json{{"command", "shutdown"}, {"grace", timeout_seconds}}))
    return report({ErrorCode::internal, bundle.name(), "its background process went away", ""});
  pollfd answer{.fd = socket->get(), .events = POLLIN, .revents = 0};
  while (show_progress && poll(&answer, 1, 500) == 0) {
    const auto left = std::chrono::ceil<std::chrono::seconds>(deadline - std::chrono::steady_clock::now());
    fmt::print(stderr, "\rWaiting for the guest to shut down ({} s left)\x1b[K", std::max(left.count(), 0l));
  }
  if (show_progress) fmt::print(stderr, "\r\x1b[K");
  std::string rest;
  const auto reply = receive_line(socket->get(), rest);
  if (reply && reply->contains("error")) return report(error_from_json((*reply)["error"]));
  // Not before its process has ended: the next command may start or delete it.
  constexpr std::chrono::seconds kTimeToEnd{30};
  if (!bundle.wait_until_free(std::chrono::steady_clock::now() + kTimeToEnd)) {
    return report({ErrorCode::internal, bundle.name(), "its background process does not end",
                   fmt::format("kill process {}", bundle.holder().value_or(0))});
  }
  if (auto error = bundle.last_error()) return report(*error);
  const bool was_deaf = !force && reply && reply->value("means", "") == to_string(ShutdownMeans::stop);
  fmt::print("{} is stopped{}\n", bundle.name(),
             was_deaf
                 ? fmt::format(": the guest did not shut down within {} seconds, and its plug was pulled",
                               timeout_seconds)
                 : "");
  return 0;
}

int pause(const Bundle& bundle) {
  return say_state(bundle, ask(bundle, {{"command", "pause"}}));
}
int resume(const Bundle& bundle) {
  return say_state(bundle, ask(bundle, {{"command", "resume"}}));
}

int console(const Bundle& bundle) {
  auto socket = bundle.connect();
  if (!socket) return report(socket.error());
  std::string output;
  if (auto reply = ask(socket->get(), {{"command", "console"}}, output); !reply) return report(reply.error());
  RawTerminal terminal;
  if (terminal.is_terminal())
    fmt::print(stderr, "[alcove: console of {}; Ctrl-] q leaves it]\n", bundle.name());
  EscapeFilter escapes;
  bool leaving = false;
  bool input_open = true;
  while (!leaving) {
    while (!output.empty()) {
      const ssize_t count = ::write(STDOUT_FILENO, output.data(), output.size());
      if (count <= 0 && errno != EINTR && errno != EAGAIN) return 0;
      if (count > 0) output.erase(0, static_cast<size_t>(count));
    }
    std::array<pollfd, 2> polls{{{.fd = input_open ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0},
                                 {.fd = socket->get(), .events = POLLIN, .revents = 0}}};
    if (poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) break;
    std::array<char, 4096> buffer{};
    if (polls[1].revents) {
      const ssize_t count = ::read(socket->get(), buffer.data(), buffer.size());
      if (count <= 0) break;
      output.append(buffer.data(), static_cast<size_t>(count));
    }
    if (polls[0].revents) {
      const ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
      if (count <= 0) input_open = false;
      std::string keys(buffer.data(), count > 0 ? static_cast<size_t>(count) : 0);
      if (terminal.is_terminal())
        keys = escapes.feed(keys, [] {}, [&](char key) { leaving = leaving || key == 'q'; });
      if (!keys.empty() && ::write(socket->get(), keys.data(), keys.size()) < 0) break;
    }
  }
  terminal.leave();
  if (terminal.is_terminal()) fmt::print(stderr, "\n");
  return 0;
}

int screenshot(const Bundle& bundle, const std::string& file, unsigned display) {
  auto socket = bundle.connect();
  if (!socket) return report(socket.error());
  std::string png;
  if (auto reply = ask(socket->get(), {{"command", "screenshot"}, {"display", display}}, png); !reply)
    return report(reply.error());
  std::array<char, 65536> buffer{};
  for (ssize_t count = 1; count > 0;) {
    count = ::read(socket->get(), buffer.data(), buffer.size());
    if (count > 0) png.append(buffer.data(), static_cast<size_t>(count));
    if (count < 0 && errno == EINTR) count = 1;  // Once more.
  }
  constexpr std::string_view kEnd = "IEND";  // Of the last chunk, before its checksum.
  if (png.size() < 8 || png.substr(png.size() - 8, 4) != kEnd)
    return report({ErrorCode::internal, bundle.name(), "the picture did not come whole", "try again"});
  const std::string name = file.empty() ? bundle.name() + ".png" : file;
  const UniqueFd out(name == "-" ? dup(STDOUT_FILENO)
                                 : open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  for (size_t done = 0; done < png.size();) {
    const ssize_t count = out ? ::write(out.get(), png.data() + done, png.size() - done) : -1;
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0)
      return report({ErrorCode::internal, name, fmt::format("can't be written: {}", strerror(errno)), ""});
    done += static_cast<size_t>(count);
  }
  if (name != "-") fmt::print("{}\n", name);
  return 0;
}

int list(bool json) {
  nlohmann::json machines = nlohmann::json::array();
  const auto bundles = Bundle::all();
  if (!bundles) return report(bundles.error());
  for (const Bundle& bundle : *bundles) machines.push_back(describe(bundle));
  if (json) {
    fmt::print("{}\n", machines.dump(2));
    return 0;
  }
  if (machines.empty()) {
    fmt::print("No machines in {}; `alcove create NAME` makes one\n", Bundle::home().string());
    return 0;
  }
  fmt::print("{:<24} {:<10} {:>5} {:>9}  {}\n", "NAME", "STATE", "CPUS", "MEMORY", "ADDRESS");
  for (const auto& machine : machines) {
    const auto configuration = machine.value("configuration", nlohmann::json::object());
    std::string address;
    for (const auto& device : machine.value("network_devices", nlohmann::json::array())) {
      if (address.empty() && !device["addresses"].empty())
        address = device["addresses"][0].get<std::string>();
    }
    // What is wrong with it stands where its address would.
    for (const char* key : {"error", "configuration_error"}) {
      if (machine.contains(key)) address = error_from_json(machine[key]).what;
    }
    const auto number = [&](const char* key, auto format) {
      const auto found = configuration.find(key);
      return found == configuration.end() ? std::string("?") : format(found->template get<uint64_t>());
    };
    std::string state = machine["state"].get<std::string>();
    if (state == "running" && machine.value("ready", false)) state = "ready";
    fmt::print("{:<24} {:<10} {:>5} {:>9}  {}\n", machine["name"].get<std::string>(), state,
               number("cpu_count", [](uint64_t count) { return std::to_string(count); }),
               number("memory_size", [](uint64_t size) { return format_size(size); }), address);
  }
  return 0;
}

int info(const Bundle& bundle, bool json) {
  const nlohmann::json machine = describe(bundle);
  if (json) {
    fmt::print("{}\n", machine.dump(2));
    return 0;
  }
  fmt::print("name       {}\nstate      {}\nfolder     {}\n", bundle.name(),
             machine["state"].get<std::string>(), bundle.path().string());
  if (machine.contains("error")) {
    const Error error = error_from_json(machine["error"]);
    fmt::print("error      {}{}{}\n", error.where, error.where.empty() ? "" : ": ", error.what);
  }
  if (machine.contains("hypervisor")) fmt::print("{}", description_text(machine));
  if (machine.contains("efi")) fmt::print("{}", efi_text(machine["efi"]));
  auto configuration = bundle.configuration();
  if (!configuration) return report(configuration.error());
  fmt::print("\n{}", configuration->to_toml());
  return 0;
}

int remove(const Bundle& bundle, bool yes) {
  if (!yes) {
    if (!isatty(STDIN_FILENO)) {
      return report(
          {ErrorCode::operation_cancelled, bundle.name(), "deleting needs a confirmation", "give --yes"});
    }
    fmt::print("Delete {} and all that is in {}? [y/N] ", bundle.name(), bundle.path().string());
    std::fflush(stdout);
    std::string answer;
    std::getline(std::cin, answer);
    if (answer != "y" && answer != "Y" && answer != "yes") return 1;
  }
  if (auto removed = bundle.remove(); !removed) return report(removed.error());
  fmt::print("Deleted {}\n", bundle.name());
  return 0;
}

}  // namespace alcove::cli
