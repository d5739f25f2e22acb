// `alcove type`: keys for a machine without a view.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <thread>

#include "cli/commands.h"
#include "cli/control.h"
#include "cli/output.h"

namespace alcove::cli {

namespace {

std::string standard_input() {
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t count = 0; (count = ::read(STDIN_FILENO, buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<size_t>(count));
  return text;
}

// All that go down together before one comes up, and the reverse, are sent at once.
Result<> send(const Bundle& bundle, const std::vector<KeyEvent>& events, std::chrono::milliseconds delay) {
  auto socket = bundle.connect();
  if (!socket) return std::unexpected(socket.error());
  std::string rest;
  for (size_t start = 0; start < events.size();) {
    nlohmann::json keys = nlohmann::json::array();
    const bool pressed = events[start].pressed;
    for (; start < events.size() && events[start].pressed == pressed; ++start)
      keys.push_back({static_cast<unsigned>(events[start].key), pressed});
    auto reply = ask(socket->get(), {{"command", "keys"}, {"keys", std::move(keys)}}, rest);
    if (!reply) return std::unexpected(reply.error());
    std::this_thread::sleep_for(delay);
  }
  return {};
}

}  // namespace

int type(const Bundle& bundle, const std::string& text, const std::vector<std::string>& combinations,
         unsigned delay_milliseconds) {
  std::vector<KeyEvent> events;
  const auto add = [&](Result<std::vector<KeyEvent>> more, const std::string& where) -> Result<> {
    if (!more) {
      more.error().where = where;
      return std::unexpected(more.error());
    }
    events.insert(events.end(), more->begin(), more->end());
    return {};
  };
  if (text.empty() && combinations.empty()) {
    return report(
        {ErrorCode::not_supported, "type", "there is nothing to type", "give a text, or --key KEYS"});
  }
  if (auto added = add(key_events_for_text(text == "-" ? standard_input() : text), "TEXT"); !added)
    return report(added.error());
  for (const std::string& combination : combinations) {
    if (auto added = add(parse_key_combination(combination), "--key"); !added) return report(added.error());
  }
  if (auto sent = send(bundle, events, std::chrono::milliseconds(delay_milliseconds)); !sent)
    return report(sent.error());
  return 0;
}

}  // namespace alcove::cli
