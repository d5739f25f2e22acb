// The commands that connect to a port of a running machine's guest.
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "cli/commands.h"
#include "cli/control.h"
#include "cli/output.h"

namespace alcove::cli {

namespace {

Result<UniqueFd> connect_to_guest(const Bundle& bundle, uint32_t port) {
  auto control = bundle.connect();
  if (!control) return std::unexpected(control.error());
  return ask_for_descriptor(control->get(), {{"command", "connect"}, {"port", port}});
}

// One direction: bytes that were read and not written yet.
struct Flow {
  int from, to;
  std::array<char, 65536> buffer{};
  size_t begin = 0, end = 0;
  bool has_ended = false;

  bool wants_input() const { return !has_ended && begin == end; }
  // False where nobody takes them any more.
  bool move(short input, short output) {
    if (input && wants_input()) {
      const ssize_t count = ::read(from, buffer.data(), buffer.size());
      if (count < 0 && (errno == EINTR || errno == EAGAIN)) return true;
      has_ended = count <= 0;
      begin = 0;
      end = static_cast<size_t>(std::max<ssize_t>(count, 0));
      if (has_ended) ::shutdown(to, SHUT_WR);
      return true;
    }
    if (!output || begin == end) return true;
    const ssize_t count = ::write(to, buffer.data() + begin, end - begin);
    if (count < 0) return errno == EINTR || errno == EAGAIN;
    begin += static_cast<size_t>(count);
    return true;
  }
};

// Until the guest has ended.
int join(int socket) {
  ::signal(SIGPIPE, SIG_IGN);
  // On the heap: each has a buffer.
  const auto to_guest = std::make_unique<Flow>(STDIN_FILENO, socket);
  const auto from_guest = std::make_unique<Flow>(socket, STDOUT_FILENO);
  while (!from_guest->has_ended || from_guest->begin != from_guest->end) {
    std::array<pollfd, 4> polls{};
    const auto watch = [&](size_t index, bool wanted, int fd, short events) {
      polls[index] = {.fd = wanted ? fd : -1, .events = events, .revents = 0};
    };
    watch(0, to_guest->wants_input(), STDIN_FILENO, POLLIN);
    watch(1, to_guest->begin != to_guest->end, socket, POLLOUT);
    watch(2, from_guest->wants_input(), socket, POLLIN);
    watch(3, from_guest->begin != from_guest->end, STDOUT_FILENO, POLLOUT);
    if (::poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) return 1;
    // A guest that takes no more may still send.
    if (!to_guest->move(polls[0].revents, polls[1].revents))
      to_guest->has_ended = true, to_guest->begin = to_guest->end;
    if (!from_guest->move(polls[2].revents, polls[3].revents)) return 1;
  }
  return 0;
}

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (char c : text) {
    if (c == '\'') {
      result += "'\\''";
    } else {
      result += c == '%' ? "%%" : std::string(1, c);  // ssh replaces others.
    }
  }
  return result + "'";
}

}  // namespace

int connect(const Bundle& bundle, uint32_t port, bool pass_descriptor) {
  auto socket = connect_to_guest(bundle, port);
  if (!socket) return report(socket.error());
  if (!pass_descriptor) return join(socket->get());
  if (!send_descriptor(STDOUT_FILENO, socket->get(), "x")) {
    return report({ErrorCode::not_supported, "--pass-descriptor",
                   fmt::format("standard output does not take it: {}", std::strerror(errno)),
                   "it is for ssh with ProxyUseFdpass"});
  }
  return 0;
}

int ssh(const std::string& destination, const SshOptions& options) {
  const size_t at = destination.rfind('@');
  auto bundle = Bundle::open(at == std::string::npos ? destination : destination.substr(at + 1));
  if (!bundle) return report(bundle.error());
  if (auto attempt = connect_to_guest(*bundle, options.port); !attempt) {
    Error error = attempt.error();
    if (error.code == ErrorCode::network_error && error.hint.empty()) {
      error.hint =
          "guests with systemd 256 or later and sshd listen there by themselves; in others run\n        "
          "systemd-socket-activate -a --inetd -l vsock::22 sshd -i, or see docs/sockets.md";
    }
    return report(error);
  }
  std::error_code failed;
  const auto own = std::filesystem::read_symlink("/proc/self/exe", failed);
  std::vector<std::string> arguments = {
      "ssh", "-o",
      fmt::format("ProxyCommand={} connect --pass-descriptor {} {}", quoted(own.string()),
                  quoted(bundle->path().string()), options.port),
      "-o", "ProxyUseFdpass=yes",
      // There is nobody between this host and its own guest.
      "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "CheckHostIP=no", "-o",
      "LogLevel=ERROR"};
  for (const std::string& identity : options.identities) arguments.insert(arguments.end(), {"-i", identity});
  for (const std::string& option : options.options) arguments.insert(arguments.end(), {"-o", option});
  if (!options.user.empty()) arguments.insert(arguments.end(), {"-l", options.user});
  if (at != std::string::npos) arguments.insert(arguments.end(), {"-l", destination.substr(0, at)});
  arguments.insert(arguments.end(), {"--", bundle->name()});
  arguments.insert(arguments.end(), options.command.begin(), options.command.end());
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  ::execvp("ssh", pointers.data());
  return report({ErrorCode::not_supported, "ssh", fmt::format("can't be run: {}", std::strerror(errno)),
                 "install the package openssh-client"});
}

}  // namespace alcove::cli
