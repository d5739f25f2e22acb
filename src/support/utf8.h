#pragma once

#include <string_view>

namespace alcove {

// Whether a text is well-formed UTF-8 (Unicode 15, table 3-7).
bool is_utf8(std::string_view text);

}  // namespace alcove
