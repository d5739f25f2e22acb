#include "control/input_messages.h"

#include <utility>

#include "control/messages.h"

namespace alcove::control {
namespace {

constexpr size_t kMostContacts = 16;

unsigned bits(const PointerButtons& buttons) {
  return buttons.left | buttons.right << 1 | buttons.middle << 2 | buttons.back << 3 | buttons.forward << 4;
}

PointerButtons buttons_of(uint64_t bits) {
  return {.left = (bits & 1) != 0,
          .right = (bits & 2) != 0,
          .middle = (bits & 4) != 0,
          .back = (bits & 8) != 0,
          .forward = (bits & 16) != 0};
}

Json tree_of(const KeyEvent& event) {
  return Json::array({"key", static_cast<unsigned>(event.key), event.pressed});
}

Json tree_of(const PointerEvent& event) {
  return Json::array({"pointer", event.x, event.y, bits(event.buttons), event.wheel_x, event.wheel_y});
}

Json tree_of(const TouchEvent& event) {
  Json tree = Json::array({"touch", event.pressed});
  for (const TouchContact& contact : event.contacts) {
    tree.push_back(contact.id);
    tree.push_back(contact.x);
    tree.push_back(contact.y);
  }
  return tree;
}

Json tree_of(const GestureEvent& event) {
  return Json::array({"gesture", static_cast<unsigned>(event.phase), event.fingers, event.dx, event.dy,
                      event.magnification, event.rotation});
}

// Takes the elements one after another; `good` stays true as long as each is what was asked for.
class Elements {
 public:
  explicit Elements(const Json& tree) : tree_(tree) {}

  uint64_t whole() {
    const Json* const element = next();
    good = good && element->is_number_unsigned();
    return good ? element->get<uint64_t>() : 0;
  }
  double number() {
    const Json* const element = next();
    good = good && element->is_number();
    return good ? element->get<double>() : 0;
  }
  bool flag() {
    const Json* const element = next();
    good = good && element->is_boolean();
    return good && element->get<bool>();
  }
  bool at_end() const { return at_ == tree_.size(); }

  bool good = true;

 private:
  const Json* next() {
    good = good && at_ < tree_.size();
    return good ? &tree_[at_++] : nullptr;
  }
  const Json& tree_;
  size_t at_ = 1;
};

TouchEvent touch_of(Elements& elements) {
  TouchEvent event{.contacts = {}, .pressed = elements.flag()};
  while (elements.good && !elements.at_end()) {
    TouchContact contact;
    contact.id = static_cast<uint32_t>(elements.whole());
    contact.x = elements.number();
    contact.y = elements.number();
    if (event.contacts.size() < kMostContacts) event.contacts.push_back(contact);
  }
  return event;
}

}  // namespace

Json to_json(const InputEvent& event) {
  return std::visit([](const auto& kind) { return tree_of(kind); }, event);
}

std::optional<InputEvent> input_event_from_json(const Json& tree) {
  if (!tree.is_array() || tree.empty() || !tree[0].is_string()) return std::nullopt;
  const auto& kind = tree[0].get_ref<const std::string&>();
  Elements elements(tree);
  InputEvent event;
  // Members in braces are evaluated in their order.
  if (kind == "key") {
    const uint64_t usage = elements.whole();
    elements.good = elements.good && std::in_range<uint16_t>(usage);
    event = KeyEvent{.key = static_cast<Key>(usage), .pressed = elements.flag()};
  } else if (kind == "pointer") {
    event = PointerEvent{.x = elements.number(),
                         .y = elements.number(),
                         .buttons = buttons_of(elements.whole()),
                         .wheel_x = elements.number(),
                         .wheel_y = elements.number()};
  } else if (kind == "touch") {
    event = touch_of(elements);
  } else if (kind == "gesture") {
    const uint64_t phase = elements.whole();
    elements.good = elements.good && phase <= static_cast<unsigned>(GesturePhase::end);
    event = GestureEvent{.phase = static_cast<GesturePhase>(phase),
                         .fingers = static_cast<unsigned>(elements.whole()),
                         .dx = elements.number(),
                         .dy = elements.number(),
                         .magnification = elements.number(),
                         .rotation = elements.number()};
  } else {
    return std::nullopt;
  }
  if (!elements.good || !elements.at_end()) return std::nullopt;
  return event;
}

std::vector<InputEvent> input_events_of(const Json& message) {
  std::vector<InputEvent> events;
  for (const Json& tree : member_of(message, "events")) {
    if (auto event = input_event_from_json(tree)) events.push_back(*std::move(event));
  }
  return events;
}

}  // namespace alcove::control
