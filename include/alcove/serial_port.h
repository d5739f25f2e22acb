// Serial ports, and where their bytes come from and go to on the host.
#pragma once

#include <filesystem>
#include <optional>
#include <variant>

namespace alcove {

// File descriptors of the caller's: a pipe, a socket, a terminal. They stay the caller's;
// VirtualMachine::create() duplicates them. -1 means none; both may be the same. Their flags are left as they
// are, but that a pseudo terminal's master gets O_NONBLOCK.
struct FileHandleSerialPortAttachment {
  int reading = -1;  // What can be read here becomes the guest's input.
  int writing = -1;  // The guest's output is written here.

  bool operator==(const FileHandleSerialPortAttachment&) const = default;
};

// The guest's output goes into a file; there is no input.
struct FileSerialPortAttachment {
  std::filesystem::path path;  // Created if missing, in a folder that exists.
  bool append = false;         // Otherwise each start empties the file.

  bool operator==(const FileSerialPortAttachment&) const = default;
};

// A new pseudo terminal, open as long as the VirtualMachine exists: SerialPort::pseudo_terminal_path() names
// it for `screen`, `picocom`… Output that nobody reads is dropped (SerialPort::log() still has it).
struct PseudoTerminalSerialPortAttachment {
  bool operator==(const PseudoTerminalSerialPortAttachment&) const = default;
};

using SerialPortAttachment = std::variant<FileHandleSerialPortAttachment, FileSerialPortAttachment,
                                          PseudoTerminalSerialPortAttachment>;

// A PC's serial port (16550A), which firmware and kernels can use from their first instruction: /dev/ttyS0…
// in Linux guests. At most four.
struct UART16550SerialPortConfiguration {
  std::optional<SerialPortAttachment> attachment;  // None: output goes to SerialPort::log() alone.

  bool operator==(const UART16550SerialPortConfiguration&) const = default;
};

// A virtio console with one port: fast, but there only when the guest's driver is. /dev/hvc0… in Linux
// guests.
struct VirtioConsoleDeviceSerialPortConfiguration {
  std::optional<SerialPortAttachment> attachment;  // None: output goes to SerialPort::log() alone.

  bool operator==(const VirtioConsoleDeviceSerialPortConfiguration&) const = default;
};

using SerialPortConfiguration =
    std::variant<UART16550SerialPortConfiguration, VirtioConsoleDeviceSerialPortConfiguration>;

}  // namespace alcove
