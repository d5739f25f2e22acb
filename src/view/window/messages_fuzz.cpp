// What a window's program sends, and what the machine's process answers: whatever is taken leads back to
// itself.
#include <cstdint>
#include <string_view>

#include "view/window/messages.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove::view::window;
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  if (const auto message = message_from_line(line)) {
    std::string text = to_line(*message);
    text.pop_back();
    if (message_from_line(text) != message) __builtin_trap();
  }
  if (const auto situation = situation_from_line(line)) {
    std::string text = to_line(*situation);
    text.pop_back();
    if (!situation_from_line(text)) __builtin_trap();
  }
  return 0;
}
