// The host's side of a guest's SPICE agent: the clipboard that it shares, and the size that its desktop
// takes.
#pragma once

#include <alcove/clipboard.h>
#include <alcove/graphics.h>

#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "agent/messages.h"

namespace alcove::agent {

// Speaks the protocol, and leaves the carrying of bytes to its owner. For one thread at a time.
class SpiceAgent {
 public:
  // The guest copied something, or (empty contents) what it copied is not shared any more.
  using Copied = std::function<void(const ClipboardContents&)>;

  SpiceAgent(ClipboardSharing sharing, Copied copied);

  // The guest's agent opened the port, or closed it.
  void open();
  void close();
  // Bytes of the guest's.
  void receive(std::span<const std::byte> bytes) { reader_.feed(bytes); }
  // Bytes for the guest, oldest first; consume() those that it got.
  std::span<const std::byte> pending() const;
  void consume(size_t size);

  bool is_connected() const { return connected_; }

  // As Clipboard has them. The contents' size has been checked.
  void offer(ClipboardContents contents);
  void share(ClipboardSharing sharing);

  // The sizes of all displays, from the left to the right: desktops that don't follow their monitors by
  // themselves follow the agent. Told to agents that come later, too.
  void arrange(std::vector<DisplaySize> displays);

 private:
  void take(uint32_t type, std::span<const std::byte> body);
  void take_capabilities(std::span<const std::byte> body);
  void take_grab(std::span<const std::byte> forms);
  void take_request(std::span<const std::byte> body);
  void take_contents(std::span<const std::byte> body);
  // Removes what says which selection a clipboard message is about. Nothing if it is not about the clipboard
  // proper.
  std::optional<std::span<const std::byte>> of_clipboard(std::span<const std::byte> body) const;
  std::vector<std::byte> for_clipboard() const;
  bool has(unsigned capability) const { return capabilities_ >> capability & 1; }

  void send(uint32_t type, std::span<const std::byte> body);
  void announce(bool answer_wanted);
  void grab();
  void release();
  void request_next();
  void tell_displays();

  MessageReader reader_;
  const Copied copied_;
  ClipboardSharing sharing_;
  ClipboardContents offered_;
  std::vector<DisplaySize> displays_;
  bool grabbed_ = false;  // The guest has been told of `offered_`.

  bool connected_ = false;
  uint32_t capabilities_ = 0;  // The guest's.
  std::deque<std::vector<std::byte>> outgoing_;
  size_t consumed_ = 0;  // Of the first.
  size_t backlog_ = 0;

  std::deque<uint32_t> wanted_;  // Forms of what the guest copied; the first has been asked for.
  ClipboardContents arriving_;
  bool withdrawn_ = true;  // Nothing of the guest's is known to anybody.
};

}  // namespace alcove::agent
