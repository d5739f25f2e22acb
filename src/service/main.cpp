// alcove-vm: the process of one machine. Started by libalcove with the control socket as descriptor 3.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>

#include "machine/machine.h"
#include "service/machine_service.h"
#include "service/network_service.h"
#include "service/probe.h"

namespace alcove::service {
namespace {

constexpr int kSocketNumber = 3;

class MachineGuest final : public Guest {
 public:
  explicit MachineGuest(std::unique_ptr<machine::Machine> machine) : machine_(std::move(machine)) {}

  static Result<std::unique_ptr<Guest>> create(VirtualMachineConfiguration configuration,
                                               machine::Descriptors descriptors,
                                               machine::MachineObserver& observer) {
    auto machine = machine::Machine::create(std::move(configuration), std::move(descriptors), observer);
    if (!machine) return std::unexpected(std::move(machine.error()));
    return std::make_unique<MachineGuest>(*std::move(machine));
  }

  Result<> start() override { return machine_->start(); }
  Result<> pause() override { return machine_->pause(); }
  Result<> resume() override { return machine_->resume(); }
  Result<> request_stop() override { return machine_->request_stop(); }
  void stop() override { machine_->stop(); }
  std::string_view hypervisor() const override { return machine_->hypervisor(); }
  machine::NetworkControl& network(size_t index) override { return machine_->network(index); }
  machine::StorageControl& storage() override { return machine_->storage(); }
  Result<> set_network_attachment(size_t device, const std::optional<NetworkDeviceAttachment>& attachment,
                                  machine::Descriptors descriptors) override {
    return machine_->set_network_attachment(device, attachment, std::move(descriptors));
  }
  void send_input(const InputEvent& event) override { machine_->input().send(event); }
  Result<> attach_usb(size_t controller, const USBMassStorageDeviceConfiguration& device,
                      std::vector<UniqueFd> image) override {
    return machine_->attach_usb(controller, device, std::move(image));
  }
  void detach_usb(size_t controller, const UUID& uuid, Completion<> completion) override {
    machine_->detach_usb(controller, uuid, std::move(completion));
  }
  void change_usb_medium(size_t controller, const UUID& uuid,
                         const std::optional<StorageDeviceAttachment>& medium, std::vector<UniqueFd> image,
                         Completion<> completion) override {
    machine_->change_usb_medium(controller, uuid, medium, std::move(image), std::move(completion));
  }
  Result<size_t> attach_storage(const StorageDeviceConfiguration& device,
                                std::vector<UniqueFd> image) override {
    return machine_->attach_storage(device, std::move(image));
  }
  void detach_storage(size_t number, const StorageDeviceDetachOptions& options,
                      Completion<> completion) override {
    machine_->detach_storage(number, options, std::move(completion));
  }
  Result<> set_share(size_t device, const std::optional<DirectoryShare>& share,
                     machine::Descriptors folders) override {
    return machine_->set_share(device, share, std::move(folders));
  }
  void connect_socket(uint32_t port, UniqueFd socket, std::chrono::milliseconds timeout,
                      Completion<uint32_t> completion) override {
    machine_->connect_socket(port, std::move(socket), timeout, std::move(completion));
  }
  void answer_socket(uint64_t connection, UniqueFd socket, Completion<> completion) override {
    machine_->answer_socket(connection, std::move(socket), std::move(completion));
  }
  Result<> set_console_attachment(size_t device, size_t port, machine::Descriptors attachment,
                                  std::optional<uint64_t> opening) override {
    return machine_->set_console_attachment(device, port, std::move(attachment), opening);
  }
  Result<> resize_console(size_t device, size_t port, uint16_t columns, uint16_t rows) override {
    return machine_->resize_console(device, port, columns, rows);
  }
  Result<> set_balloon_target(uint64_t memory_size) override {
    return machine_->set_balloon_target(memory_size);
  }
  Result<> reconfigure_display(size_t device, size_t scanout,
                               const VirtioGraphicsScanoutConfiguration& configuration) override {
    return machine_->reconfigure_display(device, scanout, configuration);
  }
  void balloon_statistics(Completion<MemoryBalloonStatistics> completion) override {
    machine_->balloon_statistics(std::move(completion));
  }

 private:
  std::unique_ptr<machine::Machine> machine_;
};

// Shared folders and disks take descriptors, many more than programs usually have.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int serve() {
  raise_descriptor_limit();
  // The application's end ends its machines, whatever the way it ends; a closed socket says the same.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // A write that is too much for RLIMIT_FSIZE fails like one to a full disk.
  return MachineService(UniqueFd(kSocketNumber), MachineGuest::create).run();
}

bool has_socket(int type) {
  int found = 0;
  socklen_t size = sizeof found;
  return ::getsockopt(kSocketNumber, SOL_SOCKET, SO_TYPE, &found, &size) == 0 && found == type;
}

// A shared network's process: whoever starts it waits for this one, and not for the one that goes on.
int serve_network(const std::string& name) {
  const pid_t child = ::fork();
  if (child != 0) return child < 0 ? 1 : 0;
  raise_descriptor_limit();
  if (::chdir("/") != 0) return 1;  // So that no file system is kept busy.
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(nothing, STDERR_FILENO);
  return NetworkService(name, UniqueFd(kSocketNumber)).run();
}

}  // namespace
}  // namespace alcove::service

int main(int argument_count, char** arguments) {
  if (argument_count == 2 && std::string_view(arguments[1]) == "--probe") {
    fmt::print("{}\n", alcove::service::print(alcove::service::probe()));
    return 0;
  }
  constexpr std::string_view kNetwork = "--network=";
  const std::string_view argument = argument_count == 2 ? arguments[1] : "";
  if (argument.starts_with(kNetwork) && alcove::service::has_socket(SOCK_SEQPACKET))
    return alcove::service::serve_network(std::string(argument.substr(kNetwork.size())));
  if (!alcove::service::has_socket(SOCK_STREAM)) {
    fmt::print(stderr,
               "alcove-vm runs one machine for a program that uses libalcove, which starts it.\n"
               "Run machines with `alcove run`; see what this host can do with `alcove doctor`.\n");
    return 2;
  }
  return alcove::service::serve();
}
