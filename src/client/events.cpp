// What the machine's process says, and its end, applied on the executor.
#include <fmt/format.h>

#include <utility>

#include "client/implementation.h"

namespace alcove {
namespace {

// A process that announced its end and does not come to it is killed.
constexpr std::chrono::seconds kTimeToEnd{10};

Error changed_meanwhile(std::string_view what) {
  return {ErrorCode::invalid_virtual_machine_state_transition, "",
          fmt::format("the machine {} while the request was under way", what), ""};
}

}  // namespace

void VirtualMachine::Implementation::receive(const Json& message) {
  if (const auto event = control::text_of(message, "event")) return receive_event(*event, message);
  const auto id = control::number_of(message, "reply");
  if (!id) return;
  Handler handler;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    if (state_ == State::starting && !ending_) return started(message);
    const auto found = pending_.find(*id);
    if (found == pending_.end()) return;
    handler = std::move(found->second);
    pending_.erase(found);
  }
  if (message.contains("error")) return handler(std::unexpected(control::error_from_json(message["error"])));
  handler(message);
}

// With mutex_ held: the process's first reply.
void VirtualMachine::Implementation::started(const Json& message) {
  if (message.contains("error")) {
    // start() completes when the process has ended, and has let go of its files.
    ending_ = Ending{Ending::Kind::start_failed, control::error_from_json(message["error"])};
    io_->loop().post([this] {
      if (process_) process_->end_within(kTimeToEnd);
    });
    return;
  }
  hypervisor_ = control::text_of(message, "hypervisor").value_or("");
  const Json& devices = control::member_of(message, "network");
  for (size_t index = 0; devices.is_array() && index < networks.size() && index < devices.size(); ++index) {
    networks[index]->set_state(devices[index]);
  }
  for (const auto& balloon : balloons) balloon->reset();
  forget_guest();
  set_state(State::running);
  complete<void>(std::exchange(start_completion_, {}), {});
}

// What devices were given at run time is gone with the machine that had it.
void VirtualMachine::Implementation::forget_guest() {
  for (const auto& controller : usb) controller->clear();
  for (const auto& controller : usb) controller->reset();
  for (const auto& device : sharing) device->reset();
  storage.reset();
  for (const auto& device : networks) device->reset();
  for (const auto& device : consoles) {
    for (const auto& port : device->proxies()) port->reset();
  }
}

void VirtualMachine::Implementation::receive_event(const std::string& event, const Json& message) {
  if (event == "rebooted") {
    {
      const std::lock_guard lock(mutex_);
      guest_is_ready_ = false;
    }
    return notify([](const VirtualMachineObserver& observer) {
      if (observer.guest_did_reboot) observer.guest_did_reboot();
    });
  }
  if (event == "socket_request" && !sockets.empty()) {
    const auto number = [&](const char* name) { return control::number_of(message, name).value_or(0); };
    return sockets.front()->decide(number("connection"), static_cast<uint32_t>(number("source_port")),
                                   static_cast<uint32_t>(number("port")));
  }
  if (event != "stopped" && event != "error") return receive_device_event(event, message);
  const std::lock_guard lock(mutex_);
  if (closed_ || ending_) return;
  if (event == "stopped") {
    ending_ = Ending{Ending::Kind::guest_stopped};
    fail_pending(changed_meanwhile("stopped"));
  } else {
    ending_ =
        Ending{Ending::Kind::machine_failed, control::error_from_json(control::member_of(message, "error"))};
    fail_pending(changed_meanwhile("failed"));
  }
  if (state_ != State::starting) set_state(State::stopping);
  io_->loop().post([this] {
    if (process_) process_->end_within(kTimeToEnd);
  });
}

void VirtualMachine::Implementation::guest_became_ready() {
  {
    const std::lock_guard lock(mutex_);
    const bool runs = state_ != State::stopped && state_ != State::error && state_ != State::starting;
    if (closed_ || !runs) return;
    guest_is_ready_ = true;
  }
  notify([](const VirtualMachineObserver& observer) {
    if (observer.guest_did_become_ready) observer.guest_did_become_ready();
  });
}

void VirtualMachine::Implementation::console_port_changed(const Json& message) {
  const uint64_t device = control::number_of(message, "device").value_or(consoles.size());
  if (device >= consoles.size()) return;
  const auto& ports = consoles[device]->proxies();
  const uint64_t index = control::number_of(message, "port").value_or(ports.size());
  if (index >= ports.size()) return;
  client::ConsolePortProxy& port = *ports[index];
  const Json& told = control::member_of(message, "open");
  const bool open = told.is_boolean() && told.get<bool>();
  const uint64_t openings = control::number_of(message, "openings").value_or(0);
  const std::vector<bool> changes = port.set_open(open, openings);
  if (changes.empty()) return;
  if (port.is_spice_agent()) {
    const std::lock_guard lock(mutex_);  // As long as it is not closed, there is the loop.
    if (closed_) return;
    io_->loop().post([this, device, index, open, openings] {
      clipboard->disconnect();
      if (open) serve_agent(device, index, openings);
    });
  }
  for (const bool opened : changes) {
    notify([&port, opened](const VirtualMachineObserver& observer) {
      const auto& call = opened ? observer.console_port_did_open : observer.console_port_did_close;
      if (call) call(port);
    });
  }
}

void VirtualMachine::Implementation::storage_changed(const std::string& event, const Json& message) {
  const auto number = control::number_of(message, "device");
  if (!number) return;
  // As long as somebody is told of it.
  const std::shared_ptr<StorageDevice> device =
      event == "storage_detached" ? storage.detached(*number) : storage.find(*number);
  if (!device) return;
  if (event == "storage_error") {
    const Error error = control::error_from_json(control::member_of(message, "error"));
    return notify([device, error](const VirtualMachineObserver& observer) {
      if (observer.storage_attachment_did_encounter_error)
        observer.storage_attachment_did_encounter_error(*device, error);
    });
  }
  notify([device, is_end = event == "storage_detached"](const VirtualMachineObserver& observer) {
    const auto& call =
        is_end ? observer.storage_device_was_detached : observer.storage_attachment_was_connected;
    if (call) call(*device);
  });
}

void VirtualMachine::Implementation::receive_device_event(const std::string& event, const Json& message) {
  if (event == "console_port") return console_port_changed(message);
  const auto index = control::number_of(message, "device");
  if (event.starts_with("storage_")) return storage_changed(event, message);
  if (!index || *index >= networks.size()) return;
  client::NetworkDeviceProxy& device = *networks[*index];
  if (event == "addresses") {
    device.set_addresses(control::texts_of(message, "addresses"));
    notify([&device](const VirtualMachineObserver& observer) {
      if (observer.network_addresses_changed) observer.network_addresses_changed(device);
    });
  } else if (event == "network_error") {
    const Error error = control::error_from_json(control::member_of(message, "error"));
    device.disconnected();
    notify([&device, error](const VirtualMachineObserver& observer) {
      if (observer.network_attachment_was_disconnected)
        observer.network_attachment_was_disconnected(device, error);
    });
  }
}

void VirtualMachine::Implementation::process_ended(const std::string& how) {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  const Ending ending =
      std::exchange(ending_, std::nullopt)
          .value_or(Ending{Ending::Kind::machine_failed,
                           {ErrorCode::internal, "", fmt::format("the machine's process {}", how),
                            "what the guest had not flushed to its disks is lost"}});
  using Kind = Ending::Kind;
  hypervisor_.clear();
  guest_is_ready_ = false;
  for (const auto& network : networks) network->set_state({});
  forget_guest();
  if (ending.kind == Kind::machine_failed) error_ = ending.error;
  set_state(ending.kind == Kind::machine_failed ? State::error : State::stopped);

  if (start_completion_) {
    const bool is_its_failure = ending.kind == Kind::start_failed || ending.kind == Kind::machine_failed;
    complete<void>(std::exchange(start_completion_, {}),
                   std::unexpected(is_its_failure ? ending.error : changed_meanwhile("stopped")));
  }
  if (stop_completion_) complete<void>(std::exchange(stop_completion_, {}), {});
  if (ending.kind == Kind::machine_failed) {
    complete_shutdowns(std::unexpected(ending.error));
  } else {
    complete_shutdowns(ending.kind == Kind::guest_stopped ? ShutdownMeans::power_button
                                                          : ShutdownMeans::stop);
  }
  fail_pending(changed_meanwhile(ending.kind == Kind::machine_failed ? "failed" : "stopped"));
  if (ending.kind == Kind::guest_stopped) {
    notify([](const VirtualMachineObserver& observer) {
      if (observer.guest_did_stop) observer.guest_did_stop();
    });
  } else if (ending.kind == Kind::machine_failed) {
    notify([error = ending.error](const VirtualMachineObserver& observer) {
      if (observer.did_stop_with_error) observer.did_stop_with_error(error);
    });
  }
}

}  // namespace alcove
