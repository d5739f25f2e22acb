// Stream sockets between host and guest (virtio-vsock): in a Linux guest, sockets of the family AF_VSOCK. The
// host is CID 2 there. On the host a connection is an ordinary stream socket; the host's own AF_VSOCK has no
// part in it and need not exist.
#pragma once

#include <alcove/error.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

namespace alcove {

enum class SocketBridgeDirection {
  to_host,   // The guest's programs connect, and reach a socket of the host.
  to_guest,  // The host's programs connect, and reach a port of the guest.
};

// Joins a port with a UNIX stream socket of the host, as long as the machine runs. Both directions of a
// connection end separately (half-close).
struct UNIXSocketBridge {
  SocketBridgeDirection direction = SocketBridgeDirection::to_host;
  // to_host: the port of the host (CID 2) that the guest connects to. to_guest: the guest's. 1 to 4294967294.
  uint32_t port = 0;
  // to_host: where a program of the host listens, when the guest connects; without one the guest is refused.
  // to_guest: made at the machine's start, for this user alone (mode 0600), and removed at its end; a socket
  // that nobody listens on is replaced. At most 107 bytes.
  std::filesystem::path path;

  bool operator==(const UNIXSocketBridge&) const = default;
};

// A virtio socket device.
struct VirtioSocketDeviceConfiguration {
  // The guest's address, 3 to 4294967294. Machines need not differ in it: nobody but the host reaches them.
  uint32_t guest_cid = 3;
  std::vector<UNIXSocketBridge> bridges;

  bool operator==(const VirtioSocketDeviceConfiguration&) const = default;
};

using SocketDeviceConfiguration = std::variant<VirtioSocketDeviceConfiguration>;

// The host's end of a connection; owns its descriptor and closes it in the end.
class VirtioSocketConnection {
 public:
  // Made by the library. Takes the descriptor.
  VirtioSocketConnection(int file_descriptor, uint32_t source_port, uint32_t destination_port)
      : file_descriptor_(file_descriptor), source_port_(source_port), destination_port_(destination_port) {}
  VirtioSocketConnection() = default;
  VirtioSocketConnection(VirtioSocketConnection&& other) noexcept { *this = std::move(other); }
  VirtioSocketConnection& operator=(VirtioSocketConnection&& other) noexcept;
  ~VirtioSocketConnection() { close(); }

  // Of whoever connected, and of whom it connected to.
  uint32_t source_port() const { return source_port_; }
  uint32_t destination_port() const { return destination_port_; }

  // A stream socket (AF_UNIX), blocking at first: read(2), write(2), poll(2) and shutdown(2) work as on any.
  // Not to be closed by others. -1 when it has been closed or released.
  int file_descriptor() const { return file_descriptor_; }
  // Gives the descriptor to the caller, who closes it.
  int release() { return std::exchange(file_descriptor_, -1); }
  // The guest gets what was written before. Does nothing the second time.
  void close();

 private:
  int file_descriptor_ = -1;
  uint32_t source_port_ = 0;
  uint32_t destination_port_ = 0;
};

class VirtioSocketDevice;

// Decides on the guest's connections to a port of the host. One may serve several ports.
struct VirtioSocketListener {
  // Called on the machine's executor; the guest waits meanwhile. False refuses. After true the connection is
  // the listener's if it has moved it away, and else is closed. Without this function everybody is refused.
  std::function<bool(VirtioSocketConnection& connection, VirtioSocketDevice& device)>
      should_accept_new_connection;
};

// The live counterpart of a configured device, see devices.h.
class VirtioSocketDevice {
 public:
  using Connected = std::move_only_function<void(Result<VirtioSocketConnection>)>;
  static constexpr std::chrono::milliseconds kDefaultTimeout{10000};

  virtual ~VirtioSocketDevice() = default;
  virtual uint32_t guest_cid() const = 0;

  // Connects to a port of the guest. Fails with network_error if nobody listens there, if the guest has no
  // driver at work (it may not have booted yet) or does not answer in time.
  virtual void connect(uint32_t port, std::chrono::milliseconds timeout, Connected completion) = 0;
  void connect(uint32_t port, Connected completion) { connect(port, kDefaultTimeout, std::move(completion)); }

  // From now on `listener` decides on the guest's connections to a port of the host, instead of any other, in
  // this run of the machine and later ones. On ports without a listener or bridge the guest is refused; a
  // bridge's port is the bridge's.
  virtual void set_socket_listener(std::shared_ptr<VirtioSocketListener> listener, uint32_t port) = 0;
  // Does nothing if there is none. Connections go on.
  virtual void remove_socket_listener(uint32_t port) = 0;
};

}  // namespace alcove
