// Input events in messages: lists, since there are many. The first element says which kind:
//   ["key", usage, pressed]
//   ["pointer", x, y, buttons, wheel_x, wheel_y]      buttons: bits 0 left, 1 right, 2 middle, 3 back, 4
//   forward
//   ["touch", pressed, id, x, y, id, x, y…]
//   ["gesture", phase, fingers, dx, dy, magnification, rotation]     phase: 0 begin, 1 update, 2 end
#pragma once

#include <alcove/input.h>

#include <optional>
#include <vector>

#include "config/json.h"

namespace alcove::control {

using config::Json;

Json to_json(const InputEvent& event);
std::optional<InputEvent> input_event_from_json(const Json& tree);
// The member "events"; what is no event is left out.
std::vector<InputEvent> input_events_of(const Json& message);

}  // namespace alcove::control
