#include "cli/guest_console.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>

namespace alcove::cli {

namespace {

Result<std::pair<UniqueFd, UniqueFd>> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail(ErrorCode::internal, "console", std::string("a pipe cannot be made: ") + strerror(errno));
  }
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

void make_nonblocking(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

}  // namespace

Result<GuestConsole> GuestConsole::attach(VirtualMachineConfiguration& configuration) {
  if (configuration.serial_ports.empty())
    configuration.serial_ports.push_back(UART16550SerialPortConfiguration{});
  auto& attachment =
      std::visit([](auto& port) -> std::optional<SerialPortAttachment>& { return port.attachment; },
                 configuration.serial_ports[0]);
  GuestConsole console;
  if (attachment) return console;
  auto output = make_pipe();
  if (!output) return std::unexpected(output.error());
  auto input = make_pipe();
  if (!input) return std::unexpected(input.error());
  std::tie(console.output_, console.machine_output_) = std::move(*output);
  std::tie(console.machine_input_, console.input_) = std::move(*input);
  make_nonblocking(console.output_.get());
  make_nonblocking(console.input_.get());
  std::signal(SIGPIPE, SIG_IGN);  // A machine that ends while we write to it is no reason to die.
  attachment = FileHandleSerialPortAttachment{.reading = console.machine_input_.get(),
                                              .writing = console.machine_output_.get()};
  return console;
}

std::string GuestConsole::read() {
  std::string text(65536, '\0');
  const ssize_t count = output_ ? ::read(output_.get(), text.data(), text.size()) : 0;
  text.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return text;
}

void GuestConsole::write(std::string_view input) {
  constexpr size_t kMaximum = 65536;
  if (!input_) return;
  unwritten_.append(input.substr(0, kMaximum - std::min(kMaximum, unwritten_.size())));
  flush();
}

void GuestConsole::flush() {
  if (unwritten_.empty()) return;
  const ssize_t count = ::write(input_.get(), unwritten_.data(), unwritten_.size());
  if (count > 0) unwritten_.erase(0, static_cast<size_t>(count));
}

void GuestConsole::close_machine_ends() {
  machine_output_.reset();
  machine_input_.reset();
}

}  // namespace alcove::cli
