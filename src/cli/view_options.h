// Where a machine's display is to be seen, as options tell it.
#pragma once

#include <alcove/remote_view.h>
#include <alcove/virtual_machine_configuration.h>

#include <optional>
#include <string>

namespace alcove::cli {

// "web", "vnc" or "none", and options: "vnc,port=5901", "web,display=1". Nothing for "none".
Result<std::optional<RemoteViewOptions>> parse_view(const std::string& text);

// Gives a machine that is to be seen a display, a keyboard and a pointing device where it has none.
void prepare_for_view(VirtualMachineConfiguration& configuration);

}  // namespace alcove::cli
