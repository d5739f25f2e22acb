// Shows a machine's display in a window that a program of its own, alcove-window, opens: for applications
// that don't use Qt, and so that neither they nor the machine depend on a window's life. Applications with Qt
// have VirtualMachineView.
#pragma once

#include <alcove/error.h>
#include <alcove/virtual_machine.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>

namespace alcove {

// What the user of a window wants to become of the machine.
enum class WindowWish {
  none,       // Nothing: the window was closed, or its program ended.
  shut_down,  // The power button was pressed.
  stop,       // The plug is to be pulled.
};

struct WindowViewOptions {
  size_t display = 0;                 // Counted through all graphics devices.
  bool captures_system_keys = false;  // See VirtualMachineView.
  // Whether closing the window asks what is to become of the machine. Otherwise it closes the window alone.
  bool asks_when_closed = true;
  // By default: $ALCOVE_WINDOW, else `alcove-window` beside the running program, else where Alcove was
  // installed.
  std::filesystem::path program;
  // Called on a thread of the view's; not to destroy the view. By default the view calls request_stop() and
  // stop().
  std::function<void(WindowWish)> on_wish;
};

class WindowView {
 public:
  // Opens a window; returns once its program is ready. Fails with not_supported if the machine has no such
  // display, the program is missing or it can't open a window. The machine must outlive the view.
  static Result<std::unique_ptr<WindowView>> create(VirtualMachine& machine, WindowViewOptions options = {});
  // Serves a program that has been started already, by somebody who gave it the other end of `socket` (of the
  // Unix domain), whose ownership passes: what `alcove view` does. Of the options display and on_wish count.
  static Result<std::unique_ptr<WindowView>> attach(VirtualMachine& machine, int socket,
                                                    WindowViewOptions options = {});
  // Closes the window.
  ~WindowView();
  WindowView(const WindowView&) = delete;
  WindowView& operator=(const WindowView&) = delete;

  // False once the window was closed.
  bool is_open() const;

 private:
  class Implementation;
  explicit WindowView(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

// Where the program is. Fails with not_supported, and says what to install.
Result<std::filesystem::path> find_window_program(const std::filesystem::path& wanted = {});

}  // namespace alcove
