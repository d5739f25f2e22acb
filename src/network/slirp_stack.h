#pragma once

#include <alcove/error.h>
#include <alcove/network.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>

#include "exec/event_loop.h"
#include "network/nat_addresses.h"
#include "network/uplink.h"

struct Slirp;

namespace alcove::network {

// One instance of libslirp, driven by an event loop: its sockets, its timers, its clock. Made, used and
// destroyed on the loop's thread.
//
// By default the guest's network is 10.0.2.0/24 and fec0::/64; the host is 10.0.2.2 and fec0::2, the name
// server 10.0.2.3 and fec0::3, the guest from 10.0.2.15. libslirp reads /etc/resolv.conf again when it
// changes.
class SlirpStack {
 public:
  // Frames for the guest go to `output`, which must not call input(). Without an uplink packets leave by
  // whatever way the host's own take.
  SlirpStack(exec::EventLoop& loop, const NatAddresses& addresses, bool has_dhcp,
             std::optional<Uplink> uplink, std::function<void(std::span<const std::byte>)> output);
  ~SlirpStack();
  SlirpStack(const SlirpStack&) = delete;
  SlirpStack& operator=(const SlirpStack&) = delete;

  void input(const Packet& packet, std::span<const std::byte> frame);
  // Of all stacks of this process, which share its descriptors. Any thread.
  static size_t socket_count() { return all_sockets_; }

  Result<PortForward> listen(const PortForward& forward);
  bool unlisten(const PortForward& forward);

  void pause();
  void resume();

 private:
  struct Timer {
    int id;
    void* argument;
    std::optional<exec::Clock::time_point> expiry;  // On the stack's clock.
    std::optional<exec::EventLoop::TimerId> armed;
  };
  struct Watch {
    uint32_t events = 0;
    uint32_t ready = 0;
    bool wanted = false;
  };
  friend struct SlirpCallbacks;

  // libslirp keeps time and name server addresses in variables that all instances share.
  static std::mutex& library();

  exec::Clock::time_point now() const;
  void run_soon();
  void run();
  void fill();
  void arm(Timer& timer);
  void disarm(Timer& timer);
  void unwatch(int fd);

  exec::EventLoop& loop_;
  const std::function<void(std::span<const std::byte>)> output_;
  std::optional<Uplink> uplink_;
  Slirp* slirp_ = nullptr;
  std::map<int, Watch> watches_;
  std::set<int> sockets_;
  static inline std::atomic<size_t> all_sockets_ = 0;
  std::set<std::unique_ptr<Timer>> timers_;
  Timer wake_{};  // For what libslirp does by the time alone.
  bool run_posted_ = false;
  std::optional<exec::Clock::time_point> paused_since_;
  exec::Clock::duration paused_for_{};
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

}  // namespace alcove::network
