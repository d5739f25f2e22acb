#pragma once

#include <alcove/error.h>

#include <string_view>

namespace alcove::config {

// Refuses characters outside ASCII where TOML 1.0 has no place for them: anywhere but in texts and comments.
// To be called before toml++ 3.3 sees the text, which reaches code marked unreachable at such a character.
Result<> check_characters(std::string_view toml);

}  // namespace alcove::config
