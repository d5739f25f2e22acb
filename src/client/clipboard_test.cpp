// The clipboard's end of a machine's port; the test is the agent in the guest.
#include "client/clipboard.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <deque>

#include "spec/spice_agent.h"

namespace alcove::client {
namespace {

namespace wire = spec::spice_agent;
using Bytes = std::vector<std::byte>;

Bytes message(std::initializer_list<uint32_t> words, std::string_view text = {}) {
  const auto numbers = std::as_bytes(std::span(words.begin(), words.size()));
  const auto letters = std::as_bytes(std::span(text));
  Bytes bytes;
  for (const auto& part : {numbers, letters}) bytes.insert(bytes.end(), part.begin(), part.end());
  return bytes;
}

class ClipboardProxyTest : public testing::Test {
 protected:
  void open() {
    reader.reset();
    messages.clear();
    loop->loop().call([&] { guest = clipboard.connect().value(); });
    say(wire::kAnnounceCapabilities, {0, 1u << wire::kClipboardByDemand | 1u << wire::kClipboardSelection});
    EXPECT_TRUE(hears(wire::kAnnounceCapabilities));
    EXPECT_TRUE(eventually([&] { return clipboard.is_connected(); }));
  }
  void say(uint32_t type, std::initializer_list<uint32_t> words, std::string_view text = {}) {
    const Bytes bytes = agent::chunks_of(type, message(words, text));
    ASSERT_EQ(::write(guest.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  // Reads until there is a message of that type; its body is in `heard`.
  bool hears(uint32_t type) {
    Bytes buffer(1 << 16);
    while (true) {
      while (!messages.empty()) {
        const auto [got, body] = std::move(messages.front());
        messages.pop_front();
        heard = body;
        if (got == type) return true;
      }
      pollfd poll_for{.fd = guest.get(), .events = POLLIN, .revents = 0};
      if (::poll(&poll_for, 1, 10'000) != 1) return false;
      const ssize_t size = ::read(guest.get(), buffer.data(), buffer.size());
      if (size <= 0) return false;
      reader.feed(std::span(buffer).first(static_cast<size_t>(size)));
    }
  }
  static bool eventually(const auto& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      ::usleep(1000);
    }
    return true;
  }

  std::optional<exec::LoopThread> loop{"clipboard"};
  ClipboardProxy clipboard{loop->loop(), {}, [] {}};
  UniqueFd guest;
  std::deque<std::pair<uint32_t, Bytes>> messages;
  agent::MessageReader reader{1 << 26, [this](uint32_t type, std::span<const std::byte> body) {
                                messages.emplace_back(type, Bytes(body.begin(), body.end()));
                              }};
  Bytes heard;

  ~ClipboardProxyTest() override { loop.reset(); }
};

TEST_F(ClipboardProxyTest, SharesBothWays) {
  open();
  ASSERT_TRUE(clipboard.set_contents({.text = "host"}));
  ASSERT_TRUE(hears(wire::kClipboardGrab));
  say(wire::kClipboardRequest, {0, wire::kUtf8Text});
  ASSERT_TRUE(hears(wire::kClipboard));
  EXPECT_EQ(heard, message({0, wire::kUtf8Text}, "host"));
  say(wire::kClipboardGrab, {0, wire::kUtf8Text});
  ASSERT_TRUE(hears(wire::kClipboardRequest));
  say(wire::kClipboard, {0, wire::kUtf8Text}, "guest");
  EXPECT_TRUE(eventually([&] { return clipboard.contents().text == "guest"; }));
  clipboard.set_sharing({.to_guest = true, .from_guest = false});
  EXPECT_TRUE(eventually([&] { return clipboard.contents().is_empty(); }));
}

TEST_F(ClipboardProxyTest, SendsMoreThanASocketTakesAtOnce) {
  open();
  std::vector<std::byte> picture(20 << 20, std::byte{7});
  ASSERT_TRUE(clipboard.set_contents({.png = picture}));
  ASSERT_TRUE(hears(wire::kClipboardGrab));
  say(wire::kClipboardRequest, {0, wire::kPng});
  ASSERT_TRUE(hears(wire::kClipboard));
  EXPECT_EQ(heard.size(), picture.size() + 8);
}

TEST_F(ClipboardProxyTest, AgentsThatEndInTheMiddleLeaveNothingToTheNext) {
  open();
  ASSERT_TRUE(clipboard.set_contents({.png = std::vector<std::byte>(20 << 20, std::byte{7})}));
  ASSERT_TRUE(hears(wire::kClipboardGrab));
  say(wire::kClipboardRequest, {0, wire::kPng});
  say(wire::kClipboardGrab, {0, wire::kUtf8Text});
  const Bytes half = agent::chunks_of(wire::kClipboard, message({0, wire::kUtf8Text}, "a long text"));
  ASSERT_GT(::write(guest.get(), half.data(), half.size() - 5), 0);
  const UniqueFd before = std::move(guest);
  open();
  say(wire::kClipboardGrab, {0, wire::kUtf8Text});
  ASSERT_TRUE(hears(wire::kClipboardRequest));
  say(wire::kClipboard, {0, wire::kUtf8Text}, "of the next");
  EXPECT_TRUE(eventually([&] { return clipboard.contents().text == "of the next"; }));
}

TEST_F(ClipboardProxyTest, RefusesTooMuch) {
  const auto refused = clipboard.set_contents({.text = std::string(Clipboard::maximum_size() + 1, 'x')});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::virtual_machine_limit_exceeded);
}

TEST_F(ClipboardProxyTest, TakesTheNextAgentAndTheNextMachine) {
  open();
  loop->loop().call([&] { clipboard.disconnect(); });
  EXPECT_TRUE(eventually([&] { return !clipboard.is_connected(); }));
  open();
  guest.reset();  // The machine is gone.
  EXPECT_TRUE(eventually([&] { return !clipboard.is_connected(); }));
  ASSERT_TRUE(clipboard.set_contents({.text = "kept"}));
  open();
  ASSERT_TRUE(hears(wire::kClipboardGrab));
}

}  // namespace
}  // namespace alcove::client
