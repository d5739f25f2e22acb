// Keys as RFB clients name them.
#pragma once

#include <alcove/input.h>

#include <cstdint>
#include <optional>

namespace alcove::view::rfb {

// From the PC keyboard's scan codes (set 1), those after 0xE0 with bit 7 set, as QEMU's extension sends them.
// Names a place on the keyboard, whatever is printed there.
std::optional<Key> key_from_scan_code(uint32_t code);
// From an X11 keysym, which names what was typed: as if on a US keyboard.
std::optional<Key> key_from_keysym(uint32_t keysym);

}  // namespace alcove::view::rfb
