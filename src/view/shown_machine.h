// A machine's display as a window sees it, wherever the machine is.
#pragma once

#include <alcove/clipboard.h>
#include <alcove/graphics.h>
#include <alcove/input.h>
#include <alcove/virtual_machine.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "view/viewer.h"

namespace alcove::view {

// For one thread.
class ShownMachine {
 public:
  virtual ~ShownMachine() = default;
  virtual DisplayReader& reader() = 0;
  virtual std::string name() const = 0;
  virtual VirtualMachineState state() const = 0;
  // How often it was started since it is shown: each time it knows nothing of what it was asked for before.
  virtual uint64_t starts() const = 0;
  // Of what it shows, or was asked for.
  virtual DisplaySize size() const = 0;
  // What the guest copied last, and how often it has copied anything since it is shown. No machine has to
  // share one.
  virtual ClipboardContents clipboard() const = 0;
  virtual uint64_t clipboard_changes() const = 0;
  // What the guest can paste from now on; lost where it shares no clipboard, or it is too much.
  virtual void set_clipboard(ClipboardContents contents) = 0;
  // Input that the machine can't take, or not now, is lost, as with an unplugged keyboard. Pointers are where
  // they are on this display, 0 to 1.
  virtual void send(const InputEvent& event) = 0;
  virtual void release_all() = 0;
  // Asks the guest to show another size.
  virtual void reconfigure(const VirtioGraphicsScanoutConfiguration& configuration) = 0;
};

// One of this process. `changed` is called on any thread when state, starts or clipboard
// are others.
Result<std::unique_ptr<ShownMachine>> show_machine(VirtualMachine& machine, size_t display,
                                                   std::function<void()> changed);

}  // namespace alcove::view
