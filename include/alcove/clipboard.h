// The clipboard that host and guest share, where a SPICE agent port is configured and the guest runs an
// agent.
#pragma once

#include <alcove/error.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace alcove {

// One thing, in each form that it has.
struct ClipboardContents {
  std::optional<std::string> text;            // UTF-8, lines ended by "\n".
  std::optional<std::vector<std::byte>> png;  // A picture: a PNG file's bytes.

  bool is_empty() const { return !text && !png; }
  // Bytes of all forms.
  uint64_t size() const { return (text ? text->size() : 0) + (png ? png->size() : 0); }

  bool operator==(const ClipboardContents&) const = default;
};

struct ClipboardSharing {
  bool to_guest = true;
  bool from_guest = true;

  bool operator==(const ClipboardSharing&) const = default;
};

// Any thread. VirtualMachineObserver::clipboard_changed tells of what the guest copies.
class Clipboard {
 public:
  virtual ~Clipboard() = default;

  // Neither direction takes more than this at once, in bytes: 32 MiB.
  static uint64_t maximum_size();

  // Whether an agent in the guest serves it at this moment.
  virtual bool is_connected() const = 0;

  // What the guest copied last; empty while there is nothing, or from_guest is off.
  virtual ClipboardContents contents() const = 0;
  // What can be pasted in the guest from now on; kept for agents that connect later. Empty contents are
  // offered to nobody. Fails with virtual_machine_limit_exceeded if there is too much.
  virtual Result<> set_contents(ClipboardContents contents) = 0;

  virtual ClipboardSharing sharing() const = 0;
  // From now on; what was shared in a direction that is off is withdrawn.
  virtual void set_sharing(ClipboardSharing sharing) = 0;
};

}  // namespace alcove
