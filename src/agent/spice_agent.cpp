#include "agent/spice_agent.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "spec/spice_agent.h"
#include "support/line_ends.h"
#include "support/utf8.h"

namespace alcove::agent {

namespace wire = spec::spice_agent;

namespace {

constexpr size_t kSelectionSize = 4;
// A guest that asks and does not read gets no more than this, and what has just been asked for.
constexpr size_t kLargestBacklog = 1 << 20;
constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1a\n";

template <class T>
std::optional<T> value_at(std::span<const std::byte> bytes, size_t offset) {
  if (bytes.size() < offset + sizeof(T)) return {};
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

template <class T>
void append(std::vector<std::byte>& bytes, const T& value) {
  const auto view = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), view.begin(), view.end());
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

SpiceAgent::SpiceAgent(ClipboardSharing sharing, Copied copied)
    : reader_(Clipboard::maximum_size() + 64,
              [this](uint32_t type, std::span<const std::byte> body) { take(type, body); }),
      copied_(std::move(copied)),
      sharing_(sharing) {}

void SpiceAgent::open() {
  close();
  announce(true);
}

void SpiceAgent::close() {
  reader_.reset();
  outgoing_.clear();
  consumed_ = backlog_ = 0;
  connected_ = grabbed_ = false;
  capabilities_ = 0;
  wanted_.clear();
}

std::span<const std::byte> SpiceAgent::pending() const {
  return outgoing_.empty() ? std::span<const std::byte>()
                           : std::span<const std::byte>(outgoing_.front()).subspan(consumed_);
}

void SpiceAgent::consume(size_t size) {
  consumed_ += size;
  backlog_ -= size;
  if (consumed_ < outgoing_.front().size()) return;
  outgoing_.pop_front();
  consumed_ = 0;
}

void SpiceAgent::send(uint32_t type, std::span<const std::byte> body) {
  outgoing_.push_back(chunks_of(type, body));
  backlog_ += outgoing_.back().size();
}

void SpiceAgent::announce(bool answer_wanted) {
  std::vector<std::byte> body;
  append(body, uint32_t{answer_wanted});
  append(body, 1u << wire::kMonitorsConfigurationCapability | 1u << wire::kClipboardByDemand |
                   1u << wire::kClipboardSelection | 1u << wire::kMaxClipboardCapability);
  send(wire::kAnnounceCapabilities, body);
}

void SpiceAgent::offer(ClipboardContents contents) {
  offered_ = std::move(contents);
  if (!connected_ || !sharing_.to_guest) return;
  if (offered_.is_empty()) {
    release();
  } else {
    grab();
  }
}

void SpiceAgent::share(ClipboardSharing sharing) {
  const ClipboardSharing before = std::exchange(sharing_, sharing);
  if (before.to_guest && !sharing.to_guest) release();
  if (!before.to_guest && sharing.to_guest && connected_ && !offered_.is_empty()) grab();
  if (before.from_guest && !sharing.from_guest) {
    wanted_.clear();
    if (!std::exchange(withdrawn_, true)) copied_({});
  }
}

void SpiceAgent::arrange(std::vector<DisplaySize> displays) {
  displays_ = std::move(displays);
  if (connected_) tell_displays();
}

void SpiceAgent::tell_displays() {
  if (displays_.empty() || !has(wire::kMonitorsConfigurationCapability)) return;
  std::vector<std::byte> body;
  append(body, wire::MonitorsHeader{.count = static_cast<uint32_t>(displays_.size()),
                                    .flags = wire::kMonitorsHavePositions});
  int32_t x = 0;
  for (const DisplaySize& size : displays_) {
    constexpr uint32_t kDepth = 32;
    append(body, wire::Monitor{.height = size.height, .width = size.width, .depth = kDepth, .x = x, .y = 0});
    x += static_cast<int32_t>(size.width);
  }
  send(wire::kMonitorsConfiguration, body);
}

void SpiceAgent::grab() {
  std::vector<std::byte> body = for_clipboard();
  if (offered_.text) append(body, wire::kUtf8Text);
  if (offered_.png) append(body, wire::kPng);
  send(wire::kClipboardGrab, body);
  grabbed_ = true;
}

void SpiceAgent::release() {
  if (std::exchange(grabbed_, false)) send(wire::kClipboardRelease, for_clipboard());
}

std::vector<std::byte> SpiceAgent::for_clipboard() const {
  return std::vector<std::byte>(has(wire::kClipboardSelection) ? kSelectionSize : 0,
                                std::byte{wire::kSelectionClipboard});
}

std::optional<std::span<const std::byte>> SpiceAgent::of_clipboard(std::span<const std::byte> body) const {
  if (!has(wire::kClipboardSelection)) return body;
  if (body.size() < kSelectionSize || body[0] != std::byte{wire::kSelectionClipboard}) return {};
  return body.subspan(kSelectionSize);
}

void SpiceAgent::take(uint32_t type, std::span<const std::byte> body) {
  if (type == wire::kAnnounceCapabilities) return take_capabilities(body);
  const auto rest = of_clipboard(body);
  if (!rest || !connected_) return;
  if (type == wire::kClipboardGrab) return take_grab(*rest);
  if (type == wire::kClipboardRequest) return take_request(*rest);
  if (type == wire::kClipboard) return take_contents(*rest);
}

void SpiceAgent::take_capabilities(std::span<const std::byte> body) {
  const auto answer_wanted = value_at<uint32_t>(body, 0);
  const auto capabilities = value_at<uint32_t>(body, 4);
  if (!answer_wanted || !capabilities || backlog_ > kLargestBacklog) return;
  capabilities_ = *capabilities;
  if (*answer_wanted) announce(false);
  // Agents without it push their clipboard unasked; none has in the last ten years.
  if (!has(wire::kClipboardByDemand)) {
    connected_ = grabbed_ = false;
    return;
  }
  if (has(wire::kMaxClipboardCapability)) {
    std::vector<std::byte> most;
    append(most, static_cast<uint32_t>(Clipboard::maximum_size()));
    send(wire::kMaxClipboard, most);
  }
  if (std::exchange(connected_, true)) return;
  tell_displays();
  if (sharing_.to_guest && !offered_.is_empty()) grab();
}

void SpiceAgent::take_grab(std::span<const std::byte> forms) {
  // The guest still may ask for what the host offered: where both copied at once, it has heard of the host's
  // copy after its own.
  if (!sharing_.from_guest) return;
  bool text = false, png = false;
  for (size_t at = 0; const auto form = value_at<uint32_t>(forms, at); at += sizeof(uint32_t)) {
    text |= *form == wire::kUtf8Text;
    png |= *form == wire::kPng;
  }
  wanted_.clear();
  arriving_ = {};
  if (text) wanted_.push_back(wire::kUtf8Text);
  if (png) wanted_.push_back(wire::kPng);
  if (!wanted_.empty()) request_next();
}

void SpiceAgent::request_next() {
  if (backlog_ > kLargestBacklog) return wanted_.clear();
  std::vector<std::byte> body = for_clipboard();
  append(body, wanted_.front());
  send(wire::kClipboardRequest, body);
}

void SpiceAgent::take_request(std::span<const std::byte> body) {
  const auto form = value_at<uint32_t>(body, 0);
  if (!form || backlog_ > kLargestBacklog) return;
  std::vector<std::byte> answer = for_clipboard();
  const bool may = grabbed_ && sharing_.to_guest;
  if (may && *form == wire::kUtf8Text && offered_.text) {
    append(answer, wire::kUtf8Text);
    const std::string text = has(wire::kGuestLineEndCrLf) ? with_returns(*offered_.text) : *offered_.text;
    const auto bytes = std::as_bytes(std::span(text));
    answer.insert(answer.end(), bytes.begin(), bytes.end());
  } else if (may && *form == wire::kPng && offered_.png) {
    append(answer, wire::kPng);
    answer.insert(answer.end(), offered_.png->begin(), offered_.png->end());
  } else {
    append(answer, wire::kNone);
  }
  send(wire::kClipboard, answer);
}

void SpiceAgent::take_contents(std::span<const std::byte> body) {
  const auto form = value_at<uint32_t>(body, 0);
  if (!form || wanted_.empty() || (*form != wanted_.front() && *form != wire::kNone)) return;
  const auto contents = body.subspan(sizeof(uint32_t));
  const std::string_view bytes = text_of(contents);
  // Both together, as everywhere else.
  const bool fits = arriving_.size() + contents.size() <= Clipboard::maximum_size();
  if (fits && *form == wire::kUtf8Text && !bytes.empty() && is_utf8(bytes))
    arriving_.text = with_line_feeds(bytes);
  if (fits && *form == wire::kPng && bytes.starts_with(kPngSignature))
    arriving_.png.emplace(contents.begin(), contents.end());
  wanted_.pop_front();
  if (!wanted_.empty()) return request_next();
  if (arriving_.is_empty()) return;
  withdrawn_ = false;
  copied_(std::exchange(arriving_, {}));
}

}  // namespace alcove::agent

namespace alcove {

uint64_t Clipboard::maximum_size() {
  return 32 << 20;
}

}  // namespace alcove
