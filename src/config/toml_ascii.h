// TOML texts in ASCII alone and back. toml++ 3.3 reaches code marked unreachable when a character outside
// ASCII stands where none can be; so it gets to see none. In its place stand "~" and two digits for each
// byte, which are allowed wherever other characters are, in strings and comments, and nowhere else.
#pragma once

#include <alcove/error.h>

#include <string>
#include <string_view>

namespace alcove::config {

// Refuses what is not UTF-8, and the escape sequence for "~", which can't be told from ours afterwards.
Result<std::string> to_ascii(std::string_view toml);
// Of a value or a key that was read from such a text.
std::string from_ascii(std::string_view text);

}  // namespace alcove::config
