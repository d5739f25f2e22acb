// A SPICE agent in the fake guest: whatever the host copies, it pastes, and copies it: texts with "echo: "
// before, of pictures the same.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <thread>

#include "agent/messages.h"
#include "spec/spice_agent.h"
#include "support/unique_fd.h"

namespace alcove {

class FakeAgent {
 public:
  explicit FakeAgent(UniqueFd port) : port_(std::move(port)), thread_([this] { run(); }) {}
  ~FakeAgent() {
    ::shutdown(port_.get(), SHUT_RDWR);
    thread_.join();
  }

 private:
  void say(uint32_t type, std::initializer_list<uint32_t> words, const std::string& text = {}) {
    std::vector<std::byte> body(words.size() * sizeof(uint32_t) + text.size());
    std::memcpy(body.data(), words.begin(), words.size() * sizeof(uint32_t));
    std::memcpy(body.data() + words.size() * sizeof(uint32_t), text.data(), text.size());
    const std::vector<std::byte> bytes = agent::chunks_of(type, body);
    ssize_t done = 0;
    for (size_t at = 0; at < bytes.size() && done >= 0; at += static_cast<size_t>(done))
      done = ::write(port_.get(), bytes.data() + at, bytes.size() - at);
  }
  void take(uint32_t type, std::span<const std::byte> body) {
    namespace wire = spec::spice_agent;
    constexpr size_t kHead = 8;  // The selection and the form.
    if (type == wire::kAnnounceCapabilities)
      say(type, {0, 1u << wire::kClipboardByDemand | 1u << wire::kClipboardSelection});
    uint32_t form = wire::kNone;
    if (body.size() >= kHead) std::memcpy(&form, &body[kHead - sizeof form], sizeof form);
    if (type == wire::kClipboardGrab) say(wire::kClipboardRequest, {0, form});
    if (type == wire::kClipboard && form != wire::kNone) {
      copied_.assign(reinterpret_cast<const char*>(body.data()) + kHead, body.size() - kHead);
      if (form == wire::kUtf8Text) copied_ = "echo: " + copied_;
      say(wire::kClipboardGrab, {0, form});
    }
    if (type == wire::kClipboardRequest) say(wire::kClipboard, {0, form}, copied_);
  }
  void run() {
    ::fcntl(port_.get(), F_SETFL, ::fcntl(port_.get(), F_GETFL) & ~O_NONBLOCK);
    agent::MessageReader reader(64 << 20,
                                [this](uint32_t type, std::span<const std::byte> body) { take(type, body); });
    std::array<std::byte, 65536> buffer;
    for (ssize_t size = 0; (size = ::read(port_.get(), buffer.data(), buffer.size())) > 0;)
      reader.feed(std::span(buffer).first(static_cast<size_t>(size)));
  }

  const UniqueFd port_;
  std::string copied_;
  std::thread thread_;
};

}  // namespace alcove
