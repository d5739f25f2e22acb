// The clipboard that a SPICE agent shares: the agent's protocol over a socket to the machine's port.
#pragma once

#include <alcove/clipboard.h>

#include <functional>
#include <mutex>
#include <vector>

#include "agent/spice_agent.h"
#include "exec/event_loop.h"
#include "support/unique_fd.h"

namespace alcove::client {

class ClipboardProxy final : public Clipboard {
 public:
  // `changed` is called on the loop. The loop runs as long as others call this object; it is destroyed after
  // the loop.
  ClipboardProxy(exec::EventLoop& loop, ClipboardSharing sharing, std::function<void()> changed);

  bool is_connected() const override;
  ClipboardContents contents() const override;
  Result<> set_contents(ClipboardContents contents) override;
  ClipboardSharing sharing() const override;
  void set_sharing(ClipboardSharing sharing) override;

  // Any thread: the sizes that were asked of the displays, see SpiceAgent.
  void arrange(std::vector<DisplaySize> displays);
  // The loop's thread only, up to the next remark. An agent has opened the port: gives that its end of a new
  // socket, so that nothing is left of what was said to and by another.
  Result<UniqueFd> connect();
  // The agent has closed the port.
  void disconnect();
  // A machine's process starts, with displays as configured.
  void reset();

 private:
  void ready(uint32_t events);
  void read_some();
  void write_some();
  void note_connection();

  exec::EventLoop& loop_;
  const std::function<void()> changed_;

  // The loop's thread only.
  agent::SpiceAgent agent_;
  UniqueFd socket_;

  mutable std::mutex mutex_;  // Guards what follows.
  ClipboardContents contents_;
  ClipboardSharing sharing_;
  bool connected_ = false;
};

}  // namespace alcove::client
