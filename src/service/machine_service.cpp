#include "service/machine_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "control/input_messages.h"

namespace alcove::service {
namespace {

// An application that does not read gets no more than this of what can be left out.
constexpr size_t kLargestBacklog = 256 * 1024;
// How long the last messages may take to be read before the process ends without: an application reads
// nothing while it has much to do that was told before.
constexpr std::chrono::minutes kTimeToFlush{1};
// In milliseconds: a day.
constexpr uint64_t kLongestTimeout = 86400000;

std::unexpected<Error> unknown(std::string_view what) {
  return fail(ErrorCode::internal, "", fmt::format("the application asked for {}", what),
              "application and machine program are of different versions");
}

// The descriptors that came with a request, by the names that it gives them; nothing if these are fewer or
// more.
std::optional<machine::Descriptors> named_descriptors(const control::Json& request,
                                                      std::vector<UniqueFd> descriptors) {
  const std::vector<std::string> paths = control::texts_of(request, "descriptors");
  if (paths.size() != descriptors.size()) return std::nullopt;
  machine::Descriptors named;
  for (size_t index = 0; index < paths.size(); ++index)
    named.add(paths[index], std::move(descriptors[index]));
  return named;
}

}  // namespace

MachineService::MachineService(UniqueFd socket, GuestFactory factory)
    : factory_(std::move(factory)),
      channel_(
          loop_, std::move(socket),
          [this](const Json& request, std::vector<UniqueFd> descriptors) {
            receive(request, std::move(descriptors));
          },
          // The application is gone, and with it whoever wants this machine.
          [this](const Error&) { end(std::nullopt, 0); }) {
  channel_.on_drained([this] {
    send_addresses();
    send_console_ports();
  });
}

MachineService::~MachineService() = default;

int MachineService::run() {
  loop_.run();
  return status_;
}

void MachineService::on_stopped() {
  guest_ended_ = true;
  loop_.post([this] { end(Json{{"event", "stopped"}}, 0); });
}

void MachineService::on_error(Error error) {
  guest_ended_ = true;
  loop_.post([this, error = std::move(error)] {
    end(Json{{"event", "error"}, {"error", control::to_json(error)}}, 1);
  });
}

void MachineService::on_reboot() {
  loop_.post([this] {
    reboot_to_send_ = true;
    send_reboot();
  });
}

// A guest that does nothing but reboot can't fill our memory.
void MachineService::send_reboot() {
  if (!reboot_to_send_ || ended_ || channel_.backlog() >= kLargestBacklog) return;
  reboot_to_send_ = false;
  channel_.send({{"event", "rebooted"}});
}

void MachineService::on_addresses_changed(size_t network_device) {
  loop_.post([this, network_device] {
    if (ended_ || network_device >= addresses_to_send_.size()) return;
    addresses_to_send_[network_device] = true;
    send_addresses();
  });
}

// No guest brings this or what happens to disks about: it is told however far the application is behind.
void MachineService::on_network_error(size_t network_device, Error error) {
  loop_.post([this, network_device, error = std::move(error)] {
    if (ended_) return;
    channel_.send(
        {{"event", "network_error"}, {"device", network_device}, {"error", control::to_json(error)}});
  });
}

void MachineService::on_socket_request(uint64_t connection, uint32_t source_port, uint32_t port) {
  loop_.post([this, connection, source_port, port] {
    if (ended_ || !guest_) return;
    send_reboot();  // What comes of the guest since is told after it.
    if (reboot_to_send_ || channel_.backlog() >= kLargestBacklog)
      return guest_->answer_socket(connection, {}, [](const Result<>&) {});
    channel_.send({{"event", "socket_request"},
                   {"connection", connection},
                   {"source_port", source_port},
                   {"port", port}});
  });
}

// A guest may open and close as often as it likes: what counts is the latest, and whether there was more.
void MachineService::on_console_port(size_t device, size_t port, uint64_t openings, bool open) {
  bool first = false;
  {
    const std::lock_guard lock(console_ports_mutex_);
    first = console_ports_to_send_.empty();
    console_ports_to_send_[{device, port}] = {openings, open};
  }
  if (first) loop_.post([this] { send_console_ports(); });
}

void MachineService::send_console_ports() {
  send_reboot();
  if (reboot_to_send_ || ended_ || !guest_ || channel_.backlog() >= kLargestBacklog) return;
  const std::lock_guard lock(console_ports_mutex_);
  for (const auto& [place, state] : std::exchange(console_ports_to_send_, {}))
    channel_.send({{"event", "console_port"},
                   {"device", place.first},
                   {"port", place.second},
                   {"openings", state.openings},
                   {"open", state.open}});
}

void MachineService::on_storage_connected(size_t storage_device) {
  loop_.post([this, storage_device] {
    if (ended_) return;
    channel_.send({{"event", "storage_connected"}, {"device", storage_device}});
  });
}

void MachineService::on_storage_error(size_t storage_device, Error error) {
  loop_.post([this, storage_device, error = std::move(error)] {
    if (ended_) return;
    channel_.send(
        {{"event", "storage_error"}, {"device", storage_device}, {"error", control::to_json(error)}});
  });
}

void MachineService::on_storage_detached(size_t storage_device) {
  loop_.post([this, storage_device] {
    if (!ended_) channel_.send({{"event", "storage_detached"}, {"device", storage_device}});
  });
}

void MachineService::send_addresses() {
  send_reboot();
  if (reboot_to_send_ || ended_ || !guest_ || channel_.backlog() >= kLargestBacklog) return;
  for (size_t device = 0; device < addresses_to_send_.size(); ++device) {
    if (!addresses_to_send_[device]) continue;
    addresses_to_send_[device] = false;
    channel_.send(
        {{"event", "addresses"}, {"device", device}, {"addresses", guest_->network(device).addresses()}});
  }
}

void MachineService::receive(const Json& request, std::vector<UniqueFd> descriptors) {
  const auto name = control::text_of(request, "request");
  if (name == "input") return receive_input(request);
  const auto id = control::number_of(request, "id");
  if (ended_ || !name || !id) return;
  if (*name == "start" && !guest_) return start(*id, request, std::move(descriptors));
  if (*name == "stop") return end(Json{{"reply", *id}}, 0);
  if (!guest_) return reply(*id, Result<>(unknown(*name + " before the start")));
  if (*name == "change_usb_medium") return change_usb_medium(*id, request, std::move(descriptors));
  if (*name == "attach_storage") return attach_storage(*id, request, std::move(descriptors));
  if (*name == "attach_usb") return attach_usb(*id, request, std::move(descriptors));
  if (*name == "connect_socket") return connect_socket(*id, request, std::move(descriptors));
  if (*name == "answer_socket") return answer_socket(*id, request, std::move(descriptors));
  if (*name == "set_console_attachment") return set_console_attachment(*id, request, std::move(descriptors));
  if (*name == "set_network_attachment") return set_network_attachment(*id, request, std::move(descriptors));
  if (*name == "set_share") return set_share(*id, request, std::move(descriptors));
  serve(*name, *id, request);
}

void MachineService::receive_input(const Json& message) {
  if (ended_ || !guest_) return;
  for (const InputEvent& event : control::input_events_of(message)) guest_->send_input(event);
}

void MachineService::start(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors) {
  Result<> result = create_guest(request, std::move(descriptors));
  if (result) result = guest_->start();
  if (result) return answer(id, started_reply());
  end(Json{{"reply", id}, {"error", control::to_json(result.error())}}, 1);
}

Result<> MachineService::create_guest(const Json& request, std::vector<UniqueFd> descriptors) {
  std::vector<Error> errors;
  VirtualMachineConfiguration configuration =
      config::from_tree(control::member_of(request, "configuration"), errors);
  if (!errors.empty()) return std::unexpected(std::move(errors.front()));
  auto named = named_descriptors(request, std::move(descriptors));
  if (!named) return unknown("a start with too few or too many files");
  network_device_count_ = configuration.network_devices.size();
  addresses_to_send_.assign(network_device_count_, false);
  auto guest = factory_(std::move(configuration), *std::move(named), *this);
  if (!guest) return std::unexpected(std::move(guest.error()));
  guest_ = *std::move(guest);
  return {};
}

control::Json MachineService::started_reply() {
  Json network = Json::array();
  for (size_t device = 0; device < network_device_count_; ++device) network.push_back(network_state(device));
  return {{"hypervisor", guest_->hypervisor()}, {"network", std::move(network)}};
}

control::Json MachineService::network_state(size_t device) {
  Json forwards = Json::array();
  for (const PortForward& forward : guest_->network(device).forwards())
    forwards.push_back(config::to_tree(forward));
  return {{"port_forwards", std::move(forwards)}, {"addresses", guest_->network(device).addresses()}};
}

void MachineService::serve(const std::string& name, uint64_t id, const Json& request) {
  if (name == "pause") return reply(id, guest_->pause());
  if (name == "resume") return reply(id, guest_->resume());
  if (name == "request_stop") return reply(id, guest_->request_stop());
  if (name == "resize_console") return resize_console(id, request);
  if (name == "detach_storage") return detach_storage(id, request);
  if (name == "detach_usb") return detach_usb(id, request);
  if (name == "balloon_statistics") return balloon_statistics(id);
  if (name == "set_balloon_target") {
    return reply(id, guest_->set_balloon_target(control::number_of(request, "memory_size").value_or(0)));
  }
  if (name == "add_port_forward" || name == "remove_port_forward" || name == "network_statistics")
    return serve_network(name, id, request);
  if (name == "set_storage_limits" || name == "resize_storage" || name == "storage_statistics")
    return serve_storage(name, id, request);
  if (name == "reconfigure_display") return reconfigure_display(id, request);
  reply(id, Result<>(unknown(fmt::format("\"{}\"", name))));
}

void MachineService::serve_network(const std::string& name, uint64_t id, const Json& request) {
  const auto device = control::number_of(request, "device");
  if (!device || *device >= network_device_count_)
    return reply(id, Result<>(unknown("a network device that is not there")));
  if (name == "network_statistics")
    return answer(id, Json{{"statistics", control::to_json(guest_->network(*device).statistics())}});
  auto forward = config::port_forward_from_tree(control::member_of(request, "forward"), "forward");
  if (!forward) return reply(id, Result<>(std::unexpected(std::move(forward.error()))));
  if (name == "remove_port_forward") return reply(id, guest_->network(*device).remove_forward(*forward));
  auto added = guest_->network(*device).add_forward(*forward);
  if (!added) return reply(id, Result<>(std::unexpected(std::move(added.error()))));
  answer(id, Json{{"forward", config::to_tree(*added)}});
}

void MachineService::serve_storage(const std::string& name, uint64_t id, const Json& request) {
  const auto number = [&](const char* member) { return control::number_of(request, member).value_or(0); };
  const auto device = control::number_of(request, "device");
  if (!device) return reply(id, Result<>(unknown("a disk that it does not name")));
  machine::StorageControl& storage = guest_->storage();
  if (name == "resize_storage") return reply(id, storage.resize(*device, number("size")));
  if (name == "set_storage_limits") {
    return reply(id, storage.set_limits(*device, {.bytes_per_second = number("bytes_per_second"),
                                                  .operations_per_second = number("operations_per_second")}));
  }
  const auto statistics = storage.statistics(*device);
  if (!statistics) return reply(id, Result<>(std::unexpected(statistics.error())));
  answer(id, Json{{"statistics", control::to_json(*statistics)}});
}

void MachineService::reconfigure_display(uint64_t id, const Json& request) {
  const auto number = [&](const char* name) {
    const uint64_t value = control::number_of(request, name).value_or(0);
    return static_cast<uint32_t>(std::min<uint64_t>(value, UINT32_MAX));
  };
  reply(id, guest_->reconfigure_display(number("device"), number("display"),
                                        {.width = number("width"),
                                         .height = number("height"),
                                         .pixels_per_inch = number("pixels_per_inch")}));
}

void MachineService::attach_usb(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors) {
  auto device = config::usb_device_from_tree(control::member_of(request, "device"), "device");
  if (!device) return reply(id, Result<>(std::unexpected(std::move(device.error()))));
  const auto controller = control::number_of(request, "controller");
  if (!controller) return reply(id, Result<>(unknown("a USB device without a controller")));
  // The image of one that is refused is closed, and so unlocked, before anybody is told.
  Result<> attached = guest_->attach_usb(*controller, std::get<USBMassStorageDeviceConfiguration>(*device),
                                         std::move(descriptors));
  reply(id, std::move(attached));
}

void MachineService::set_share(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors) {
  const auto device = control::number_of(request, "device");
  auto folders = named_descriptors(request, std::move(descriptors));
  if (!device || !folders) return reply(id, Result<>(unknown("a share with too few or too many folders")));
  std::optional<DirectoryShare> share;
  if (request.contains("share")) {
    auto read = config::directory_share_from_tree(control::member_of(request, "share"), "share");
    if (!read) return reply(id, Result<>(std::unexpected(std::move(read.error()))));
    share = *std::move(read);
  }
  reply(id, guest_->set_share(*device, share, *std::move(folders)));
}

void MachineService::set_console_attachment(uint64_t id, const Json& request,
                                            std::vector<UniqueFd> descriptors) {
  const auto device = control::number_of(request, "device");
  const auto port = control::number_of(request, "port");
  auto attachment = named_descriptors(request, std::move(descriptors));
  if (!device || !port || !attachment)
    return reply(id, Result<>(unknown("an attachment with too few or too many files")));
  reply(id, guest_->set_console_attachment(*device, *port, *std::move(attachment),
                                           control::number_of(request, "opening")));
}

void MachineService::set_network_attachment(uint64_t id, const Json& request,
                                            std::vector<UniqueFd> descriptors) {
  const auto device = control::number_of(request, "device");
  auto named = named_descriptors(request, std::move(descriptors));
  if (!device || *device >= network_device_count_ || !named)
    return reply(id, Result<>(unknown("an attachment with too few or too many files")));
  std::optional<NetworkDeviceAttachment> attachment;
  if (request.contains("attachment")) {
    auto read = config::network_attachment_from_tree(control::member_of(request, "attachment"), "attachment");
    if (!read) return reply(id, Result<>(std::unexpected(std::move(read.error()))));
    attachment = *std::move(read);
  }
  auto attached = guest_->set_network_attachment(*device, attachment, *std::move(named));
  if (!attached) return reply(id, std::move(attached));
  answer(id, network_state(*device));
}

void MachineService::resize_console(uint64_t id, const Json& request) {
  const auto number = [&](const char* name) { return control::number_of(request, name).value_or(0); };
  reply(id, guest_->resize_console(number("device"), number("port"), static_cast<uint16_t>(number("columns")),
                                   static_cast<uint16_t>(number("rows"))));
}

void MachineService::detach_usb(uint64_t id, const Json& request) {
  const auto uuid = UUID::parse(control::text_of(request, "uuid").value_or(""));
  const auto controller = control::number_of(request, "controller");
  if (!controller || !uuid)
    return reply(id, Result<>(unknown("the end of a USB device that it does not name")));
  guest_->detach_usb(*controller, *uuid, reply_later(id));
}

void MachineService::attach_storage(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors) {
  const auto device = config::storage_device_from_tree(control::member_of(request, "device"), "device");
  if (!device) return reply(id, Result<>(std::unexpected(device.error())));
  const auto number = guest_->attach_storage(*device, std::move(descriptors));
  if (!number) return reply(id, Result<>(std::unexpected(number.error())));
  answer(id, Json{{"device", *number}});
}

void MachineService::detach_storage(uint64_t id, const Json& request) {
  const auto device = control::number_of(request, "device");
  if (!device) return reply(id, Result<>(unknown("the end of a disk that it does not name")));
  const Json& force = control::member_of(request, "force");
  const std::chrono::milliseconds timeout(
      std::min(control::number_of(request, "timeout").value_or(0), kLongestTimeout));
  guest_->detach_storage(*device, {.timeout = timeout, .force = force.is_boolean() && force.get<bool>()},
                         reply_later(id));
}

Completion<> MachineService::reply_later(uint64_t id) {
  return [this, id](Result<> result) {
    loop_.post([this, id, result = std::move(result)]() mutable {
      if (!ended_) reply(id, std::move(result));
    });
  };
}

void MachineService::change_usb_medium(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors) {
  const auto controller = control::number_of(request, "controller");
  const auto uuid = UUID::parse(control::text_of(request, "uuid").value_or(""));
  if (!controller || !uuid) return reply(id, Result<>(unknown("a disc for a drive that it does not name")));
  std::optional<StorageDeviceAttachment> medium;
  if (request.contains("device")) {
    auto device = config::usb_device_from_tree(control::member_of(request, "device"), "device");
    if (!device) return reply(id, Result<>(std::unexpected(std::move(device.error()))));
    medium = std::move(std::get<USBMassStorageDeviceConfiguration>(*device).attachment);
  }
  guest_->change_usb_medium(*controller, *uuid, medium, std::move(descriptors), reply_later(id));
}

void MachineService::connect_socket(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors) {
  const auto port = control::number_of(request, "port");
  const std::chrono::milliseconds timeout(
      std::min(control::number_of(request, "timeout").value_or(0), kLongestTimeout));
  if (!port || *port > UINT32_MAX || descriptors.size() != 1)
    return reply(id, Result<>(unknown("a connection without its port or socket")));
  guest_->connect_socket(static_cast<uint32_t>(*port), std::move(descriptors.front()), timeout,
                         [this, id](Result<uint32_t> connected) {
                           loop_.post([this, id, connected = std::move(connected)]() mutable {
                             if (ended_) return;
                             if (connected) return answer(id, Json{{"port", *connected}});
                             reply(id, Result<>(std::unexpected(std::move(connected.error()))));
                           });
                         });
}

void MachineService::answer_socket(uint64_t id, const Json& request, std::vector<UniqueFd> descriptors) {
  const auto connection = control::number_of(request, "connection");
  if (!connection || descriptors.size() > 1)
    return reply(id, Result<>(unknown("the answer to a connection that it does not name")));
  guest_->answer_socket(*connection, descriptors.empty() ? UniqueFd() : std::move(descriptors.front()),
                        reply_later(id));
}

void MachineService::balloon_statistics(uint64_t id) {
  guest_->balloon_statistics([this, id](Result<MemoryBalloonStatistics> statistics) {
    loop_.post([this, id, statistics = std::move(statistics)]() mutable {
      if (ended_) return;
      if (!statistics) return reply(id, Result<>(std::unexpected(std::move(statistics.error()))));
      answer(id, Json{{"statistics", control::to_json(*statistics)}});
    });
  });
}

void MachineService::reply(uint64_t id, Result<> result) {
  // The event that follows at once answers all requests, and says better why.
  if (guest_ && guest_ended_) return;
  Json message = {{"reply", id}};
  if (!result) message["error"] = control::to_json(result.error());
  channel_.send(std::move(message));
}

void MachineService::answer(uint64_t id, Json message) {
  message["reply"] = id;
  channel_.send(std::move(message));
}

void MachineService::end(std::optional<Json> last_message, int status) {
  if (std::exchange(ended_, true)) return;
  status_ = status;
  if (guest_) guest_->stop();
  guest_.reset();
  if (last_message) channel_.send(*std::move(last_message));
  channel_.flush(exec::Clock::now() + kTimeToFlush);
  loop_.stop();
}

}  // namespace alcove::service
