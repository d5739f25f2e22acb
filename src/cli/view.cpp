// `alcove view`: the display of a machine that runs in the background.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "cli/commands.h"
#include "cli/control.h"
#include "cli/output.h"

namespace alcove::cli {

namespace {

// The connection becomes that of the window's program, which takes this one's place.
int open_window(const Bundle& bundle, const WindowViewOptions& options) {
  const auto program = find_window_program(options.program);
  if (!program) return report(program.error());
  auto socket = bundle.connect();
  if (!socket) return report(socket.error());
  std::string rest;
  const auto reply =
      ask(socket->get(), {{"command", "view"}, {"kind", "window"}, {"display", options.display}}, rest);
  if (!reply) return report(reply.error());
  ::fcntl(socket->get(), F_SETFD, 0);
  std::string name = program->string(), connection = "--connection", number = std::to_string(socket->get()),
              capture = "--capture-system-keys";
  std::array<char*, 5> arguments{name.data(), connection.data(), number.data(),
                                 options.captures_system_keys ? capture.data() : nullptr, nullptr};
  ::execv(name.c_str(), arguments.data());
  return report({ErrorCode::internal, name, fmt::format("can't be started: {}", std::strerror(errno)), ""});
}

int serve(const Bundle& bundle, const RemoteViewOptions& options) {
  auto socket = bundle.connect();
  if (!socket) return report(socket.error());
  std::string rest;
  const auto reply = ask(socket->get(),
                         {{"command", "view"},
                          {"kind", options.protocol == RemoteViewProtocol::web ? "web" : "vnc"},
                          {"port", options.port},
                          {"display", options.display}},
                         rest);
  if (!reply) return report(reply.error());
  fmt::print("{}\n", reply->value("address", ""));
  std::fflush(stdout);
  if (isatty(STDERR_FILENO)) fmt::print(stderr, "[alcove: Ctrl-C ends the view, and not the machine]\n");
  char byte = 0;
  while (::read(socket->get(), &byte, 1) > 0 || errno == EINTR) {
  }
  return 0;
}

}  // namespace

int view(const Bundle& bundle, const ViewOptions& options) {
  if (const auto* window = std::get_if<WindowViewOptions>(&options)) return open_window(bundle, *window);
  const auto* const remote = std::get_if<RemoteViewOptions>(&options);
  return serve(bundle, remote ? *remote : RemoteViewOptions{});
}

}  // namespace alcove::cli
