// Each input is what a guest's agent says, in pieces of lengths that it names itself.
#include <algorithm>

#include "agent/spice_agent.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove;
  agent::SpiceAgent agent({}, [](const ClipboardContents& contents) {
    if (contents.size() > Clipboard::maximum_size()) __builtin_trap();
  });
  agent.offer({.text = "the host's\n", .png = std::vector<std::byte>(3000)});
  agent.open();
  while (size > 0) {
    const size_t length = std::min<size_t>(data[0], size - 1);
    agent.receive(std::as_bytes(std::span(data + 1, length)));
    if (data[0] == 255) agent.share({.to_guest = length % 2 == 0, .from_guest = length % 3 == 0});
    if (data[0] % 16 == 15) {
      while (!agent.pending().empty()) agent.consume(agent.pending().size());
    }
    data += 1 + length;
    size -= 1 + length;
  }
  return 0;
}
