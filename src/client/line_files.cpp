#include "client/line_files.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <tuple>

namespace alcove::client {
namespace {

Result<> add_copy(const UniqueFd& descriptor, const std::string& where, machine::Descriptors& descriptors) {
  if (!descriptor) return {};
  auto copy = duplicate(descriptor.get(), where);
  if (!copy) return std::unexpected(std::move(copy.error()));
  descriptors.add(where, *std::move(copy));
  return {};
}

Result<> make(const FileHandleSerialPortAttachment& handles, const std::string& where, LineFiles& files) {
  for (const auto& [handle, copy, name] : {std::tuple{handles.reading, &files.reading, ".reading"},
                                           std::tuple{handles.writing, &files.writing, ".writing"}}) {
    if (handle < 0) continue;
    auto made = duplicate(handle, where + name);
    if (!made) return std::unexpected(std::move(made.error()));
    *copy = *std::move(made);
  }
  return {};
}

Result<> make(const PseudoTerminalSerialPortAttachment&, const std::string& where, LineFiles& files) {
  auto terminal = PseudoTerminal::open();
  if (!terminal) {
    terminal.error().where = where;
    return std::unexpected(std::move(terminal.error()));
  }
  files.terminal = *std::move(terminal);
  return {};
}

Result<> make(const FileSerialPortAttachment&, const std::string&, LineFiles&) {
  return {};
}
Result<> make(const SpiceAgentPortAttachment&, const std::string&, LineFiles&) {
  return {};
}

Result<> open(const FileSerialPortAttachment& file, const LineFiles&, const std::string& where,
              machine::Descriptors& descriptors) {
  const int start = file.append ? O_APPEND : O_TRUNC;
  UniqueFd descriptor(::open(file.path.c_str(), O_WRONLY | O_CREAT | O_NOCTTY | O_CLOEXEC | start, 0666));
  if (!descriptor)
    return fail(ErrorCode::invalid_virtual_machine_configuration, where + ".path",
                fmt::format("can't open {}: {}", file.path.string(), std::strerror(errno)));
  descriptors.add(where + ".writing", std::move(descriptor));
  return {};
}

Result<> open(const FileHandleSerialPortAttachment&, const LineFiles& files, const std::string& where,
              machine::Descriptors& descriptors) {
  if (auto added = add_copy(files.reading, where + ".reading", descriptors); !added) return added;
  return add_copy(files.writing, where + ".writing", descriptors);
}

Result<> open(const PseudoTerminalSerialPortAttachment&, const LineFiles& files, const std::string& where,
              machine::Descriptors& descriptors) {
  if (auto added = add_copy(files.terminal->machine_side, where + ".reading", descriptors); !added)
    return added;
  return add_copy(files.terminal->machine_side, where + ".writing", descriptors);
}

Result<> open(const SpiceAgentPortAttachment&, const LineFiles&, const std::string&, machine::Descriptors&) {
  return {};
}

}  // namespace

Result<UniqueFd> duplicate(int descriptor, const std::string& where) {
  UniqueFd copy(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
  if (!copy) {
    return fail(ErrorCode::internal, where,
                fmt::format("can't duplicate a file descriptor: {}", std::strerror(errno)));
  }
  return copy;
}

Result<LineFiles> make_line_files(const std::optional<ConsolePortAttachment>& attachment,
                                  const std::string& where) {
  LineFiles files;
  if (!attachment) return files;
  auto made = std::visit([&](const auto& kind) { return make(kind, where, files); }, *attachment);
  if (!made) return std::unexpected(std::move(made.error()));
  return files;
}

Result<> open_line(const std::optional<ConsolePortAttachment>& attachment, const LineFiles& files,
                   const std::string& where, machine::Descriptors& descriptors) {
  if (!attachment) return {};
  return std::visit([&](const auto& kind) { return open(kind, files, where, descriptors); }, *attachment);
}

Result<std::vector<std::vector<LineFiles>>> make_console_files(
    const VirtualMachineConfiguration& configuration) {
  std::vector<std::vector<LineFiles>> files;
  for (const auto& device : configuration.console_devices) {
    auto& of_device = files.emplace_back();
    for (const auto& port : std::get<VirtioConsoleDeviceConfiguration>(device).ports) {
      auto made = make_line_files(port.attachment, fmt::format("console_devices[{}].ports[{}].attachment",
                                                               files.size() - 1, of_device.size()));
      if (!made) return std::unexpected(std::move(made.error()));
      of_device.push_back(*std::move(made));
    }
  }
  return files;
}

std::optional<ConsolePortAttachment> console_attachment(
    const std::optional<SerialPortAttachment>& attachment) {
  if (!attachment) return {};
  return std::visit([](const auto& kind) -> ConsolePortAttachment { return kind; }, *attachment);
}

}  // namespace alcove::client
