// Spawning the machine's process, on the input and output thread.
#include <fmt/format.h>

#include "client/implementation.h"
#include "client/machine_program.h"
#include "client/named_descriptors.h"

namespace alcove {
namespace {

// Messages of the process that wait for the executor.
constexpr size_t kMostPosted = 1024;

}  // namespace

void VirtualMachine::Implementation::launch(const VirtualMachineConfiguration& configuration, uint64_t id) {
  Result<> spawned;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) spawned = fail(ErrorCode::operation_cancelled, "", "the VirtualMachine was destroyed");
  }
  if (spawned) spawned = spawn(configuration, id);
  if (spawned) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = Ending{Ending::Kind::start_failed, std::move(spawned.error())};
  }
  process_gone();
  post([self = shared_from_this()] { self->process_ended(""); });
}

Result<> VirtualMachine::Implementation::spawn(const VirtualMachineConfiguration& configuration,
                                               uint64_t id) {
  if (auto problems = configuration.validate(); !problems.empty()) {
    return std::unexpected(std::move(problems.front()));
  }
  auto program = client::find_machine_program(options_.machine_program);
  if (!program) return std::unexpected(std::move(program.error()));
  client::GraphicsFiles displays;
  for (const auto& device : graphics) {
    auto& of_device = displays.emplace_back();
    for (const auto& display : device->proxies()) of_device.push_back(display->files());
  }
  auto files = client::open_host_files(configuration, serial_port_files_, displays);
  if (!files) return std::unexpected(std::move(files.error()));
  auto bridges = client::SocketBridges::create(configuration, io_->loop());
  if (!bridges) return std::unexpected(std::move(bridges.error()));
  if (auto opened = open_consoles(configuration, *files); !opened) return opened;
  if (auto opened = open_networks(configuration, *program, *files); !opened) return opened;
  for (client::SerialPortFiles& port : serial_port_files_) port.log.clear();
  for (const auto& device : graphics) {
    for (const auto& display : device->proxies()) display->reset();
  }

  // The loop runs no longer than this object lives, so that `this` is there whenever it calls.
  auto process = client::MachineProcess::spawn(
      io_->loop(), *program, configuration.label.value_or(""),
      [this](Json message) {
        if (bridges_->take(message) || notices_->take(message)) return;
        // Readiness of before is told before it.
        if (control::text_of(message, "event") == "rebooted") readiness_is_due_ = false;
        post_from_process(
            [self = shared_from_this(), message = std::move(message)] { self->receive(message); });
      },
      [this](std::string how) {
        process_gone();
        post([self = shared_from_this(), how = std::move(how)] { self->process_ended(how); });
      });
  if (!process) return std::unexpected(std::move(process.error()));
  process_ = *std::move(process);
  bridges_ = *std::move(bridges);
  {
    const std::lock_guard lock(mutex_);
    process_id_ = process_->pid();
  }
  Json first = {{"request", "start"}, {"id", id}, {"configuration", config::to_tree(configuration)}};
  std::vector<UniqueFd> descriptors = client::add_descriptors(first, std::move(*files).take_all());
  process_->send(std::move(first), std::move(descriptors));
  // Nobody waits for its replies: no request of an application's has the id 0.
  const auto send = [this](Json request, std::vector<UniqueFd> own) {
    request["id"] = 0;
    process_->send(std::move(request), std::move(own));
  };
  notices_ = std::make_unique<client::GuestNotices>(io_->loop(), send, [this] {
    if (readiness_is_due_.exchange(true)) return;
    post([self = shared_from_this()] {
      self->readiness_is_due_ = false;
      self->guest_became_ready();
    });
  });
  bridges_->start(send);
  return {};
}

Result<> VirtualMachine::Implementation::open_consoles(const VirtualMachineConfiguration& configuration,
                                                       machine::Descriptors& descriptors) {
  for (size_t device = 0; device < consoles.size(); ++device) {
    const auto& ports =
        std::get<VirtioConsoleDeviceConfiguration>(configuration.console_devices[device]).ports;
    for (size_t port = 0; port < ports.size(); ++port) {
      const std::string where = fmt::format("console_devices[{}].ports[{}].attachment", device, port);
      const auto& proxy = *consoles[device]->proxies()[port];
      if (auto opened =
              client::open_line(ports[port].attachment, proxy.configured_files(), where, descriptors);
          !opened)
        return opened;
      if (proxy.is_spice_agent()) clipboard->reset();
    }
  }
  return {};
}

Result<> VirtualMachine::Implementation::open_networks(const VirtualMachineConfiguration& configuration,
                                                       const std::filesystem::path& program,
                                                       machine::Descriptors& descriptors) {
  for (size_t index = 0; index < networks.size(); ++index) {
    const auto& device = std::get<VirtioNetworkDeviceConfiguration>(configuration.network_devices[index]);
    auto opened = client::open_network(*device.attachment, networks[index]->configured_files(),
                                       {.mac_address = device.mac_address, .machine_program = program},
                                       fmt::format("network_devices[{}].attachment", index), descriptors);
    if (!opened) return opened;
  }
  return {};
}

// An agent for which there are no descriptors is not answered: nobody waits for that.
void VirtualMachine::Implementation::serve_agent(uint64_t device, uint64_t port, uint64_t opening) {
  // A guest may have opened it often while nobody looked.
  if (!process_ || !consoles[device]->proxies()[port]->is_open_as(opening)) return;
  auto socket = clipboard->connect();
  auto copy = socket ? client::duplicate(socket->get(), "attachment") : std::unexpected(socket.error());
  if (!copy) return clipboard->disconnect();
  machine::Descriptors attachment;
  attachment.add("attachment.reading", *std::move(socket));
  attachment.add("attachment.writing", *std::move(copy));
  Json request = {{"request", "set_console_attachment"},
                  {"id", 0},
                  {"device", device},
                  {"port", port},
                  {"opening", opening}};
  std::vector<UniqueFd> descriptors = client::add_descriptors(request, std::move(attachment).take_all());
  process_->send(std::move(request), std::move(descriptors));
}

void VirtualMachine::Implementation::post_from_process(std::move_only_function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;  // Nothing of it counts any more, and its end must not wait for the executor.
  }
  if (++posted_from_process_ >= kMostPosted && process_) process_->set_reading(false);
  post([self = shared_from_this(), task = std::move(task)]() mutable {
    if (--self->posted_from_process_ == kMostPosted / 2) {
      const std::lock_guard lock(self->mutex_);  // As long as it is not closed, there is the loop.
      if (!self->closed_) {
        self->io_->loop().post([implementation = self.get()] {
          if (implementation->process_) implementation->process_->set_reading(true);
        });
      }
    }
    task();
  });
}

void VirtualMachine::Implementation::process_gone() {
  process_.reset();
  bridges_.reset();
  notices_.reset();
  const std::lock_guard lock(mutex_);
  process_id_ = 0;
  process_gone_ = true;
  changed_.notify_all();
}

}  // namespace alcove
