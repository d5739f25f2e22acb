// Bridges between ports of a machine's socket device and UNIX sockets of the host, for one run of it. The
// bytes do not come here: the machine's process gets the sockets themselves.
#pragma once

#include <alcove/virtual_machine_configuration.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "config/json.h"
#include "exec/event_loop.h"
#include "support/unique_fd.h"

namespace alcove::client {

// Belongs to the thread of its loop.
class SocketBridges {
 public:
  // Sends a request without waiting for a reply.
  using Send = std::move_only_function<void(config::Json request, std::vector<UniqueFd> descriptors)>;

  // Makes the sockets of bridges to the guest, and removes them in the end. Errors name the field.
  static Result<std::unique_ptr<SocketBridges>> create(const VirtualMachineConfiguration& configuration,
                                                       exec::EventLoop& loop);
  ~SocketBridges();
  SocketBridges(const SocketBridges&) = delete;
  SocketBridges& operator=(const SocketBridges&) = delete;

  // From now on connections are taken.
  void start(Send send);
  // Whether a message of the machine's is about a port that is bridged; then it is answered.
  bool take(const config::Json& message);

 private:
  // A socket that was made.
  struct Listening {
    UniqueFd socket;
    std::filesystem::path path;
    uint64_t device = 0, inode = 0;  // So that no other is removed.
    uint32_t port = 0;
  };
  explicit SocketBridges(exec::EventLoop& loop) : loop_(loop) {}
  Result<> listen(const UNIXSocketBridge& bridge, const std::string& where);
  void watch(Listening& listening);
  void accept(Listening& listening);

  exec::EventLoop& loop_;
  std::vector<UNIXSocketBridge> to_host_;
  std::vector<Listening> listening_;
  std::optional<exec::EventLoop::TimerId> retry_;
  Send send_;
};

}  // namespace alcove::client
