// What is at the host's end of a serial port or a console's port.
#pragma once

#include <alcove/console.h>
#include <alcove/error.h>
#include <alcove/virtual_machine_configuration.h>

#include <optional>
#include <string>
#include <vector>

#include "client/pseudo_terminal.h"
#include "machine/descriptors.h"
#include "support/unique_fd.h"

namespace alcove::client {

// What it has as long as its VirtualMachine exists, also between starts.
struct LineFiles {
  UniqueFd reading;  // Duplicates of a FileHandleSerialPortAttachment's.
  UniqueFd writing;
  std::optional<PseudoTerminal> terminal;
};

Result<UniqueFd> duplicate(int descriptor, const std::string& where);

// Errors and descriptors are named by the attachment's path, `where`.
Result<LineFiles> make_line_files(const std::optional<ConsolePortAttachment>& attachment,
                                  const std::string& where);
// Adds what the machine's process gets at one start: WHERE.reading and WHERE.writing. Empties a file that is
// not appended to. A SPICE agent's are its owner's to add.
Result<> open_line(const std::optional<ConsolePortAttachment>& attachment, const LineFiles& files,
                   const std::string& where, machine::Descriptors& descriptors);

// A serial port's attachment as one of those above.
std::optional<ConsolePortAttachment> console_attachment(
    const std::optional<SerialPortAttachment>& attachment);

// For each port of each console device.
Result<std::vector<std::vector<LineFiles>>> make_console_files(
    const VirtualMachineConfiguration& configuration);

}  // namespace alcove::client
