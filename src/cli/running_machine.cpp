#include "cli/running_machine.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <chrono>
#include <csignal>
#include <mutex>
#include <utility>
#include <vector>

namespace alcove::cli {

// Completions come on the machine's thread, perhaps when the RunningMachine is gone.
struct RunningMachine::Answers {
  const UniqueFd event{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::mutex mutex;
  size_t awaited = 0;
  std::vector<std::pair<Done, Result<>>> arrived;
};

RunningMachine::RunningMachine() : answers_(std::make_shared<Answers>()), ended_(eventfd(0, EFD_CLOEXEC)) {}

Result<std::unique_ptr<RunningMachine>> RunningMachine::create(
    const VirtualMachineConfiguration& configuration) {
  auto machine = VirtualMachine::create(configuration);
  if (!machine) return std::unexpected(machine.error());
  std::unique_ptr<RunningMachine> running(new RunningMachine);
  running->machine_ = std::move(*machine);
  const auto tell = [fd = running->ended_.get()](VirtualMachineState state) {
    if (state == VirtualMachineState::stopped || state == VirtualMachineState::error) eventfd_write(fd, 1);
  };
  running->observation_ = running->machine_->observe({.state_changed = tell});
  return running;
}

Completion<> RunningMachine::later(Done done) {
  const std::lock_guard lock(answers_->mutex);
  ++answers_->awaited;
  return [answers = answers_, done = std::move(done)](Result<> result) mutable {
    const std::lock_guard held(answers->mutex);
    answers->arrived.emplace_back(std::move(done), std::move(result));
    eventfd_write(answers->event.get(), 1);
  };
}

void RunningMachine::start(Done done) {
  machine_->start(later([this, done = std::move(done)](Result<> result) {
    if (!result) {
      start_error_ = result.error();
      eventfd_write(ended_.get(), 1);
    }
    done(std::move(result));
  }));
}
void RunningMachine::pause(Done done) {
  machine_->pause(later(std::move(done)));
}
void RunningMachine::resume(Done done) {
  machine_->resume(later(std::move(done)));
}
void RunningMachine::shutdown(std::chrono::milliseconds grace,
                              std::function<void(Result<ShutdownMeans>)> done) {
  const auto means = std::make_shared<Result<ShutdownMeans>>();
  auto answer = later([means, done = std::move(done)](const Result<>&) { done(*means); });
  machine_->shutdown(grace, [means, answer = std::move(answer)](Result<ShutdownMeans> result) mutable {
    *means = std::move(result);
    answer({});
  });
}
void RunningMachine::stop(Done done) {
  const pid_t process = machine_->process_id();
  if (machine_->can_stop() || process <= 0) return machine_->stop(later(std::move(done)));
  plug_is_pulled_ = true;
  ::kill(process, SIGKILL);
  later(std::move(done))({});
}

void RunningMachine::attach_usb(const USBMassStorageDeviceConfiguration& device, Done done) {
  const auto& controllers = machine_->usb_controllers();
  if (controllers.empty()) {
    return done(fail(kUSBControllerNotFound, "usb_controllers", "the machine has no USB controller",
                     "add one to the machine file: [[usb_controllers]] with type = \"xhci\""));
  }
  controllers.front()->attach(std::make_shared<USBMassStorageDevice>(device), later(std::move(done)));
}
void RunningMachine::detach_usb(const std::string& id, Done done) {
  std::vector<std::shared_ptr<USBDevice>> found;
  for (const USBController* controller : machine_->usb_controllers()) {
    for (auto& device : controller->usb_devices()) {
      if (!id.empty() && device->uuid().string().starts_with(id)) found.push_back(std::move(device));
    }
  }
  if (found.size() != 1) {
    return done(fail(kUSBDeviceNotFound, id,
                     found.empty() ? "no such USB device is plugged in" : "several USB devices begin so",
                     "`alcove usb list` shows them"));
  }
  found.front()->usb_controller()->detach(found.front(), later(std::move(done)));
}

void RunningMachine::connect(uint32_t port, std::function<void(Result<VirtioSocketConnection>)> done) {
  const auto& devices = machine_->socket_devices();
  if (devices.empty()) {
    return done(fail(ErrorCode::not_supported, "socket_devices", "the machine has no socket device",
                     "add one to the machine file: [[socket_devices]] with type = \"virtio_socket\""));
  }
  const auto made = std::make_shared<Result<VirtioSocketConnection>>();
  auto answer = later([made, done = std::move(done)](const Result<>&) { done(std::move(*made)); });
  devices.front()->connect(port,
                           [made, answer = std::move(answer)](Result<VirtioSocketConnection> result) mutable {
                             *made = std::move(result);
                             answer({});
                           });
}

std::optional<Error> RunningMachine::error() const {
  if (plug_is_pulled_) return std::nullopt;
  return start_error_ ? start_error_ : machine_->error();
}

void RunningMachine::post(std::function<void()> task) {
  later([task = std::move(task)](const Result<>&) { task(); })({});
}

int RunningMachine::answered() const {
  return answers_->event.get();
}

void RunningMachine::call_back() {
  eventfd_t count = 0;
  eventfd_read(answers_->event.get(), &count);
  std::vector<std::pair<Done, Result<>>> arrived;
  {
    const std::lock_guard lock(answers_->mutex);
    arrived.swap(answers_->arrived);
    answers_->awaited -= arrived.size();
  }
  for (auto& [done, result] : arrived) done(std::move(result));
}

void RunningMachine::finish() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (true) {
    call_back();
    {
      const std::lock_guard lock(answers_->mutex);
      if (answers_->awaited == 0) return;
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd wait{.fd = answered(), .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || poll(&wait, 1, static_cast<int>(left.count())) == 0) return;
  }
}

}  // namespace alcove::cli
