// Shows a machine's display to programs on this host that are not made with this library: browsers and VNC
// clients.
#pragma once

#include <alcove/error.h>
#include <alcove/virtual_machine.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace alcove {

enum class RemoteViewProtocol {
  web,  // A page for browsers, which needs noVNC (Debian's package novnc). Whoever has its address may use
        // it.
  vnc,  // The remote frame buffer protocol (RFC 6143). Every user of this host may connect: there is no
        // password.
};

struct RemoteViewOptions {
  RemoteViewProtocol protocol = RemoteViewProtocol::web;
  size_t display = 0;  // Counted through all graphics devices.
  uint16_t port = 0;   // On 127.0.0.1; 0: any that is free, for VNC the first from 5900 on.
  // Where the page's programs are. By default: $ALCOVE_NOVNC, else share/alcove/novnc beside the program's
  // folder, else /usr/share/novnc.
  std::string novnc_folder;
};

// Serves any number of viewers, 32 at most at once, until it is destroyed. The machine neither needs it nor
// notices it: a viewer that is slow misses frames, and views come and go while a machine starts and stops.
// The display follows the size of a viewer's window if the viewer asks for that.
class RemoteView {
 public:
  // Fails with not_supported if the machine has no such display or noVNC is missing, with network_error if
  // the port is taken. The machine must outlive the view.
  static Result<std::unique_ptr<RemoteView>> create(VirtualMachine& machine, RemoteViewOptions options = {});
  // Cuts all viewers off.
  ~RemoteView();
  RemoteView(const RemoteView&) = delete;
  RemoteView& operator=(const RemoteView&) = delete;

  // What to open or connect to: "http://127.0.0.1:40321/…/", "127.0.0.1:5900".
  const std::string& address() const;

 private:
  class Implementation;
  explicit RemoteView(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace alcove
