#include "network/slirp_stack.h"

#include <libslirp.h>
#include <sys/epoll.h>

#include <algorithm>
#include <mutex>

namespace alcove::network {
namespace {

in_addr ipv4(uint32_t address) {
  return {.s_addr = htonl(address)};
}

in6_addr ipv6(const NatAddresses& addresses, uint8_t last) {
  in6_addr address{};
  std::ranges::copy(addresses.prefix, address.s6_addr);
  address.s6_addr[15] = last;
  return address;
}

const char* text_or_null(const std::string& text) {
  return text.empty() ? nullptr : text.c_str();
}

}  // namespace

std::mutex& SlirpStack::library() {
  static std::mutex mutex;
  return mutex;
}

// What libslirp calls; all with the library's lock held, by what holds it in SlirpStack's members.
struct SlirpCallbacks {
  static SlirpStack& self(void* opaque) { return *static_cast<SlirpStack*>(opaque); }

  static ssize_t send_packet(const void* frame, size_t size, void* opaque) {
    const Bytes bytes(static_cast<const std::byte*>(frame), size);
    if (self(opaque).uplink_) self(opaque).uplink_->see_to_guest(bytes);
    self(opaque).output_(bytes);
    return static_cast<ssize_t>(size);
  }
  static void guest_error(const char*, void*) {}  // What a guest does wrong is no news for the host's log.
  static int64_t clock(void* opaque) { return self(opaque).now().time_since_epoch().count(); }
  static void* timer_new(SlirpTimerId id, void* argument, void* opaque) {
    auto timer = std::make_unique<SlirpStack::Timer>(id, argument);
    return self(opaque).timers_.insert(std::move(timer)).first->get();
  }
  static void timer_free(void* timer, void* opaque) {
    SlirpStack& stack = self(opaque);
    auto found = std::ranges::find(stack.timers_, timer, [](const auto& owned) { return owned.get(); });
    if (found == stack.timers_.end()) return;
    stack.disarm(**found);
    stack.timers_.erase(found);
  }
  static void timer_mod(void* timer, int64_t milliseconds, void* opaque) {
    SlirpStack& stack = self(opaque);
    auto& changed = *static_cast<SlirpStack::Timer*>(timer);
    changed.expiry = exec::Clock::time_point(std::chrono::milliseconds(milliseconds));
    stack.arm(changed);
  }
  // libslirp tells of a socket that could not be made, too: -1.
  static void register_socket(int fd, void* opaque) {
    if (fd < 0) return;
    if (self(opaque).uplink_) self(opaque).uplink_->opened(fd);
    if (self(opaque).sockets_.insert(fd).second) ++SlirpStack::all_sockets_;
  }
  static void unregister_socket(int fd, void* opaque) {
    if (fd < 0) return;
    if (self(opaque).uplink_) self(opaque).uplink_->closed(fd);
    SlirpStack::all_sockets_ -= self(opaque).sockets_.erase(fd);
    self(opaque).unwatch(fd);
  }
  static void notify(void* opaque) { self(opaque).run_soon(); }
  static void created(Slirp* slirp, void* opaque) { self(opaque).slirp_ = slirp; }

  static int add_poll(int fd, int events, void* opaque) {
    SlirpStack& stack = self(opaque);
    const uint32_t wanted = ((events & SLIRP_POLL_IN) ? EPOLLIN : 0u) |
                            ((events & SLIRP_POLL_OUT) ? EPOLLOUT : 0u) |
                            ((events & SLIRP_POLL_PRI) ? EPOLLPRI : 0u);
    auto [watch, added] = stack.watches_.try_emplace(fd);
    if (added) {
      stack.loop_.watch(fd, wanted, [&stack, fd](uint32_t ready) {
        if (auto found = stack.watches_.find(fd); found != stack.watches_.end()) found->second.ready = ready;
        stack.run_soon();
      });
    } else if (watch->second.events != wanted) {
      stack.loop_.change(fd, wanted);
    }
    watch->second.events = wanted;
    watch->second.wanted = true;
    return fd;
  }
  static int ready_events(int fd, void* opaque) {
    SlirpStack& stack = self(opaque);
    auto found = stack.watches_.find(fd);
    const uint32_t ready = found == stack.watches_.end() ? 0 : found->second.ready;
    return ((ready & EPOLLIN) ? SLIRP_POLL_IN : 0) | ((ready & EPOLLOUT) ? SLIRP_POLL_OUT : 0) |
           ((ready & EPOLLPRI) ? SLIRP_POLL_PRI : 0) | ((ready & EPOLLERR) ? SLIRP_POLL_ERR : 0) |
           ((ready & EPOLLHUP) ? SLIRP_POLL_HUP : 0);
  }

  static constexpr SlirpCb table() {
    return {.send_packet = send_packet,
            .guest_error = guest_error,
            .clock_get_ns = clock,
            .timer_free = timer_free,
            .timer_mod = timer_mod,
            .register_poll_fd = register_socket,
            .unregister_poll_fd = unregister_socket,
            .notify = notify,
            .init_completed = created,
            .timer_new_opaque = timer_new};
  }
};

SlirpStack::SlirpStack(exec::EventLoop& loop, const NatAddresses& addresses, bool has_dhcp,
                       std::optional<Uplink> uplink, std::function<void(std::span<const std::byte>)> output)
    : loop_(loop), output_(std::move(output)), uplink_(std::move(uplink)) {
  static constexpr SlirpCb kCallbacks = SlirpCallbacks::table();
  const SlirpConfig config{
      .version = 4,
      .in_enabled = true,
      .vnetwork = ipv4(addresses.network),
      .vnetmask = ipv4(addresses.mask),
      .vhost = ipv4(addresses.host()),
      .in6_enabled = true,
      .vprefix_addr6 = ipv6(addresses, 0),
      .vprefix_len = 64,
      .vhost6 = ipv6(addresses, 2),
      .vhostname = text_or_null(addresses.host_name),
      // No TFTP, no boot file, no emulation of protocols: none of the host's files is for the guest.
      .vdhcp_start = ipv4(addresses.guest),
      .vnameserver = ipv4(addresses.name_server()),
      .vnameserver6 = ipv6(addresses, 3),
      .vdomainname = text_or_null(addresses.domain),
      .if_mtu = addresses.mtu,
      .if_mru = addresses.mtu,
      .disable_dhcp = !has_dhcp,
  };
  std::lock_guard lock(library());
  slirp_new(&config, &kCallbacks, this);
  fill();
}

SlirpStack::~SlirpStack() {
  std::lock_guard lock(library());
  slirp_cleanup(slirp_);
  all_sockets_ -= sockets_.size();
  for (const auto& timer : timers_) disarm(*timer);
  disarm(wake_);
  while (!watches_.empty()) unwatch(watches_.begin()->first);
}

exec::Clock::time_point SlirpStack::now() const {
  return paused_since_.value_or(exec::Clock::now()) - paused_for_;
}

void SlirpStack::input(const Packet& packet, std::span<const std::byte> frame) {
  if (uplink_ && !uplink_->begin(packet)) return;
  {
    std::lock_guard lock(library());
    slirp_input(slirp_, reinterpret_cast<const uint8_t*>(frame.data()), static_cast<int>(frame.size()));
  }
  if (uplink_) uplink_->end();
  run_soon();
}

// Many frames or ready sockets in one turn of the loop cost one look at all sockets.
void SlirpStack::run_soon() {
  if (std::exchange(run_posted_, true)) return;
  loop_.post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) run();
  });
}

void SlirpStack::run() {
  run_posted_ = false;
  if (paused_since_) return;
  std::lock_guard lock(library());
  slirp_pollfds_poll(slirp_, 0, SlirpCallbacks::ready_events, this);
  for (auto& [fd, watch] : watches_) watch.ready = 0;
  fill();
}

void SlirpStack::fill() {
  for (auto& [fd, watch] : watches_) watch.wanted = false;
  uint32_t timeout = UINT32_MAX;
  slirp_pollfds_fill(slirp_, &timeout, SlirpCallbacks::add_poll, this);
  for (auto at = watches_.begin(); at != watches_.end();) {
    const auto [fd, watch] = *at++;
    if (!watch.wanted) unwatch(fd);
  }
  disarm(wake_);
  wake_.expiry.reset();
  if (timeout == UINT32_MAX) return;
  wake_.expiry = now() + std::chrono::milliseconds(timeout);
  arm(wake_);
}

void SlirpStack::unwatch(int fd) {
  if (watches_.erase(fd)) loop_.unwatch(fd);
}

void SlirpStack::arm(Timer& timer) {
  disarm(timer);
  if (paused_since_ || !timer.expiry) return;
  timer.armed = loop_.call_at(*timer.expiry + paused_for_, [this, &timer] {
    timer.armed.reset();
    timer.expiry.reset();
    if (&timer != &wake_) {
      std::lock_guard lock(library());
      slirp_handle_timer(slirp_, static_cast<SlirpTimerId>(timer.id), timer.argument);
    }
    run_soon();
  });
}

void SlirpStack::disarm(Timer& timer) {
  if (timer.armed) loop_.cancel(*timer.armed);
  timer.armed.reset();
}

void SlirpStack::pause() {
  if (paused_since_) return;
  paused_since_ = exec::Clock::now();
  for (const auto& timer : timers_) disarm(*timer);
  disarm(wake_);
  // Sockets that stay ready would wake a loop that does nothing about it.
  while (!watches_.empty()) unwatch(watches_.begin()->first);
}

void SlirpStack::resume() {
  if (!paused_since_) return;
  paused_for_ += exec::Clock::now() - *paused_since_;
  paused_since_.reset();
  for (const auto& timer : timers_) arm(*timer);
  std::lock_guard lock(library());
  fill();
}

}  // namespace alcove::network
