// Keys as Qt has them.
#pragma once

#include <alcove/input.h>

#include <optional>

class QKeyEvent;

namespace alcove::view::qt {

// By its place on the keyboard, where the window system tells its scan code; else by what a US keyboard has
// there.
std::optional<Key> key_of(const QKeyEvent& event);

}  // namespace alcove::view::qt
