// Where a machine's display is to be seen, as options tell it.
#pragma once

#include <alcove/remote_view.h>
#include <alcove/virtual_machine_configuration.h>
#include <alcove/window_view.h>

#include <string>
#include <variant>

namespace alcove::cli {

using ViewOptions = std::variant<std::monostate, RemoteViewOptions, WindowViewOptions>;

// "web", "vnc", "window" or "none", and options: "vnc,port=5901", "web,display=1", "window,system-keys".
// monostate for "none".
Result<ViewOptions> parse_view(const std::string& text);

// Gives a machine that is to be seen a display, a keyboard and a pointing device where it has none, and one
// that is to be seen in a window a trackpad, too, for the host's gestures.
void prepare_for_view(VirtualMachineConfiguration& configuration, const ViewOptions& view);

}  // namespace alcove::cli
