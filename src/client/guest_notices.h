// What the guest's service manager says of itself, by the protocol of sd_notify(3) over stream sockets: lines
// NAME=VALUE, a connection for each message.
#pragma once

#include <functional>
#include <list>
#include <string>
#include <vector>

#include "config/json.h"
#include "exec/event_loop.h"
#include "support/unique_fd.h"

namespace alcove::client {

// Belongs to the thread of its loop.
class GuestNotices {
 public:
  // Sends a request without waiting for a reply.
  using Send = std::function<void(config::Json request, std::vector<UniqueFd> descriptors)>;
  // The guest is up.
  using Ready = std::function<void()>;

  GuestNotices(exec::EventLoop& loop, Send send, Ready ready)
      : loop_(loop), send_(std::move(send)), ready_(std::move(ready)) {}
  ~GuestNotices();
  GuestNotices(const GuestNotices&) = delete;
  GuestNotices& operator=(const GuestNotices&) = delete;

  // Whether a message of the machine's is a connection to kReadinessPort; then it is answered.
  bool take(const config::Json& message);

 private:
  struct Speaker {
    UniqueFd socket;
    std::string text;
  };
  void read(std::list<Speaker>::iterator speaker);

  exec::EventLoop& loop_;
  const Send send_;
  const Ready ready_;
  std::list<Speaker> speakers_;
};

}  // namespace alcove::client
