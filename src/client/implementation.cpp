#include "client/implementation.h"

#include <fmt/format.h>
#include <sys/epoll.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "client/blocked_signals.h"
#include "client/disk_handles.h"

namespace alcove {
namespace {

// How long a machine may take to write what it has under way before it is killed.
constexpr std::chrono::seconds kTimeToStop{10};
constexpr std::chrono::seconds kTimeToAbandonStart{1};

std::unexpected<Error> refused(std::string_view operation, VirtualMachineState state) {
  return fail(ErrorCode::invalid_virtual_machine_state, "",
              fmt::format("can't {} a machine that is {}", operation, to_string(state)));
}

// The configuration with the file descriptors that `ports` owns in place of the caller's, which may be
// closed.
VirtualMachineConfiguration with_own_handles(VirtualMachineConfiguration configuration,
                                             const std::vector<client::SerialPortFiles>& ports,
                                             const std::vector<std::vector<client::LineFiles>>& consoles,
                                             const std::vector<client::NetworkFiles>& networks) {
  const auto own = [](auto& attachment, const client::LineFiles& files) {
    if (!attachment || !std::holds_alternative<FileHandleSerialPortAttachment>(*attachment)) return;
    *attachment =
        FileHandleSerialPortAttachment{.reading = files.reading.get(), .writing = files.writing.get()};
  };
  for (size_t index = 0; index < ports.size(); ++index) {
    std::visit([&](auto& port) { own(port.attachment, ports[index]); }, configuration.serial_ports[index]);
  }
  for (size_t device = 0; device < consoles.size(); ++device) {
    auto& console = std::get<VirtioConsoleDeviceConfiguration>(configuration.console_devices[device]);
    for (size_t port = 0; port < consoles[device].size(); ++port)
      own(console.ports[port].attachment, consoles[device][port]);
  }
  for (size_t index = 0; index < networks.size(); ++index) {
    auto& attachment =
        std::get<VirtioNetworkDeviceConfiguration>(configuration.network_devices[index]).attachment;
    attachment = client::with_own_handle(*std::move(attachment), networks[index]);
  }
  return configuration;
}

}  // namespace

VirtualMachine::Implementation::Implementation(VirtualMachineConfiguration configuration,
                                               VirtualMachineOptions options,
                                               std::vector<client::SerialPortFiles> serial_port_files,
                                               std::vector<std::vector<client::LineFiles>> console_files,
                                               std::vector<UniqueFd> disk_handles,
                                               std::vector<client::NetworkFiles> network_files,
                                               const client::GraphicsFiles& graphics_files)
    : storage(*this, configuration.storage_devices),
      configuration_(std::move(configuration)),
      options_(std::move(options)),
      serial_port_files_(std::move(serial_port_files)),
      disk_handles_(std::move(disk_handles)),
      start_configuration_(
          with_own_handles(configuration_, serial_port_files_, console_files, network_files)),
      own_executor_(options_.executor ? nullptr : std::make_shared<client::ThreadExecutor>()),
      executor_(own_executor_ ? own_executor_ : options_.executor) {
  client::use_disk_handles(start_configuration_, disk_handles_);
  const client::BlockedSignals blocked;
  io_ = std::make_unique<exec::LoopThread>("alcove-machine");
  make_devices(std::move(network_files), graphics_files);
  make_consoles(std::move(console_files));
}

void VirtualMachine::Implementation::make_devices(std::vector<client::NetworkFiles> network_files,
                                                  const client::GraphicsFiles& graphics_files) {
  for (const auto& device : configuration_.network_devices) {
    networks.push_back(std::make_unique<client::NetworkDeviceProxy>(
        *this, networks.size(), std::get<VirtioNetworkDeviceConfiguration>(device),
        std::move(network_files[networks.size()]), options_.machine_program));
    network_devices.push_back(networks.back().get());
  }
  for (size_t index = 0; index < configuration_.memory_balloon_devices.size(); ++index) {
    balloons.push_back(std::make_unique<client::MemoryBalloonProxy>(*this, configuration_.memory_size));
    memory_balloon_devices.push_back(balloons.back().get());
  }
  make_displays(graphics_files);
  for (const client::SerialPortFiles& files : serial_port_files_) {
    serials.push_back(std::make_unique<client::SerialPortProxy>(files));
    serial_ports.push_back(serials.back().get());
  }
  for (const auto& device : configuration_.directory_sharing_devices) {
    sharing.push_back(std::make_unique<client::DirectorySharingProxy>(
        *this, sharing.size(), std::get<VirtioFileSystemDeviceConfiguration>(device)));
    directory_sharing_devices.push_back(sharing.back().get());
  }
  for (const auto& device : configuration_.socket_devices) {
    sockets.push_back(std::make_unique<client::SocketDeviceProxy>(
        *this, std::get<VirtioSocketDeviceConfiguration>(device).guest_cid));
    socket_devices.push_back(sockets.back().get());
  }
  const auto plugged = std::make_shared<client::PluggedDevices>();
  for (const auto& controller : configuration_.usb_controllers) {
    usb.push_back(std::make_unique<client::USBControllerProxy>(
        *this, plugged, usb.size(), std::get<XHCIControllerConfiguration>(controller)));
    usb_controllers.push_back(usb.back().get());
  }
}

void VirtualMachine::Implementation::make_consoles(std::vector<std::vector<client::LineFiles>> files) {
  for (size_t device = 0; device < files.size(); ++device) {
    const auto& configured =
        std::get<VirtioConsoleDeviceConfiguration>(configuration_.console_devices[device]).ports;
    consoles.push_back(std::make_unique<client::ConsoleDeviceProxy>());
    console_devices.push_back(consoles.back().get());
    for (size_t port = 0; port < files[device].size(); ++port) {
      consoles.back()->add(
          std::make_unique<client::ConsolePortProxy>(*this, client::ConsolePortProxy::Place{device, port},
                                                     configured[port], std::move(files[device][port])));
      if (!consoles.back()->proxies().back()->is_spice_agent()) continue;
      const auto& agent = std::get<SpiceAgentPortAttachment>(*configured[port].attachment);
      clipboard = std::make_unique<client::ClipboardProxy>(
          io_->loop(),
          ClipboardSharing{.to_guest = agent.clipboard_to_guest, .from_guest = agent.clipboard_from_guest},
          [this, due = std::make_shared<std::atomic<bool>>()] {
            notify_once(due, [this](const VirtualMachineObserver& observer) {
              if (observer.clipboard_changed) observer.clipboard_changed(*clipboard);
            });
          });
    }
  }
}

void VirtualMachine::Implementation::make_displays(const client::GraphicsFiles& graphics_files) {
  for (size_t device = 0; device < graphics_files.size(); ++device) {
    const auto& scanouts =
        std::get<VirtioGraphicsDeviceConfiguration>(configuration_.graphics_devices[device]).scanouts;
    graphics.push_back(std::make_unique<client::GraphicsDeviceProxy>());
    graphics_devices.push_back(graphics.back().get());
    for (size_t index = 0; index < scanouts.size(); ++index) {
      const auto& files = graphics_files[device][index];
      auto display = std::make_unique<client::GraphicsDisplayProxy>(
          *this, client::GraphicsDisplayProxy::Place{device, index}, scanouts[index], files,
          [this](GraphicsDisplay& reconfigured) {
            arrange_displays();
            notify([&reconfigured](const VirtualMachineObserver& observer) {
              if (observer.display_did_begin_reconfiguration)
                observer.display_did_begin_reconfiguration(reconfigured);
            });
          });
      // The loop ends before the devices do.
      io_->loop().call([&, proxy = display.get()] {
        const auto due = std::make_shared<std::atomic<bool>>();
        io_->loop().watch(files->changed(), EPOLLIN, [this, proxy, due](uint32_t) {
          if (!proxy->changed()) return;
          notify_once(due, [proxy](const VirtualMachineObserver& observer) {
            if (observer.display_did_end_reconfiguration) observer.display_did_end_reconfiguration(*proxy);
          });
        });
      });
      graphics.back()->add(std::move(display));
    }
  }
}

void VirtualMachine::Implementation::arrange_displays() {
  if (!clipboard) return;
  std::vector<DisplaySize> sizes;
  for (const auto& device : graphics) {
    for (const auto& display : device->proxies()) sizes.push_back(display->asked_size());
  }
  const std::lock_guard lock(mutex_);  // As long as it is not closed, there is the clipboard's loop.
  if (!closed_) clipboard->arrange(std::move(sizes));
}

VirtualMachineState VirtualMachine::Implementation::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::optional<Error> VirtualMachine::Implementation::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

bool VirtualMachine::Implementation::guest_is_ready() const {
  const std::lock_guard lock(mutex_);
  return guest_is_ready_;
}

int VirtualMachine::Implementation::process_id() const {
  const std::lock_guard lock(mutex_);
  return process_id_;
}

std::string VirtualMachine::Implementation::hypervisor() const {
  const std::lock_guard lock(mutex_);
  return hypervisor_;
}

uint64_t VirtualMachine::Implementation::resident_memory_size() const {
  const int pid = process_id();
  if (pid == 0) return 0;
  std::ifstream rollup(fmt::format("/proc/{}/smaps_rollup", pid));
  for (std::string name; rollup >> name;) {
    if (name != "Pss:") continue;
    uint64_t kibibytes = 0;
    rollup >> kibibytes;
    return kibibytes * 1024;
  }
  return 0;
}

std::chrono::nanoseconds VirtualMachine::Implementation::processor_time() const {
  const int pid = process_id();
  clockid_t clock{};
  timespec time{};
  if (pid == 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return {};
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

Observation VirtualMachine::Implementation::observe(VirtualMachineObserver observer) {
  auto record = std::make_shared<Observation::Record>(std::move(observer));
  const std::lock_guard lock(mutex_);
  observers_.push_back(record);
  return Observation(std::move(record));
}

void VirtualMachine::Implementation::set_state(State state) {
  if (state_ == state) return;
  state_ = state;
  changed_.notify_all();
  notify([state](const VirtualMachineObserver& observer) {
    if (observer.state_changed) observer.state_changed(state);
  });
}

Result<> VirtualMachine::Implementation::wait_until_stopped() const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return state_ == State::stopped || state_ == State::error; });
  if (error_) return std::unexpected(*error_);
  return {};
}

void VirtualMachine::Implementation::request(Json request, Handler handler,
                                             std::vector<UniqueFd> descriptors) {
  const uint64_t id = next_id_++;
  pending_.emplace(id, std::move(handler));
  request["id"] = id;
  io_->loop().post([this, request = std::move(request), descriptors = std::move(descriptors)]() mutable {
    if (process_) process_->send(std::move(request), std::move(descriptors));
  });
}

void VirtualMachine::Implementation::request_for_device(Json request, Handler handler,
                                                        std::vector<UniqueFd> descriptors) {
  const std::lock_guard lock(mutex_);
  const bool is_live = state_ == State::running || state_ == State::paused;
  if (is_live && !closed_)
    return this->request(std::move(request), std::move(handler), std::move(descriptors));
  post([handler = std::move(handler), error = refused("ask a device of", state_)]() mutable {
    handler(error);
  });
}

void VirtualMachine::Implementation::start(VirtualMachineStartOptions options, Completion<> completion) {
  const std::lock_guard lock(mutex_);
  if (state_ != State::stopped && state_ != State::error) {
    return complete<void>(std::move(completion), refused("start", state_));
  }
  VirtualMachineConfiguration configuration = start_configuration_;
  if (options.boot_loader) configuration.boot_loader = std::move(options.boot_loader);
  error_.reset();
  ending_.reset();
  process_gone_ = false;
  ++run_number_;
  start_completion_ = std::move(completion);
  set_state(State::starting);
  const uint64_t id = next_id_++;
  io_->loop().post([this, id, configuration = std::move(configuration)] { launch(configuration, id); });
}

void VirtualMachine::Implementation::transition(State from, State through, State to, const char* name,
                                                Completion<> completion) {
  const std::lock_guard lock(mutex_);
  if (state_ != from) return complete<void>(std::move(completion), refused(name, state_));
  set_state(through);
  request({{"request", name}},
          [this, from, through, to, completion = std::move(completion)](Result<Json> reply) mutable {
            {
              const std::lock_guard reply_lock(mutex_);
              // In another state the guest has stopped meanwhile, which is what counts.
              if (state_ == through) set_state(reply ? to : from);
            }
            Result<> result;
            if (!reply) result = std::unexpected(std::move(reply.error()));
            complete<void>(std::move(completion), std::move(result));
          });
}

void VirtualMachine::Implementation::pause(Completion<> completion) {
  transition(State::running, State::pausing, State::paused, "pause", std::move(completion));
}

void VirtualMachine::Implementation::resume(Completion<> completion) {
  transition(State::paused, State::resuming, State::running, "resume", std::move(completion));
}

void VirtualMachine::Implementation::stop(Completion<> completion) {
  const std::lock_guard lock(mutex_);
  if (state_ != State::running && state_ != State::paused) {
    return complete<void>(std::move(completion), refused("stop", state_));
  }
  stop_completion_ = std::move(completion);
  pull_plug();
}

void VirtualMachine::Implementation::pull_plug() {
  set_state(State::stopping);
  ending_ = Ending{Ending::Kind::stop_requested};
  request({{"request", "stop"}}, [](const Result<Json>&) {});
  io_->loop().post([this] {
    if (process_) process_->end_within(kTimeToStop);
  });
}

Result<> VirtualMachine::Implementation::request_stop() {
  const std::lock_guard lock(mutex_);
  if (state_ != State::running) return refused("request the stop of", state_);
  request({{"request", "request_stop"}}, [](const Result<Json>&) {});
  return {};
}

void VirtualMachine::Implementation::shutdown(std::chrono::milliseconds grace,
                                              Completion<ShutdownMeans> completion) {
  const std::lock_guard lock(mutex_);
  if (state_ != State::running && state_ != State::paused) {
    return complete<ShutdownMeans>(std::move(completion), refused("shut down", state_));
  }
  const uint64_t id = next_id_++;
  shutdowns_.emplace(id, std::move(completion));
  if (state_ == State::paused) return pull_plug();
  request({{"request", "request_stop"}}, [](const Result<Json>&) {});
  const auto deadline = exec::Clock::now() + std::max(grace, std::chrono::milliseconds(0));
  io_->loop().post(
      [this, id, deadline] { io_->loop().call_at(deadline, [this, id] { shutdown_is_due(id); }); });
}

void VirtualMachine::Implementation::shutdown_is_due(uint64_t id) {
  const std::lock_guard lock(mutex_);
  if (closed_ || !shutdowns_.contains(id)) return;
  if (state_ == State::running || state_ == State::paused) return pull_plug();
  // Another request is under way, or the end already: both are soon over.
  constexpr std::chrono::milliseconds kAgain{50};
  io_->loop().call_at(exec::Clock::now() + kAgain, [this, id] { shutdown_is_due(id); });
}

void VirtualMachine::Implementation::complete_shutdowns(const Result<ShutdownMeans>& result) {
  for (auto& [id, completion] : std::exchange(shutdowns_, {})) {
    complete<ShutdownMeans>(std::move(completion), result);
  }
}

void VirtualMachine::Implementation::fail_pending(const Error& error) {
  for (auto& [id, handler] : std::exchange(pending_, {})) {
    post([self = shared_from_this(), handler = std::move(handler), error]() mutable {
      handler(std::unexpected(error));
    });
  }
}

void VirtualMachine::Implementation::shut_down() {
  {
    std::unique_lock lock(mutex_);
    closed_ = true;
    observers_.clear();
    const Error cancelled{ErrorCode::operation_cancelled, "", "the VirtualMachine was destroyed", ""};
    if (start_completion_) complete<void>(std::move(start_completion_), std::unexpected(cancelled));
    if (stop_completion_) complete<void>(std::move(stop_completion_), std::unexpected(cancelled));
    complete_shutdowns(std::unexpected(cancelled));
    fail_pending(cancelled);
    const bool is_starting = state_ == State::starting;
    state_ = State::stopped;
    io_->loop().post([this, is_starting] {
      if (!process_) return;
      process_->set_reading(true);
      process_->send({{"request", "stop"}, {"id", 0}});
      process_->end_within(is_starting ? kTimeToAbandonStart : kTimeToStop);
    });
    changed_.wait(lock, [this] { return process_gone_; });
  }
  io_.reset();
  if (own_executor_) own_executor_->finish();
}

}  // namespace alcove
