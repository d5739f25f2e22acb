// The VirtualMachine behind its handle. Three threads meet here:
// - callers, on any thread: check and change the state, register what is to be called;
// - the input and output thread: opens files, spawns the process, sends and receives;
// - the executor: applies what the process said, calls completions and observers.
#pragma once

#include <alcove/virtual_machine.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client/clipboard.h"
#include "client/consoles.h"
#include "client/devices.h"
#include "client/display.h"
#include "client/guest_notices.h"
#include "client/host_files.h"
#include "client/input_source.h"
#include "client/machine_process.h"
#include "client/observation.h"
#include "client/socket_bridges.h"
#include "client/socket_device.h"
#include "client/storage_device.h"
#include "client/thread_executor.h"
#include "client/usb_controller.h"
#include "exec/event_loop.h"

namespace alcove {

class VirtualMachine::Implementation final : public client::DeviceRequests,
                                             public client::InputTarget,
                                             public std::enable_shared_from_this<Implementation> {
 public:
  using Json = control::Json;
  using State = VirtualMachineState;

  Implementation(VirtualMachineConfiguration configuration, VirtualMachineOptions options,
                 std::vector<client::SerialPortFiles> serial_port_files,
                 std::vector<std::vector<client::LineFiles>> console_files,
                 std::vector<UniqueFd> disk_handles, std::vector<client::NetworkFiles> network_files,
                 const client::GraphicsFiles& graphics_files);

  void start(VirtualMachineStartOptions options, Completion<> completion);
  void pause(Completion<> completion);
  void resume(Completion<> completion);
  void stop(Completion<> completion);
  Result<> request_stop();
  void shutdown(std::chrono::milliseconds grace, Completion<ShutdownMeans> completion);
  Result<> wait_until_stopped() const;
  Observation observe(VirtualMachineObserver observer);
  // Ends everything; only queued completions may follow.
  void shut_down();

  State state() const;
  std::optional<Error> error() const;
  bool guest_is_ready() const;
  int process_id() const;
  std::string hypervisor() const;
  uint64_t resident_memory_size() const;
  std::chrono::nanoseconds processor_time() const;
  const VirtualMachineConfiguration& configuration() const { return configuration_; }
  const std::vector<client::SerialPortFiles>& serial_port_files() const { return serial_port_files_; }

  // A request by a live device: fails unless the machine runs or is paused.
  void request_for_device(Json request, Handler handler, std::vector<UniqueFd> descriptors) override;
  void post_for_device(std::move_only_function<void()> task) override { post(std::move(task)); }
  // As InputTarget has them, for input sources.
  uint64_t run_number() const override;
  Result<> send_input(const InputEvent& event, bool releases) override;
  template <class T>
  void complete(Completion<T> completion, Result<T> result) {
    post([completion = std::move(completion), result = std::move(result)]() mutable {
      if (completion) completion(std::move(result));
    });
  }

  client::StorageDevices storage;
  std::vector<std::unique_ptr<client::NetworkDeviceProxy>> networks;
  std::vector<std::unique_ptr<client::MemoryBalloonProxy>> balloons;
  std::vector<std::unique_ptr<client::GraphicsDeviceProxy>> graphics;
  std::vector<std::unique_ptr<client::SerialPortProxy>> serials;
  std::vector<std::unique_ptr<client::DirectorySharingProxy>> sharing;
  std::vector<std::unique_ptr<client::USBControllerProxy>> usb;
  std::vector<std::unique_ptr<client::SocketDeviceProxy>> sockets;
  std::vector<std::unique_ptr<client::ConsoleDeviceProxy>> consoles;
  std::unique_ptr<client::ClipboardProxy> clipboard;
  std::vector<NetworkDevice*> network_devices;
  std::vector<MemoryBalloonDevice*> memory_balloon_devices;
  std::vector<GraphicsDevice*> graphics_devices;
  std::vector<SerialPort*> serial_ports;
  std::vector<DirectorySharingDevice*> directory_sharing_devices;
  std::vector<USBController*> usb_controllers;
  std::vector<VirtioSocketDevice*> socket_devices;
  std::vector<ConsoleDevice*> console_devices;

 private:
  // Why the process is about to end, as far as it has been asked or has told.
  struct Ending {
    enum class Kind { stop_requested, guest_stopped, machine_failed, start_failed } kind;
    Error error = {};
  };
  using Handlers = std::map<uint64_t, Handler>;

  void make_devices(std::vector<client::NetworkFiles> network_files,
                    const client::GraphicsFiles& graphics_files);
  void make_consoles(std::vector<std::vector<client::LineFiles>> files);
  // Has desktops that follow an agent follow it.
  void arrange_displays();
  void make_displays(const client::GraphicsFiles& graphics_files);
  void post(std::move_only_function<void()> task) { executor_->post(std::move(task)); }
  // Calls function(observer) for each, later, on the executor.
  template <class Function>
  void notify(Function function);
  // The same, unless `due` says that it is going to be called for the same thing anyway.
  template <class Function>
  void notify_once(const std::shared_ptr<std::atomic<bool>>& due, Function function);
  // On the executor.
  template <class Function>
  void call_observers(const Function& function);
  void transition(State from, State through, State to, const char* name, Completion<> completion);

  // With mutex_ held; what they call back is posted.
  void set_state(State state);
  void request(Json request, Handler handler, std::vector<UniqueFd> descriptors = {});
  void fail_pending(const Error& error);
  void pull_plug();
  void complete_shutdowns(const Result<ShutdownMeans>& result);

  // On the input and output thread.
  void shutdown_is_due(uint64_t id);
  void launch(const VirtualMachineConfiguration& configuration, uint64_t id);
  Result<> open_consoles(const VirtualMachineConfiguration& configuration, machine::Descriptors& descriptors);
  Result<> open_networks(const VirtualMachineConfiguration& configuration,
                         const std::filesystem::path& program, machine::Descriptors& descriptors);
  Result<> spawn(const VirtualMachineConfiguration& configuration, uint64_t id);
  void process_gone();
  void serve_agent(uint64_t device, uint64_t port, uint64_t opening);
  void flush_input();
  // Posts what the machine's process said. As a guest has it say much, it is not listened to while the
  // executor is behind: bridges of sockets and readiness wait as long, too. Nobody on the executor waits for
  // a reply in vain, as all are told there.
  void post_from_process(std::move_only_function<void()> task);

  // On the executor.
  void receive(const Json& message);
  void receive_event(const std::string& event, const Json& message);
  void receive_device_event(const std::string& event, const Json& message);
  void console_port_changed(const Json& message);
  void storage_changed(const std::string& event, const Json& message);
  void forget_guest();
  void started(const Json& message);
  void guest_became_ready();
  void process_ended(const std::string& how);

  const VirtualMachineConfiguration configuration_;
  const VirtualMachineOptions options_;
  std::vector<client::SerialPortFiles> serial_port_files_;
  const std::vector<UniqueFd> disk_handles_;
  VirtualMachineConfiguration
      start_configuration_;  // With our own file descriptors in place of the caller's.
  std::shared_ptr<client::ThreadExecutor> own_executor_;  // None if the caller gave one.
  const std::shared_ptr<SerialExecutor> executor_;

  mutable std::mutex mutex_;                 // Guards what follows, up to the next remark.
  mutable std::condition_variable changed_;  // Of state_ and process_gone_.
  State state_ = State::stopped;
  bool closed_ = false;       // shut_down() has begun: nobody is called any more but pending completions.
  bool process_gone_ = true;  // There is no process, and none is being spawned.
  std::optional<Error> error_;
  std::optional<Ending> ending_;
  Completion<> start_completion_;  // Of the request under way; empty if there is none.
  Completion<> stop_completion_;
  std::map<uint64_t, Completion<ShutdownMeans>> shutdowns_;
  uint64_t next_id_ = 1;
  Handlers pending_;  // Requests that the process has not answered.
  pid_t process_id_ = 0;
  std::string hypervisor_;
  bool guest_is_ready_ = false;
  std::vector<std::weak_ptr<Observation::Record>> observers_;
  uint64_t run_number_ = 0;
  client::InputOutbox input_;  // Not empty: flush_input() is due.

  std::atomic<size_t> posted_from_process_ = 0;  // And not run.
  // A guest may say it again and again, without the process.
  std::atomic<bool> readiness_is_due_ = false;

  // Of the input and output thread alone.
  std::unique_ptr<client::MachineProcess> process_;
  std::unique_ptr<client::SocketBridges> bridges_;
  std::unique_ptr<client::GuestNotices> notices_;
  std::unique_ptr<exec::LoopThread> io_;  // Exists until shut_down() ends.
};

template <class Function>
void VirtualMachine::Implementation::notify(Function function) {
  post([self = shared_from_this(), function = std::move(function)] { self->call_observers(function); });
}

template <class Function>
void VirtualMachine::Implementation::notify_once(const std::shared_ptr<std::atomic<bool>>& due,
                                                 Function function) {
  if (due->exchange(true)) return;
  post([self = shared_from_this(), due, function = std::move(function)] {
    *due = false;
    self->call_observers(function);
  });
}

template <class Function>
void VirtualMachine::Implementation::call_observers(const Function& function) {
  std::vector<std::shared_ptr<Observation::Record>> records;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    std::erase_if(observers_, [](const auto& observer) { return observer.expired(); });
    for (const auto& observer : observers_) records.push_back(observer.lock());
  }
  for (const auto& record : records) {
    if (record) record->notify(function);
  }
}

}  // namespace alcove
