#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "config/validate.h"

namespace alcove::config {
namespace {

constexpr size_t kMostUarts = 4;  // COM1 to COM4.

void check_handle(int handle, int forbidden_mode, std::string_view use, const std::string& where,
                  Problems& problems) {
  if (handle == -1) return;
  const int flags = ::fcntl(handle, F_GETFL);
  if (flags == -1) {
    problems.add(where, fmt::format("{} is not an open file descriptor", handle), "-1 means none");
  } else if ((flags & O_ACCMODE) == forbidden_mode) {
    problems.add(where, fmt::format("file descriptor {} is not open for {}", handle, use));
  }
}

void validate(const FileHandleSerialPortAttachment& attachment, const std::string& where,
              Problems& problems) {
  check_handle(attachment.reading, O_WRONLY, "reading", where + ".reading", problems);
  check_handle(attachment.writing, O_RDONLY, "writing", where + ".writing", problems);
}

void validate(const FileSerialPortAttachment& attachment, const std::string& attachment_path,
              Problems& problems) {
  const std::string where = attachment_path + ".path";
  const std::filesystem::path& path = attachment.path;
  if (path.empty()) return problems.add(where, "is not set", "name a file for the guest's output");
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return problems.add(where, fmt::format("{} is a folder", path.string()));
    if (::access(path.c_str(), W_OK) == 0) return;
  } else if (errno == ENOENT) {
    const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
    if (::access(folder.c_str(), W_OK | X_OK) == 0) return;
  }
  problems.add(where, fmt::format("can't write {}: {}", path.string(), std::strerror(errno)));
}

void validate(const PseudoTerminalSerialPortAttachment&, const std::string&, Problems&) {}

}  // namespace

void validate_serial_ports(const VirtualMachineConfiguration& configuration, Problems& problems) {
  const auto& ports = configuration.serial_ports;
  for (size_t index = 0; index < ports.size(); ++index) {
    const std::string where = fmt::format("serial_ports[{}].attachment", index);
    const auto& attachment =
        std::visit([](const auto& port) -> auto& { return port.attachment; }, ports[index]);
    if (attachment) {
      std::visit([&](const auto& backing) { validate(backing, where, problems); }, *attachment);
    }
  }
  const auto uarts = std::ranges::count_if(
      ports, [](const auto& port) { return std::holds_alternative<UART16550SerialPortConfiguration>(port); });
  if (static_cast<size_t>(uarts) > kMostUarts) {
    problems.add("serial_ports", fmt::format("there are {} UARTs", uarts),
                 fmt::format("a PC has at most {}; use virtio consoles for more", kMostUarts));
  }
}

}  // namespace alcove::config
