#include "support/utf8.h"

#include <cstddef>
#include <cstdint>

namespace alcove {

bool is_utf8(std::string_view text) {
  for (size_t index = 0; index < text.size();) {
    const auto lead = static_cast<uint8_t>(text[index++]);
    if (lead < 0x80) continue;
    if (lead < 0xc2 || lead > 0xf4) return false;
    const int following = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    for (int position = 0; position < following; ++position) {
      if (index == text.size()) return false;
      const auto byte = static_cast<uint8_t>(text[index++]);
      // The first byte after these leads excludes overlong forms, surrogates and what is above U+10FFFF.
      const uint8_t lowest = position == 0 && lead == 0xe0   ? 0xa0
                             : position == 0 && lead == 0xf0 ? 0x90
                                                             : 0x80;
      const uint8_t highest = position == 0 && lead == 0xed   ? 0x9f
                              : position == 0 && lead == 0xf4 ? 0x8f
                                                              : 0xbf;
      if (byte < lowest || byte > highest) return false;
    }
  }
  return true;
}

}  // namespace alcove
