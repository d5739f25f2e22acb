// Keys as Linux' input devices name them.
#pragma once

#include <alcove/input.h>

#include <cstdint>

namespace alcove::input {

// Linux' code (KEY_…) of a key; 0 if it has none. The way back: key_from_linux_code().
uint16_t linux_code(Key key);

}  // namespace alcove::input
