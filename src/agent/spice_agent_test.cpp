#include "agent/spice_agent.h"

#include <gtest/gtest.h>

#include <cstring>

#include "spec/spice_agent.h"

namespace alcove::agent {
namespace {

namespace wire = spec::spice_agent;
using Bytes = std::vector<std::byte>;

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}
Bytes bytes_of(std::string_view text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}
template <class... Words>
Bytes words(Words... values) {
  const uint32_t list[] = {static_cast<uint32_t>(values)...};
  const auto view = std::as_bytes(std::span(list));
  return {view.begin(), view.end()};
}
constexpr uint32_t bit(unsigned number) {
  return 1u << number;
}
const std::string kPng = std::string("\x89PNG\r\n\x1a\n", 8) + "picture";

struct Message {
  uint32_t type;
  Bytes body;
  bool operator==(const Message&) const = default;
};

// A guest's agent with the usual capabilities.
class SpiceAgentTest : public testing::Test {
 protected:
  // What the host has sent since the last call.
  std::vector<Message> heard() {
    std::vector<Message> messages;
    MessageReader reader(64 << 20, [&](uint32_t type, std::span<const std::byte> body) {
      messages.push_back({type, {body.begin(), body.end()}});
    });
    while (!agent.pending().empty()) {
      const size_t size = std::min<size_t>(agent.pending().size(), 1000);
      reader.feed(agent.pending().first(size));
      agent.consume(size);
    }
    return messages;
  }
  void say(uint32_t type, const Bytes& body) { agent.receive(chunks_of(type, body)); }
  void connect(uint32_t capabilities = bit(wire::kClipboardByDemand) | bit(wire::kClipboardSelection)) {
    agent.open();
    say(wire::kAnnounceCapabilities, words(0, capabilities));
    heard();
  }
  // With the four bytes of the selection.
  void say_of_clipboard(uint32_t type, const Bytes& body) { say(type, words(0) + body); }
  void copy(std::string_view text) {
    say_of_clipboard(wire::kClipboardGrab, words(wire::kUtf8Text));
    say_of_clipboard(wire::kClipboard, words(wire::kUtf8Text) + bytes_of(text));
  }
  std::string paste(uint32_t form) {
    heard();
    say_of_clipboard(wire::kClipboardRequest, words(form));
    const auto messages = heard();
    if (messages.size() != 1 || messages[0].type != wire::kClipboard) return "no answer";
    if (messages[0].body.size() < 8) return "short";
    if (Bytes(messages[0].body.begin(), messages[0].body.begin() + 8) != words(0, form)) return "refused";
    return {reinterpret_cast<const char*>(messages[0].body.data()) + 8, messages[0].body.size() - 8};
  }

  std::vector<ClipboardContents> copied;
  SpiceAgent agent{{}, [this](const ClipboardContents& contents) { copied.push_back(contents); }};
};

TEST_F(SpiceAgentTest, AnnouncesItselfAndLearnsOfTheGuest) {
  agent.open();
  const auto first = heard();
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].type, wire::kAnnounceCapabilities);
  EXPECT_EQ(Bytes(first[0].body.begin(), first[0].body.begin() + 4), words(1));
  EXPECT_FALSE(agent.is_connected());
  say(wire::kAnnounceCapabilities,
      words(1, bit(wire::kClipboardByDemand) | bit(wire::kMaxClipboardCapability)));
  EXPECT_TRUE(agent.is_connected());
  const auto answer = heard();
  ASSERT_EQ(answer.size(), 2u);
  EXPECT_EQ(answer[0].type, wire::kAnnounceCapabilities);
  EXPECT_EQ(Bytes(answer[0].body.begin(), answer[0].body.begin() + 4), words(0));
  EXPECT_EQ(answer[1], (Message{wire::kMaxClipboard, words(Clipboard::maximum_size())}));
  agent.close();
  EXPECT_FALSE(agent.is_connected());
}

TEST_F(SpiceAgentTest, TakesWhatTheGuestCopies) {
  connect();
  say_of_clipboard(wire::kClipboardGrab, words(99, wire::kPng, wire::kUtf8Text));
  EXPECT_EQ(heard(), (std::vector<Message>{{wire::kClipboardRequest, words(0, wire::kUtf8Text)}}));
  say_of_clipboard(wire::kClipboard, words(wire::kUtf8Text) + bytes_of("gr\xc3\xbc\xc3\x9f"));
  EXPECT_EQ(heard(), (std::vector<Message>{{wire::kClipboardRequest, words(0, wire::kPng)}}));
  EXPECT_TRUE(copied.empty());
  say_of_clipboard(wire::kClipboard, words(wire::kPng) + bytes_of(kPng));
  ASSERT_EQ(copied.size(), 1u);
  EXPECT_EQ(copied[0].text, "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(copied[0].png, bytes_of(kPng));
}

TEST_F(SpiceAgentTest, GivesWhatTheHostCopied) {
  connect();
  agent.offer({.text = "one\ntwo", .png = bytes_of(kPng)});
  EXPECT_EQ(heard(), (std::vector<Message>{{wire::kClipboardGrab, words(0, wire::kUtf8Text, wire::kPng)}}));
  EXPECT_EQ(paste(wire::kUtf8Text), "one\ntwo");
  EXPECT_EQ(paste(wire::kPng), kPng);
  EXPECT_EQ(paste(5), "refused");
  agent.offer({});
  EXPECT_EQ(heard(), (std::vector<Message>{{wire::kClipboardRelease, words(0)}}));
  EXPECT_EQ(paste(wire::kUtf8Text), "refused");
}

// The guest's message was on its way when the host copied, so that the guest goes by the host's.
TEST_F(SpiceAgentTest, GivesWhatWasCopiedWhileTheGuestCopied) {
  connect();
  agent.offer({.text = "the host's"});
  say_of_clipboard(wire::kClipboardGrab, words(wire::kUtf8Text));
  EXPECT_EQ(paste(wire::kUtf8Text), "the host's");
  say_of_clipboard(wire::kClipboard, words(wire::kNone));
  EXPECT_TRUE(copied.empty());
  EXPECT_EQ(paste(wire::kUtf8Text), "the host's");
}

TEST_F(SpiceAgentTest, OffersToAgentsThatComeLater) {
  agent.offer({.text = "early"});
  EXPECT_TRUE(heard().empty());
  agent.open();
  say(wire::kAnnounceCapabilities, words(0, bit(wire::kClipboardByDemand) | bit(wire::kClipboardSelection)));
  EXPECT_EQ(heard().back(), (Message{wire::kClipboardGrab, words(0, wire::kUtf8Text)}));
  EXPECT_EQ(paste(wire::kUtf8Text), "early");
}

TEST_F(SpiceAgentTest, LeavesTheOtherSelectionsAlone) {
  connect();
  say(wire::kClipboardGrab, words(1, wire::kUtf8Text));
  say(wire::kClipboardRequest, words(1, wire::kUtf8Text));
  EXPECT_TRUE(heard().empty());
}

TEST_F(SpiceAgentTest, TellsWhatSizesTheDisplaysAreToHave) {
  const uint32_t capabilities = bit(wire::kMonitorsConfigurationCapability) | bit(wire::kClipboardByDemand);
  connect(capabilities);
  agent.arrange({{1280, 800}, {640, 480}});
  const Message told{wire::kMonitorsConfiguration, words(2, 1, 800, 1280, 32, 0, 0, 480, 640, 32, 1280, 0)};
  EXPECT_EQ(heard(), std::vector{told});
  agent.close();
  agent.open();
  heard();
  say(wire::kAnnounceCapabilities, words(0, capabilities));
  EXPECT_EQ(heard(), std::vector{told});
  connect();  // An agent that knows nothing of displays.
  agent.arrange({{800, 600}});
  EXPECT_TRUE(heard().empty());
}

TEST_F(SpiceAgentTest, SpeaksToAgentsWithoutSelections) {
  connect(bit(wire::kClipboardByDemand));
  agent.offer({.text = "x"});
  EXPECT_EQ(heard(), (std::vector<Message>{{wire::kClipboardGrab, words(wire::kUtf8Text)}}));
  say(wire::kClipboardRequest, words(wire::kUtf8Text));
  EXPECT_EQ(heard(), (std::vector<Message>{{wire::kClipboard, words(wire::kUtf8Text) + bytes_of("x")}}));
}

TEST_F(SpiceAgentTest, EndsLinesAsTheGuestDoes) {
  connect(bit(wire::kClipboardByDemand) | bit(wire::kClipboardSelection) | bit(wire::kGuestLineEndCrLf));
  agent.offer({.text = "one\ntwo\n"});
  EXPECT_EQ(paste(wire::kUtf8Text), "one\r\ntwo\r\n");
  copy("three\r\nfour\rfive");
  ASSERT_EQ(copied.size(), 1u);
  EXPECT_EQ(copied[0].text, "three\nfour\rfive");
}

TEST_F(SpiceAgentTest, SharesInTheDirectionsThatAreOn) {
  connect();
  agent.share({.to_guest = false, .from_guest = true});
  agent.offer({.text = "secret"});
  EXPECT_TRUE(heard().empty());
  EXPECT_EQ(paste(wire::kUtf8Text), "refused");
  copy("out");
  EXPECT_EQ(copied.back().text, "out");

  agent.share({.to_guest = true, .from_guest = false});
  EXPECT_TRUE(copied.back().is_empty());  // Withdrawn.
  copy("secret");
  EXPECT_EQ(copied.size(), 2u);
  agent.share({});
  agent.offer({.text = "in"});
  EXPECT_EQ(paste(wire::kUtf8Text), "in");
  agent.share({.to_guest = false, .from_guest = false});
  EXPECT_EQ(heard(), (std::vector<Message>{{wire::kClipboardRelease, words(0)}}));
  agent.share({});
  EXPECT_EQ(heard().size(), 1u);
}

TEST_F(SpiceAgentTest, TakesNothingThatIsNotWhatItSays) {
  connect();
  copy("\xff\xfe");
  copy("");
  say_of_clipboard(wire::kClipboardGrab, words(wire::kPng));
  say_of_clipboard(wire::kClipboard, words(wire::kPng) + bytes_of("GIF89a"));
  say_of_clipboard(wire::kClipboard, words(wire::kUtf8Text) + bytes_of("not asked for"));
  EXPECT_TRUE(copied.empty());
}

TEST_F(SpiceAgentTest, BearsMessagesWithoutSense) {
  connect();
  for (uint32_t type = 0; type < 20; ++type) {
    for (size_t size = 0; size < 9; ++size) say(type, Bytes(size, std::byte{0}));
  }
  connect();
  copy("well");
  EXPECT_EQ(copied.back().text, "well");
}

TEST_F(SpiceAgentTest, SkipsWhatIsTooLong) {
  connect();
  say_of_clipboard(wire::kClipboardGrab, words(wire::kUtf8Text));
  say_of_clipboard(wire::kClipboard, words(wire::kUtf8Text) + Bytes(Clipboard::maximum_size() + 100));
  EXPECT_TRUE(copied.empty());
  copy("well");
  EXPECT_EQ(copied.back().text, "well");
}

TEST_F(SpiceAgentTest, LeavesOutWhatIsTooMuchTogether) {
  connect();
  say_of_clipboard(wire::kClipboardGrab, words(wire::kUtf8Text, wire::kPng));
  say_of_clipboard(wire::kClipboard,
                   words(wire::kUtf8Text) + Bytes(Clipboard::maximum_size() - 8, std::byte{'x'}));
  const std::string picture = "\x89PNG\r\n\x1a\nx";
  say_of_clipboard(wire::kClipboard, words(wire::kPng) + bytes_of(picture));
  ASSERT_EQ(copied.size(), 1u);
  EXPECT_EQ(copied.back().text->size(), Clipboard::maximum_size() - 8);
  EXPECT_FALSE(copied.back().png);
}

TEST_F(SpiceAgentTest, SendsNoMoreThanIsReadToAGuestThatAsksAndAsks) {
  connect();
  agent.offer({.text = std::string(1 << 20, 'x')});
  heard();
  for (int i = 0; i < 100; ++i) {
    say_of_clipboard(wire::kClipboardRequest, words(wire::kUtf8Text));
    say(wire::kAnnounceCapabilities, words(1, bit(wire::kClipboardByDemand)));
    say_of_clipboard(wire::kClipboardGrab, words(wire::kUtf8Text));
  }
  size_t size = 0;
  for (const Message& message : heard()) size += message.body.size();
  EXPECT_LT(size, 4u << 20);
}

TEST_F(SpiceAgentTest, UnderstandsMessagesInAnyPieces) {
  connect();
  say_of_clipboard(wire::kClipboardGrab, words(wire::kUtf8Text));
  const std::string text(10'000, 'y');
  const Bytes bytes = chunks_of(wire::kClipboard, words(0, wire::kUtf8Text) + bytes_of(text));
  for (const std::byte& byte : bytes) agent.receive(std::span(&byte, 1));
  ASSERT_EQ(copied.size(), 1u);
  EXPECT_EQ(copied[0].text, text);
}

TEST_F(SpiceAgentTest, BeginsAnewWhereTheStreamWasLost) {
  connect();
  agent.receive(words(wire::kClientPort, 0xffffffff));
  copy("lost");
  EXPECT_TRUE(copied.empty());
  connect();
  copy("found");
  EXPECT_EQ(copied.back().text, "found");
}

}  // namespace
}  // namespace alcove::agent
