// The background process of a machine that `alcove start` started.
#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <list>
#include <memory>

#include "cli/commands.h"
#include "cli/control.h"
#include "cli/event_stream.h"
#include "cli/guest_console.h"
#include "cli/output.h"
#include "cli/running_machine.h"
#include "cli/statistics.h"

namespace alcove::cli {

namespace {

// 0 if it has no such number.
uint64_t number_of(const nlohmann::json& request, const char* key) {
  const auto found = request.find(key);
  return found != request.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

class Supervisor {
 public:
  Supervisor(UniqueFd listener, RunningMachine& running, GuestConsole& console)
      : listener_(std::move(listener)),
        running_(running),
        console_(console),
        events_(running.machine().observe(
            observe_events([this](nlohmann::json event) { queue_event(std::move(event)); }))) {}

  // Starts the machine and serves until it has ended. `started` is called with how that went.
  void serve(int signals, RunningMachine::Done started);

 private:
  struct Client {
    uint64_t id;
    UniqueFd socket;
    bool is_console = false;
    bool wants_events = false;
    std::string received;  // Of a request that is not complete.
    bool gone = false;
    InputSource keyboard;  // Releases what the client held when it goes.
    std::unique_ptr<RemoteView> view;
  };
  void accept_client();
  void receive(Client& client);
  void answer(Client& client, const nlohmann::json& request);
  void reply(Client& client, const Result<>& result);
  RunningMachine::Done reply_later(const Client& client);
  static Result<> press(Client& client, const nlohmann::json& request);
  void shut_down(const Client& client, const nlohmann::json& request);
  void connect(const Client& client, const nlohmann::json& request);
  void change_usb(Client& client, const nlohmann::json& request);
  void queue_event(nlohmann::json event);  // On the machine's executor.
  void tell(const nlohmann::json& event);
  void change_storage(Client& client, const std::string& command, const nlohmann::json& request);
  void attach_storage(Client& client, const nlohmann::json& request);
  void send_statistics(const Client& client);
  void attach_network(Client& client, const nlohmann::json& request);
  void open_console(Client& client);
  void open_view(Client& client, const nlohmann::json& request);
  void open_window(Client& client, size_t display);
  void send_screenshot(Client& client, const nlohmann::json& request);
  void show(std::string_view text);
  void end(int signals);

  UniqueFd listener_;
  RunningMachine& running_;
  GuestConsole& console_;
  std::list<Client> clients_;
  std::vector<std::unique_ptr<WindowView>> windows_;
  uint64_t next_id_ = 0;
  bool asked_to_stop_ = false;
  std::atomic<size_t> waiting_events_ = 0;
  std::atomic<bool> events_are_lost_ = false;
  Observation events_;  // Ends first: nobody is told any more.
};

void Supervisor::serve(int signals, RunningMachine::Done started) {
  running_.start([this, started = std::move(started)](Result<> result) {
    console_.close_machine_ends();
    started(std::move(result));
  });
  bool ended = false;
  while (!ended) {
    std::vector<pollfd> polls = {
        {.fd = listener_.get(), .events = POLLIN, .revents = 0},
        {.fd = running_.ended(), .events = POLLIN, .revents = 0},
        {.fd = console_.output(), .events = POLLIN, .revents = 0},
        {.fd = console_.has_unwritten() ? console_.input() : -1, .events = POLLOUT, .revents = 0},
        {.fd = signals, .events = POLLIN, .revents = 0},
        {.fd = running_.answered(), .events = POLLIN, .revents = 0}};
    const size_t fixed = polls.size();
    for (const Client& client : clients_)
      polls.push_back({.fd = client.socket.get(), .events = POLLIN, .revents = 0});
    if (poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) return;

    if (polls[2].revents) show(console_.read());
    if (polls[3].revents) console_.flush();
    if (polls[4].revents & POLLIN) end(signals);
    if (polls[5].revents & POLLIN) running_.call_back();
    size_t i = fixed;
    for (Client& client : clients_) {
      if (polls[i++].revents) receive(client);
    }
    if (polls[0].revents & POLLIN) accept_client();
    clients_.remove_if([](const Client& client) { return client.gone; });
    ended = polls[1].revents & POLLIN;
  }
  show(console_.read());
  running_.finish();
}

void Supervisor::accept_client() {
  constexpr size_t kMaximumClients = 64;
  UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket || clients_.size() >= kMaximumClients) return;
  // A client that does not read must not hold up the machine's supervisor.
  const timeval limit{.tv_sec = 1, .tv_usec = 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  clients_.push_back({.id = next_id_++,
                      .socket = std::move(socket),
                      .is_console = false,
                      .wants_events = false,
                      .received = {},
                      .gone = false,
                      .keyboard = running_.machine().open_input_source(),
                      .view = nullptr});
}

void Supervisor::receive(Client& client) {
  std::array<char, 4096> buffer{};
  const ssize_t count = recv(client.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (count <= 0) {
    client.gone = true;
    return;
  }
  const std::string_view bytes(buffer.data(), static_cast<size_t>(count));
  if (client.is_console) return console_.write(bytes);
  client.received += bytes;
  const size_t end = client.received.find('\n');
  constexpr size_t kMaximumRequest = 65536;
  if (end == std::string::npos) {
    client.gone = client.received.size() > kMaximumRequest;
    return;
  }
  const auto request = nlohmann::json::parse(client.received.substr(0, end), nullptr, false);
  client.received.erase(0, end + 1);
  answer(client, request);
}

void Supervisor::answer(Client& client, const nlohmann::json& request) {
  const auto found = request.is_object() ? request.find("command") : request.end();
  const std::string command = found != request.end() && found->is_string() ? found->get<std::string>() : "";
  if (command == "info") {
    if (!send_line(client.socket.get(), running_.describe())) client.gone = true;
  } else if (command == "pause") {
    running_.pause(reply_later(client));
  } else if (command == "resume") {
    running_.resume(reply_later(client));
  } else if (command == "stop") {
    running_.stop(reply_later(client));
  } else if (command == "shutdown") {
    shut_down(client, request);
  } else if (command == "view") {
    open_view(client, request);
  } else if (command == "screenshot") {
    send_screenshot(client, request);
  } else if (command == "keys") {
    reply(client, press(client, request));
  } else if (command == "attach_usb") {
    auto device = parse_usb_disk("", request.value("device", ""));
    if (!device) return reply(client, std::unexpected(device.error()));
    running_.attach_usb(*device, reply_later(client));
  } else if (command == "change_usb") {
    change_usb(client, request);
  } else if (command == "detach_usb") {
    running_.detach_usb(request.value("id", ""), reply_later(client));
  } else if (command == "attach_storage") {
    attach_storage(client, request);
  } else if (command == "resize_storage" || command == "limit_storage" || command == "detach_storage") {
    change_storage(client, command, request);
  } else if (command == "statistics") {
    send_statistics(client);
  } else if (command == "events") {
    reply(client, {});
    client.wants_events = true;
  } else if (command == "attach_network") {
    attach_network(client, request);
  } else if (command == "connect") {
    connect(client, request);
  } else if (command == "console") {
    open_console(client);
  } else {
    reply(client, fail(ErrorCode::not_supported, "command", "there is no such command"));
  }
}

void Supervisor::reply(Client& client, const Result<>& result) {
  const nlohmann::json message = result ? nlohmann::json{{"state", to_string(running_.machine().state())}}
                                        : nlohmann::json{{"error", to_json(result.error())}};
  if (!send_line(client.socket.get(), message)) client.gone = true;
}

// The client may have gone by then.
RunningMachine::Done Supervisor::reply_later(const Client& client) {
  return [this, id = client.id](const Result<>& result) {
    const auto asker = std::ranges::find(clients_, id, &Client::id);
    if (asker != clients_.end()) reply(*asker, result);
  };
}

// {"keys": [[usage, pressed]…]}
Result<> Supervisor::press(Client& client, const nlohmann::json& request) {
  const auto keys = request.find("keys");
  if (keys == request.end() || !keys->is_array()) return fail(ErrorCode::internal, "keys", "is no list");
  for (const auto& key : *keys) {
    const bool is_key =
        key.is_array() && key.size() == 2 && key[0].is_number_unsigned() && key[1].is_boolean();
    if (!is_key) return fail(ErrorCode::internal, "keys", "has an element that is no key");
    auto sent =
        client.keyboard.send(KeyEvent{.key = static_cast<Key>(key[0].get<uint16_t>()), .pressed = key[1]});
    if (!sent) return sent;
  }
  return {};
}

void Supervisor::shut_down(const Client& client, const nlohmann::json& request) {
  const auto grace = static_cast<uint32_t>(number_of(request, "grace"));
  running_.shutdown(std::chrono::seconds(grace), [this, id = client.id](const Result<ShutdownMeans>& means) {
    const auto asker = std::ranges::find(clients_, id, &Client::id);
    if (asker == clients_.end()) return;
    if (!means) return reply(*asker, std::unexpected(means.error()));
    const nlohmann::json message = {{"state", to_string(running_.machine().state())},
                                    {"means", to_string(*means)}};
    if (!send_line(asker->socket.get(), message)) asker->gone = true;
  });
}

void Supervisor::attach_network(Client& client, const nlohmann::json& request) {
  auto attachment = parse_attachment(request.value("attachment", ""));
  if (!attachment) return reply(client, std::unexpected(attachment.error()));
  if (*attachment) set_host_name(**attachment, running_.machine().configuration().label.value_or(""));
  running_.attach_network(number_of(request, "device"), *std::move(attachment), reply_later(client));
}

void Supervisor::connect(const Client& client, const nlohmann::json& request) {
  const auto port = request.find("port");
  const bool is_port = port != request.end() && port->is_number_unsigned() && *port <= UINT32_MAX;
  running_.connect(is_port ? port->get<uint32_t>() : 0,
                   [this, id = client.id](const Result<VirtioSocketConnection>& connection) {
                     const auto asker = std::ranges::find(clients_, id, &Client::id);
                     if (asker == clients_.end()) return;
                     if (!connection) return reply(*asker, std::unexpected(connection.error()));
                     const std::string line = "{\"state\": \"running\"}\n";
                     if (!send_descriptor(asker->socket.get(), connection->file_descriptor(), line))
                       asker->gone = true;
                   });
}

void Supervisor::change_usb(Client& client, const nlohmann::json& request) {
  std::optional<StorageDeviceAttachment> medium;
  if (request.contains("device")) {
    auto device = parse_usb_disk("", request.value("device", "") + ",cdrom");
    if (!device) return reply(client, std::unexpected(device.error()));
    medium = std::move(device->attachment);
  }
  running_.change_usb(request.value("id", ""), std::move(medium), reply_later(client));
}

void Supervisor::attach_storage(Client& client, const nlohmann::json& request) {
  const std::string text = request.value("device", "");
  const auto device = request.value("nvme", false) ? parse_nvme("", text) : parse_disk("", text);
  if (!device) return reply(client, std::unexpected(device.error()));
  running_.attach_storage(*device, [this, id = client.id](const Result<size_t>& number) {
    const auto asker = std::ranges::find(clients_, id, &Client::id);
    if (asker == clients_.end()) return;
    if (!number) return reply(*asker, std::unexpected(number.error()));
    if (!send_line(asker->socket.get(), {{"disk", *number}})) asker->gone = true;
  });
}

void Supervisor::change_storage(Client& client, const std::string& command, const nlohmann::json& request) {
  if (command == "detach_storage") {
    constexpr uint64_t kDay = 86400;
    const auto timeout = std::chrono::seconds(std::min(number_of(request, "timeout"), kDay));
    return running_.detach_storage(number_of(request, "disk"),
                                   {.timeout = timeout, .force = request.value("force", false)},
                                   reply_later(client));
  }
  if (command == "resize_storage")
    return running_.resize_storage(number_of(request, "disk"), number_of(request, "size"),
                                   reply_later(client));
  running_.limit_storage(number_of(request, "disk"),
                         {.bytes_per_second = number_of(request, "bytes_per_second"),
                          .operations_per_second = number_of(request, "operations_per_second")},
                         reply_later(client));
}

void Supervisor::send_statistics(const Client& client) {
  collect_statistics(running_, [this, id = client.id](const nlohmann::json& statistics) {
    const auto asker = std::ranges::find(clients_, id, &Client::id);
    if (asker != clients_.end() && !send_line(asker->socket.get(), statistics)) asker->gone = true;
  });
}

// A guest may make them faster than they can be sent.
void Supervisor::queue_event(nlohmann::json event) {
  constexpr size_t kMostWaiting = 4096;
  if (waiting_events_ >= kMostWaiting) {
    events_are_lost_ = true;
    return;
  }
  ++waiting_events_;
  running_.post([this, event = std::move(event)] {
    --waiting_events_;
    tell(event);
  });
}

// Whoever does not read loses the connection: a stream with gaps would lie.
void Supervisor::tell(const nlohmann::json& event) {
  const bool is_lost = events_are_lost_.exchange(false);
  const std::string line = event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  for (Client& client : clients_) {
    if (!client.wants_events || client.gone) continue;
    const ssize_t sent = send(client.socket.get(), line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    client.gone = is_lost || sent != static_cast<ssize_t>(line.size());
  }
}

void Supervisor::open_console(Client& client) {
  if (!console_.is_attached()) {
    return reply(client,
                 fail(ErrorCode::not_supported, "serial_ports[0].attachment",
                      "the console is attached elsewhere", "remove the attachment from the machine file"));
  }
  client.is_console = true;
  reply(client, {});
  const auto& ports = running_.machine().serial_ports();
  const std::string log = ports.empty() ? "" : ports[0]->log();
  if (send(client.socket.get(), log.data(), log.size(), MSG_NOSIGNAL) < 0) client.gone = true;
  console_.write(client.received);
  client.received.clear();
}

void Supervisor::open_view(Client& client, const nlohmann::json& request) {
  const auto named = request.find("kind");
  const std::string kind = named != request.end() && named->is_string() ? named->get<std::string>() : "";
  if (kind == "window") return open_window(client, number_of(request, "display"));
  auto view = RemoteView::create(
      running_.machine(), {.protocol = kind == "vnc" ? RemoteViewProtocol::vnc : RemoteViewProtocol::web,
                           .display = number_of(request, "display"),
                           .port = static_cast<uint16_t>(number_of(request, "port"))});
  if (!view) return reply(client, std::unexpected(view.error()));
  client.view = *std::move(view);
  if (!send_line(client.socket.get(), {{"address", client.view->address()}})) client.gone = true;
}

// The connection becomes the window's, which begins once its program has seen the reply.
void Supervisor::open_window(Client& client, size_t display) {
  std::erase_if(windows_, [](const auto& window) { return !window->is_open(); });
  auto window = WindowView::attach(running_.machine(), fcntl(client.socket.get(), F_DUPFD_CLOEXEC, 0),
                                   {.display = display});
  reply(client, window ? Result<>() : std::unexpected(window.error()));
  if (!window || client.gone) return;
  windows_.push_back(*std::move(window));
  client.gone = true;
}

// The reply, then the file's bytes, then the end of the connection.
void Supervisor::send_screenshot(Client& client, const nlohmann::json& request) {
  const auto png = take_screenshot(running_.machine(), number_of(request, "display"));
  if (!png) return reply(client, std::unexpected(png.error()));
  reply(client, {});
  for (size_t done = 0; done < png->size() && !client.gone;) {
    const ssize_t count = send(client.socket.get(), png->data() + done, png->size() - done, MSG_NOSIGNAL);
    if (count <= 0 && errno != EINTR) break;
    if (count > 0) done += static_cast<size_t>(count);
  }
  client.gone = true;
}

void Supervisor::show(std::string_view text) {
  if (text.empty()) return;
  for (Client& client : clients_) {
    if (!client.is_console) continue;
    // What a slow viewer does not take is lost to it; the log still has it.
    if (send(client.socket.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
        errno != EAGAIN)
      client.gone = true;
  }
}

// A host that shuts down sends SIGTERM, and SIGKILL a while later. The first by the power button, the second
// by force.
void Supervisor::end(int signals) {
  signalfd_siginfo information{};
  if (::read(signals, &information, sizeof information) <= 0) return;
  if (asked_to_stop_ || !running_.request_stop()) running_.stop([](const Result<>&) {});
  asked_to_stop_ = true;
}

void tell(int ready, const nlohmann::json& message) {
  const std::string text = message.dump() + "\n";
  [[maybe_unused]] const ssize_t written = ::write(ready, text.data(), text.size());
}

}  // namespace

int supervise(const Bundle& bundle, int ready_fd) {
  UniqueFd ready(ready_fd);
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  const UniqueFd signals(signalfd(-1, &set, SFD_CLOEXEC));

  const auto give_up = [&](const Error& error) {
    tell(ready.get(), {{"error", to_json(error)}});
    return 1;
  };
  const auto lock = bundle.lock();
  if (!lock) return give_up(lock.error());
  auto configuration = bundle.configuration();
  if (!configuration) return give_up(configuration.error());
  if (!configuration->label) configuration->label = bundle.name();
  auto console = GuestConsole::attach(*configuration);
  if (!console) return give_up(console.error());
  auto running = RunningMachine::create(*configuration);
  if (!running) return give_up(running.error());
  bundle.set_last_error({});
  auto listener = bundle.listen();
  if (!listener) return give_up(listener.error());
  bool is_started = false;
  Supervisor(std::move(*listener), **running, *console).serve(signals.get(), [&](const Result<>& started) {
    is_started = started.has_value();
    tell(ready.get(), started ? nlohmann::json{{"state", "running"}}
                              : nlohmann::json{{"error", to_json(started.error())}});
    ready.reset();
  });
  const auto error = (*running)->error();
  // Whoever asked for a start that failed has been told.
  bundle.set_last_error(is_started ? error : std::nullopt);
  return error ? 1 : 0;
}

}  // namespace alcove::cli
