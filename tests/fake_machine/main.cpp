// The real service with a fake guest, whose behaviour is told by the kernel's command line: words that say
// what it does at which request. Whatever else the application sees of a machine's process is real.
//
//   fail_start  die_in_start  fail_pause  stop_in_pause  die_in_pause  error_in_pause  stop_on_request
//   stop_soon  error_soon  reboot_soon  addresses_soon  hang_in_stop  hang_in_start  chatter
//   and_stop and_die (after the chatter)
//   ready_soon  ready_twice (and a reboot in between)  connect_soon (to port 1024)  connect_twice (to 1024
//   and 1025; stops if the second is refused) lets_go_soon (of a disk that was attached, by itself)
//   keeps_disks (unless they are detached by force) waits_for_ever (before it lets go of a disk) fail_network
//   (what is attached by a descriptor at run time)  agent (serves the first port of the first console device)
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "agent.h"
#include "config/guest_readiness.h"
#include "display/display.h"
#include "service/machine_service.h"
#include "support/log_ring.h"

namespace alcove {
namespace {

class FakeNetwork final : public machine::NetworkControl {
 public:
  explicit FakeNetwork(const std::vector<PortForward>& forwards) {
    for (const PortForward& forward : forwards) (void)add_forward(forward);
  }
  Result<PortForward> add_forward(const PortForward& forward) override {
    if (forward.host_port == 1) return fail(ErrorCode::network_error, "", "the port 1 is taken");
    PortForward added = forward;
    if (added.host_port == 0) added.host_port = next_port_++;
    forwards_.push_back(added);
    return added;
  }
  Result<> remove_forward(const PortForward& forward) override {
    if (std::erase(forwards_, forward) == 0)
      return fail(ErrorCode::network_error, "", "there is no such forward");
    return {};
  }
  std::vector<PortForward> forwards() const override { return forwards_; }
  std::vector<std::string> addresses() const override { return {"10.0.2.15", "fec0::15"}; }
  NetworkDeviceStatistics statistics() const override { return {.sent_frames = 3, .sent_bytes = 180}; }

 private:
  std::vector<PortForward> forwards_;
  uint16_t next_port_ = 40000;
};

// Displays whose guest shows each size at once, all in one colour: 0x123456 at first, one more each time.
class FakeDisplays {
 public:
  void open(const VirtualMachineConfiguration& configuration, machine::Descriptors& descriptors) {
    for (const auto& device : configuration.graphics_devices) {
      const auto& scanouts = std::get<VirtioGraphicsDeviceConfiguration>(device).scanouts;
      for (size_t index = 0; index < scanouts.size(); ++index) {
        const std::string path = fmt::format("graphics_devices[0].scanouts[{}]", index);
        auto memory = display::FrameMemory::open(descriptors.take(path + ".frames"));
        if (!memory) std::abort();
        displays_.push_back(
            std::make_unique<display::Display>(std::move(*memory), descriptors.take(path + ".changed")));
        (void)show(0, index, scanouts[index]);
      }
    }
  }
  Result<> show(size_t device, size_t scanout, const VirtioGraphicsScanoutConfiguration& configuration) {
    if (device != 0 || scanout >= displays_.size())
      return fail(ErrorCode::not_supported, "", "no such display");
    const DisplayRectangle all{0, 0, configuration.width, configuration.height};
    displays_[scanout]->show({all.width, all.height}, std::span(&all, 1),
                             [this](std::span<uint32_t> pixels) { std::ranges::fill(pixels, colour_++); });
    return {};
  }

 private:
  std::vector<std::unique_ptr<display::Display>> displays_;
  uint32_t colour_ = 0x123456;
};

// Disks that are as large as their images, and which nobody reads or writes.
class FakeStorage final : public machine::StorageControl {
 public:
  size_t add(std::vector<UniqueFd> layers) {
    disks_.emplace(next_, std::move(layers));
    return next_++;
  }
  void remove(size_t number) { disks_.erase(number); }
  Result<> set_limits(size_t, const StorageDeviceLimits&) override { return {}; }
  Result<> resize(size_t index, uint64_t size) override {
    const uint64_t before = statistics(index)->size;
    const std::string where = fmt::format("storage_devices[{}]", index);
    if (size < before) {
      return fail(ErrorCode::invalid_disk_image, where,
                  fmt::format("holds {} bytes: what lies beyond {} would be lost", before, size));
    }
    if (::ftruncate(disks_.at(index).at(0).get(), static_cast<off_t>(size)) != 0) std::abort();
    return {};
  }
  Result<StorageDeviceStatistics> statistics(size_t index) const override {
    struct stat status{};
    if (::fstat(disks_.at(index).at(0).get(), &status) != 0) std::abort();
    return StorageDeviceStatistics{.size = static_cast<uint64_t>(status.st_size)};
  }

 private:
  std::map<size_t, std::vector<UniqueFd>> disks_;
  size_t next_ = 0;
};

class FakeGuest final : public service::Guest {
 public:
  FakeGuest(const VirtualMachineConfiguration& configuration, machine::Descriptors descriptors,
            machine::MachineObserver& observer)
      : words_(" " + std::get<LinuxBootLoader>(*configuration.boot_loader).command_line + " "),
        descriptors_(std::move(descriptors)),
        observer_(observer) {
    for (const auto& device : configuration.network_devices) {
      const auto& attachment = std::get<VirtioNetworkDeviceConfiguration>(device).attachment;
      networks_.emplace_back(forwards_of(*attachment));
      const auto index = networks_.size() - 1;
      greet(descriptors_, fmt::format("network_devices[{}].attachment.file_handle", index));
    }
    displays_.open(configuration, descriptors_);
    for (size_t index = 0; index < configuration.storage_devices.size(); ++index)
      storage_.add(descriptors_.take_layers(fmt::format("storage_devices[{}].attachment", index)));
    for (size_t index = 0; index < configuration.serial_ports.size(); ++index) {
      const std::string path = fmt::format("serial_ports[{}]", index);
      auto log = LogRing::open(descriptors_.take(path + ".log"));
      const std::string text = fmt::format("hello from port {}\n", index);
      if (log) log->append(std::as_bytes(std::span(text)));
      if (UniqueFd out = descriptors_.take(path + ".attachment.writing")) {
        if (::write(out.get(), text.data(), text.size()) < 0) std::abort();
      }
    }
  }

  Result<> start() override {
    if (has("agent")) observer_.on_console_port(0, 0, ++openings_, true);
    if (has("hang_in_start")) ::pause();
    if (has("die_in_start")) die();
    if (has("fail_start"))
      return fail(ErrorCode::not_supported, "boot_loader.kernel", "is a cake", "take a kernel");
    if (has("stop_soon")) later([this] { observer_.on_stopped(); });
    if (has("error_soon"))
      later([this] { observer_.on_error({ErrorCode::internal, "cpu", "it burns", ""}); });
    if (has("disk_fails_soon")) {
      later([this] {
        observer_.on_storage_connected(0);
        observer_.on_storage_error(0, {ErrorCode::network_error, "attachment.url", "it sank", ""});
      });
    }
    if (has("reboot_soon")) later([this] { observer_.on_reboot(); });
    if (has("addresses_soon")) later([this] { observer_.on_addresses_changed(0); });
    if (has("connect_soon")) later([this] { observer_.on_socket_request(1, 5000, 1024); });
    if (has("ready_soon") || has("ready_twice"))
      later([this] { observer_.on_socket_request(3, 5000, config::kReadinessPort); });
    if (has("connect_twice")) {
      later([this] {
        observer_.on_socket_request(1, 5000, 1024);
        observer_.on_socket_request(2, 5001, 1025);
      });
    }
    if (has("chatter")) {
      later([this] {
        for (int i = 0; i < 100000; ++i) observer_.on_reboot();
        if (has("and_stop")) observer_.on_stopped();
        if (has("and_die")) die();
      });
    }
    return {};
  }
  Result<> attach_usb(size_t controller, const USBMassStorageDeviceConfiguration& device,
                      std::vector<UniqueFd> image) override {
    if (controller != 0) return fail(kUSBControllerNotFound, "", "there is one controller");
    if (image.empty() || !device.attached_scsi)
      return fail(kUSBDeviceInitializationFailure, "attachment", "only modern ones here");
    usb_.insert(device.uuid);
    return {};
  }
  void detach_usb(size_t, const UUID& uuid, Completion<> completion) override {
    if (usb_.erase(uuid) == 0) return completion(fail(kUSBDeviceNotFound, "", "it is not there"));
    completion({});
  }
  void change_usb_medium(size_t, const UUID& uuid, const std::optional<StorageDeviceAttachment>& medium,
                         std::vector<UniqueFd> image, Completion<> completion) override {
    if (!usb_.contains(uuid)) return completion(fail(kUSBDeviceNotFound, "", "it is not there"));
    if (medium && image.empty()) return completion(fail(ErrorCode::internal, "attachment", "is not open"));
    completion({});
  }
  Result<size_t> attach_storage(const StorageDeviceConfiguration&, std::vector<UniqueFd> image) override {
    if (image.empty()) return fail(ErrorCode::virtual_machine_limit_exceeded, "", "no files, no disks");
    const size_t number = storage_.add(std::move(image));
    if (has("lets_go_soon")) later([this, number] { observer_.on_storage_detached(number); });
    return number;
  }
  void detach_storage(size_t number, const StorageDeviceDetachOptions& options,
                      Completion<> completion) override {
    if (has("waits_for_ever")) return;
    if (has("keeps_disks") && !options.force)
      return completion(fail(ErrorCode::operation_cancelled, "", "it is mine"));
    storage_.remove(number);
    observer_.on_storage_detached(number);
    completion({});
  }
  Result<> pause() override {
    if (has("fail_pause")) return fail(ErrorCode::internal, "", "it does not want to");
    if (has("die_in_pause")) die();
    if (has("stop_in_pause")) observer_.on_stopped();
    if (has("error_in_pause")) observer_.on_error({ErrorCode::internal, "cpu", "it burns", ""});
    // Long enough for a second request to meet the state "pausing".
    ::usleep(20000);
    if (has("stop_in_pause") || has("error_in_pause")) return fail(ErrorCode::internal, "", "it is gone");
    return {};
  }
  Result<> resume() override { return {}; }
  Result<> request_stop() override {
    if (has("stop_on_request")) later([this] { observer_.on_stopped(); });
    return {};
  }
  void stop() override {
    if (has("hang_in_stop")) ::pause();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }
  std::string_view hypervisor() const override { return "fake"; }
  machine::NetworkControl& network(size_t index) override { return networks_.at(index); }
  machine::StorageControl& storage() override { return storage_; }
  // Once there are any, the balloon's statistics tell how many, and how many pressed or released something.
  // What has a descriptor gets "hello" there.
  Result<> set_network_attachment(size_t device, const std::optional<NetworkDeviceAttachment>& attachment,
                                  machine::Descriptors descriptors) override {
    networks_.at(device) = FakeNetwork(attachment ? forwards_of(*attachment) : std::vector<PortForward>());
    if (greet(descriptors, "attachment.file_handle") && has("fail_network"))
      observer_.on_network_error(device, {ErrorCode::network_error, "attachment", "it is torn", ""});
    return {};
  }
  void send_input(const InputEvent& event) override {
    ++input_events_;
    const auto* key = std::get_if<KeyEvent>(&event);
    const auto* pointer = std::get_if<PointerEvent>(&event);
    pressed_ += (key && key->pressed) || (pointer && pointer->buttons.left);
    released_ += (key && !key->pressed) || (pointer && !pointer->buttons.left);
  }
  Result<> set_share(size_t device, const std::optional<DirectoryShare>& share,
                     machine::Descriptors folders) override {
    if (device != 0) return fail(ErrorCode::not_supported, "", "there is one device");
    if (share && !folders.contains("share.directory"))
      return fail(ErrorCode::internal, "share", "is not open");
    return {};
  }
  // Port 7 echoes; nobody listens on others. A connection that is accepted is told its number.
  void connect_socket(uint32_t port, UniqueFd socket, std::chrono::milliseconds,
                      Completion<uint32_t> completion) override {
    if (port != 7) return completion(fail(ErrorCode::network_error, "", "nobody listens"));
    std::thread([socket = std::move(socket)] {
      char buffer[64];
      for (ssize_t count; (count = ::read(socket.get(), buffer, sizeof buffer)) > 0;)
        if (::write(socket.get(), buffer, static_cast<size_t>(count)) < 0) break;
    }).detach();
    completion(0x40000000u);
  }
  void answer_socket(uint64_t connection, UniqueFd socket, Completion<> completion) override {
    const std::string text =
        connection >= 3 ? "STATUS=up\nREADY=1\n" : fmt::format("connection {}", connection);
    // Whoever accepted may have closed already.
    if (socket) (void)!::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
    completion({});
    if (!socket && connection == 2) observer_.on_stopped();
    if (connection == 3 && has("ready_twice")) {
      later([this] {
        observer_.on_reboot();
        observer_.on_socket_request(4, 5000, config::kReadinessPort);
      });
    }
  }
  // A console's port is opened whenever something is attached to it: then that gets "hello".
  Result<> set_console_attachment(size_t device, size_t port, machine::Descriptors attachment,
                                  std::optional<uint64_t> opening) override {
    if (device != 0) return fail(ErrorCode::not_supported, "", "there is one device");
    if (opening) {
      if (*opening != openings_) return {};
      agent_ = std::make_unique<FakeAgent>(attachment.take("attachment.writing"));
      return {};
    }
    const UniqueFd out = attachment.take("attachment.writing");
    if (out && ::write(out.get(), "hello", 5) < 0) std::abort();
    openings_ += static_cast<bool>(out);
    observer_.on_console_port(device, port, openings_, static_cast<bool>(out));
    return {};
  }
  Result<> resize_console(size_t, size_t, uint16_t columns, uint16_t) override {
    return columns != 0 ? Result<>() : fail(ErrorCode::internal, "", "there is no room");
  }
  Result<> set_balloon_target(uint64_t memory_size) override {
    target_ = memory_size;
    return {};
  }
  Result<> reconfigure_display(size_t device, size_t scanout,
                               const VirtioGraphicsScanoutConfiguration& configuration) override {
    return displays_.show(device, scanout, configuration);
  }
  void balloon_statistics(Completion<MemoryBalloonStatistics> completion) override {
    MemoryBalloonStatistics statistics{.current_memory_size = target_, .free_memory = 4096};
    if (input_events_ != 0) {
      statistics.swapped_in = input_events_;
      statistics.major_faults = pressed_;
      statistics.minor_faults = released_;
    }
    completion(statistics);
  }

 private:
  bool has(std::string_view word) const {
    return words_.find(fmt::format(" {} ", word)) != std::string::npos;
  }
  static std::vector<PortForward> forwards_of(const NetworkDeviceAttachment& attachment) {
    const auto* nat = std::get_if<NATNetworkDeviceAttachment>(&attachment);
    return nat ? nat->port_forwards : std::vector<PortForward>();
  }
  static bool greet(machine::Descriptors& descriptors, const std::string& path) {
    const UniqueFd out = descriptors.take(path);
    if (out && ::write(out.get(), "hello", 5) < 0) std::abort();
    return static_cast<bool>(out);
  }
  [[noreturn]] static void die() {
    fmt::print(stderr, "these are my last words\n");
    std::fflush(stderr);
    ::signal(SIGSEGV, SIG_DFL);  // Sanitizers catch it.
    ::raise(SIGSEGV);
    std::abort();
  }
  template <class Function>
  void later(Function function) {
    workers_.emplace_back([function = std::move(function)] {
      ::usleep(20000);
      function();
    });
  }

  const std::string words_;
  machine::Descriptors descriptors_;
  machine::MachineObserver& observer_;
  std::vector<FakeNetwork> networks_;
  FakeDisplays displays_;
  FakeStorage storage_;
  std::set<UUID> usb_;
  std::unique_ptr<FakeAgent> agent_;
  uint64_t openings_ = 0;
  uint64_t target_ = 0;
  uint64_t input_events_ = 0, pressed_ = 0, released_ = 0;
  std::vector<std::thread> workers_;
};

}  // namespace
}  // namespace alcove

int main() {
  using namespace alcove;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit no_core{};
  ::setrlimit(RLIMIT_CORE, &no_core);
  return service::MachineService(
             UniqueFd(3),
             [](const VirtualMachineConfiguration& configuration, machine::Descriptors descriptors,
                machine::MachineObserver& observer) -> Result<std::unique_ptr<service::Guest>> {
               return std::make_unique<FakeGuest>(configuration, std::move(descriptors), observer);
             })
      .run();
}
