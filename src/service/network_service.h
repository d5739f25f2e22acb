// The process of a shared network: lets machines join, and switches their frames.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/json.h"
#include "exec/event_loop.h"
#include "network/cable_network.h"
#include "network/switch.h"
#include "support/unique_fd.h"

namespace alcove::service {

class NetworkService {
 public:
  // `listener` is a bound socket that keeps messages apart (SOCK_SEQPACKET). Its file is removed at the end.
  // Ends once nobody has been there for `patience`.
  NetworkService(const std::string& name, UniqueFd listener,
                 std::chrono::milliseconds patience = std::chrono::seconds(2));
  ~NetworkService();

  // Serves until then. Gives the process's exit status.
  int run();

 private:
  using Json = config::Json;
  class Member;
  // A connection that has not asked yet.
  struct Caller {
    UniqueFd socket;
  };
  static constexpr size_t kMostCallers = 64;

  void accept();
  void hear(std::list<Caller>::iterator caller);
  void join(UniqueFd socket, const Json& request);
  void leave(network::Switch::Port port);
  Json description() const;
  void end_if_idle();
  void end();

  const std::string name_;
  const UniqueFd listener_;
  const std::chrono::milliseconds patience_;
  exec::EventLoop loop_;
  network::Switch switch_;
  std::list<Caller> callers_;
  std::map<network::Switch::Port, std::unique_ptr<Member>> members_;
  std::optional<exec::EventLoop::TimerId> idle_;
};

}  // namespace alcove::service
