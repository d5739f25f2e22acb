// Whatever comes over the control socket, from a broken or hostile machine process, is a message or an error.
#include <array>
#include <cstdint>
#include <span>

#include "control/channel.h"
#include "control/input_messages.h"
#include "control/messages.h"

using namespace alcove;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  control::FrameReader reader;
  const auto input = std::as_bytes(std::span(data, size));
  for (size_t at = 0; at < input.size(); at += 7) {
    reader.add(input.subspan(at, std::min<size_t>(7, input.size() - at)));
    while (true) {
      auto text = reader.next();
      if (!text) return 0;
      if (!*text) break;
      auto message = config::parse_json(**text, "");
      if (!message) continue;
      (void)control::error_from_json(control::member_of(*message, "error"));
      (void)control::statistics_from_json(control::member_of(*message, "statistics"));
      (void)control::input_events_of(*message);
      (void)control::texts_of(*message, "addresses");
      (void)control::prerequisite_from_json(*message);
      (void)config::port_forward_from_tree(control::member_of(*message, "forward"), "forward");
      (void)config::usb_device_from_tree(control::member_of(*message, "device"), "device");
      (void)config::storage_device_from_tree(control::member_of(*message, "device"), "device");
      std::vector<Error> errors;
      (void)config::from_tree(control::member_of(*message, "configuration"), errors);
      (void)config::print_json(*message);
    }
  }
  return 0;
}
