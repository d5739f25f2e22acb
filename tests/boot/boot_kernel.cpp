// Boots a kernel in this process, with its first serial port on standard input and output:
//   boot_kernel [--cpus N] [--memory SIZE] [--hypervisor auto|kvm|soft] [--disk FILE]… [--nat]
//               [--share TAG=FOLDER[,dax=SIZE]]… [--watch SECONDS] KERNEL [INITRD|-] [COMMAND_LINE]
// --watch prints where the processors are, every so often. Exit status 0 when the guest powered off. Ends the
// machine on SIGINT or SIGTERM.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "machine/machine.h"

using namespace alcove;

namespace {

class Observer final : public machine::MachineObserver {
 public:
  void on_stopped() override { end(0); }
  void on_error(Error error) override {
    fmt::print(stderr, "\nboot_kernel: {}\n", error.message());
    end(1);
  }
  void on_reboot() override { fmt::print(stderr, "\nboot_kernel: the guest restarts\n"); }
  void on_addresses_changed(size_t) override {}
  void on_socket_request(uint64_t, uint32_t, uint32_t) override {}
  void on_console_port(size_t, size_t, uint64_t, bool) override {}
  void on_network_error(size_t, Error error) override {
    fmt::print(stderr, "\nboot_kernel: {}\n", error.message());
  }
  // Waits for the end; false if that took longer than `time`.
  bool wait(std::chrono::duration<double> time) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, time, [this] { return status_.has_value(); });
  }
  int wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return status_.has_value(); });
    return *status_;
  }
  void end(int status) {
    std::lock_guard lock(mutex_);
    if (!status_) status_ = status;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<int> status_;
};

struct Options {
  VirtualMachineConfiguration configuration;
  std::vector<std::string> files;
  std::vector<std::string> disks;
  std::vector<std::string> shares;
  double watch = 0;
};

[[noreturn]] void die(const std::string& message) {
  fmt::print(stderr, "boot_kernel: {}\n", message);
  exit(2);
}

void print_processors(machine::Machine& machine) {
  if (!machine.pause()) return;
  for (const cpu::X86State& state : machine.processor_states()) {
    fmt::print(stderr,
               "\nrip {:x} rsp {:x} rflags {:x} cr0 {:x} cr2 {:x} cr3 {:x} cr4 {:x} efer {:x} cs {:x}\n",
               state.rip, state.gpr[cpu::rsp], state.rflags, state.cr0, state.cr2, state.cr3, state.cr4,
               state.efer, state.segments[cpu::cs].selector);
    for (size_t i = 0; i < state.gpr.size(); ++i)
      fmt::print(stderr, "{:x}{}", state.gpr[i], i % 8 == 7 ? "\n" : " ");
  }
  (void)machine.resume();
}

UniqueFd open_or_die(const std::string& path, int flags) {
  UniqueFd file(open(path.c_str(), flags | O_CLOEXEC));
  if (!file) die(fmt::format("{}: {}", path, strerror(errno)));
  return file;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 == argc) die(fmt::format("{} needs a value", argument));
      return argv[++i];
    };
    if (argument == "--cpus") {
      options.configuration.cpu_count = static_cast<unsigned>(std::stoul(value()));
    } else if (argument == "--memory") {
      const auto size = parse_size(value());
      if (!size) die(size.error().message());
      options.configuration.memory_size = *size;
    } else if (argument == "--hypervisor") {
      const auto choice = from_string<HypervisorChoice>(value());
      if (!choice) die("--hypervisor is auto, kvm or soft");
      options.configuration.hypervisor = *choice;
    } else if (argument == "--watch") {
      options.watch = std::stod(value());
    } else if (argument == "--disk") {
      options.disks.push_back(value());
    } else if (argument == "--share") {
      options.shares.push_back(value());
    } else if (argument == "--nat") {
      options.configuration.network_devices.push_back(
          VirtioNetworkDeviceConfiguration{.attachment = NATNetworkDeviceAttachment{}});
    } else {
      options.files.emplace_back(argument);
    }
  }
  if (options.files.empty()) die("name a kernel");
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  Options options = parse(argc, argv);
  VirtualMachineConfiguration& configuration = options.configuration;
  machine::Descriptors descriptors;

  LinuxBootLoader loader{.kernel = options.files[0]};
  descriptors.add("boot_loader.kernel", open_or_die(options.files[0], O_RDONLY));
  if (options.files.size() > 1 && options.files[1] != "-") {
    loader.initial_ramdisk = options.files[1];
    descriptors.add("boot_loader.initial_ramdisk", open_or_die(options.files[1], O_RDONLY));
  }
  loader.command_line = options.files.size() > 2 ? options.files[2] : "console=ttyS0 earlyprintk=ttyS0";
  configuration.boot_loader = loader;

  configuration.serial_ports.push_back(UART16550SerialPortConfiguration{});
  descriptors.add("serial_ports[0].attachment.reading", UniqueFd(dup(STDIN_FILENO)));
  descriptors.add("serial_ports[0].attachment.writing", UniqueFd(dup(STDOUT_FILENO)));
  for (size_t i = 0; i < options.disks.size(); ++i) {
    configuration.storage_devices.push_back(VirtioBlockDeviceConfiguration{
        .attachment = DiskImageStorageDeviceAttachment{.path = options.disks[i]}});
    descriptors.add(fmt::format("storage_devices[{}].attachment", i), open_or_die(options.disks[i], O_RDWR));
  }
  const IDRange everybody{.count = UINT32_MAX};
  for (size_t i = 0; i < options.shares.size(); ++i) {
    const size_t equals = options.shares[i].find('=');
    if (equals == std::string::npos) die("--share is TAG=FOLDER");
    std::string folder = options.shares[i].substr(equals + 1);
    uint64_t window = 0;
    if (const size_t option = folder.find(",dax="); option != std::string::npos) {
      const auto size = parse_size(std::string_view(folder).substr(option + 5));
      if (!size) die("dax=SIZE is like dax=1GiB");
      window = *size;
      folder.resize(option);
    }
    configuration.directory_sharing_devices.push_back(VirtioFileSystemDeviceConfiguration{
        .tag = options.shares[i].substr(0, equals),
        .share =
            SingleDirectoryShare{
                {.path = folder, .ownership = MappedOwnership{.users = {everybody}, .groups = {everybody}}}},
        .dax_window_size = window});
    descriptors.add(fmt::format("directory_sharing_devices[{}].share.directory", i),
                    open_or_die(folder, O_PATH | O_DIRECTORY));
  }
  configuration.entropy_devices.push_back(VirtioEntropyDeviceConfiguration{});
  if (UniqueFd kvm{open("/dev/kvm", O_RDWR | O_CLOEXEC)}) descriptors.add("hypervisor.kvm", std::move(kvm));

  // Signals are taken by a thread of their own; every other inherits the mask.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  Observer observer;
  auto made = machine::Machine::create(configuration, std::move(descriptors), observer);
  if (!made) die(made.error().message());
  fmt::print(stderr, "boot_kernel: hypervisor {}\n", (*made)->hypervisor());
  if (auto started = (*made)->start(); !started) die(started.error().message());
  std::thread waiter([&] {
    int signal;
    sigwait(&signals, &signal);
    observer.end(128 + signal);
  });
  while (options.watch > 0 && !observer.wait(std::chrono::duration<double>(options.watch))) {
    print_processors(**made);
  }
  const int status = observer.wait();
  (*made)->stop();
  pthread_kill(waiter.native_handle(), SIGTERM);  // For sigwait(). NOLINT(bugprone-bad-signal-to-kill-thread)
  waiter.join();
  return status;
}
