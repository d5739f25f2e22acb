#include "control/channel.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/input_messages.h"
#include "control/messages.h"

namespace alcove::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Frame, SurvivesAnyCutting) {
  const std::string stream = frame("one") + frame("") + frame(std::string(1000, 'x'));
  for (size_t step : {1u, 3u, 5000u}) {
    FrameReader reader;
    std::vector<std::string> messages;
    for (size_t at = 0; at < stream.size(); at += step) {
      reader.add(std::as_bytes(std::span(stream).subspan(at, std::min(step, stream.size() - at))));
      while (true) {
        auto next = reader.next();
        ASSERT_TRUE(next);
        if (!*next) break;
        messages.push_back(**next);
      }
    }
    EXPECT_THAT(messages, ElementsAre("one", "", std::string(1000, 'x')));
  }
}

TEST(Frame, RefusesWhatIsTooLarge) {
  FrameReader reader;
  reader.add(std::as_bytes(std::span(std::string_view("\x01\x00\x40\x00", 4))));
  EXPECT_FALSE(reader.next());
}

// Two ends on one loop that runs as long as a test waits for something.
class ChannelTest : public testing::Test {
 protected:
  ChannelTest() {
    auto sockets = socket_pair();
    left_socket = std::move(sockets->first);
    right_socket = std::move(sockets->second);
  }
  std::unique_ptr<Channel> open(UniqueFd socket) {
    return std::make_unique<Channel>(
        loop, std::move(socket),
        [this](Json message, std::vector<UniqueFd> descriptors) {
          messages.push_back(std::move(message));
          for (UniqueFd& descriptor : descriptors) received.push_back(std::move(descriptor));
          if (messages.size() == wanted) loop.stop();
        },
        [this](const Error& error) {
          closed = error.what;
          loop.stop();
        });
  }
  void run() {
    const auto patience = loop.call_at(exec::Clock::now() + std::chrono::seconds(20), [this] {
      ADD_FAILURE() << "nothing came";
      loop.stop();
    });
    loop.run();
    loop.cancel(patience);
  }

  exec::EventLoop loop;
  UniqueFd left_socket;
  UniqueFd right_socket;
  std::vector<Json> messages;
  std::vector<UniqueFd> received;
  std::string closed;
  size_t wanted = 1;
};

TEST_F(ChannelTest, CarriesMessages) {
  auto left = open(std::move(left_socket));
  auto right = open(std::move(right_socket));
  wanted = 2;
  left->send({{"text", "one"}});
  left->send({{"text", "two\xff"}});
  run();
  EXPECT_EQ(messages[0]["text"], "one");
  EXPECT_EQ(messages[1]["text"], "two\ufffd");
}

TEST_F(ChannelTest, CarriesDescriptorsInOrder) {
  auto left = open(std::move(left_socket));
  auto right = open(std::move(right_socket));
  std::vector<UniqueFd> pipes;
  std::vector<UniqueFd> sent;
  std::vector<ino_t> identities;
  for (int i = 0; i < 300; ++i) {  // More than the kernel takes at once.
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    sent.emplace_back(ends[0]);
    pipes.emplace_back(ends[1]);
    struct stat status{};
    ::fstat(ends[0], &status);
    identities.push_back(status.st_ino);
  }
  left->send({{"text", "a long enough message"}}, std::move(sent));
  run();
  ASSERT_EQ(received.size(), identities.size());
  for (size_t i = 0; i < received.size(); ++i) {
    struct stat status{};
    ::fstat(received[i].get(), &status);
    EXPECT_EQ(status.st_ino, identities[i]);
    EXPECT_NE(::fcntl(received[i].get(), F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST_F(ChannelTest, KeepsWhatIsNotRead) {
  auto left = open(std::move(left_socket));
  wanted = 1000;
  for (int i = 0; i < 1000; ++i) left->send({{"text", std::string(4000, 'x')}, {"number", i}});
  EXPECT_GT(left->backlog(), 1000000u);
  bool drained = false;
  left->on_drained([&] { drained = true; });
  auto right = open(std::move(right_socket));
  run();
  EXPECT_EQ(left->backlog(), 0u);
  EXPECT_TRUE(drained);
  ASSERT_EQ(messages.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(messages[i]["number"], i);
}

TEST_F(ChannelTest, LeavesMessagesWhereTheyAreUntilItReads) {
  auto left = open(std::move(left_socket));
  auto right = open(std::move(right_socket));
  right->set_reading(false);
  wanted = 2;
  left->send({{"text", "one"}});
  left->send({{"text", "two"}});
  loop.call_at(exec::Clock::now() + std::chrono::milliseconds(50), [&] {
    EXPECT_TRUE(messages.empty());
    right->set_reading(true);
  });
  run();
  EXPECT_EQ(messages[1]["text"], "two");
}

TEST_F(ChannelTest, ReadsWhatIsLeftOfTheOtherSide) {
  auto left = open(std::move(left_socket));
  std::unique_ptr<Channel> right;
  std::vector<std::string> texts;
  right = std::make_unique<Channel>(
      loop, std::move(right_socket),
      [&](const Json& message, const std::vector<UniqueFd>&) {
        texts.push_back(message["text"]);
        if (texts.size() > 1) return;
        right->set_reading(false);
        loop.call_at(exec::Clock::now() + std::chrono::milliseconds(50), [&] {
          EXPECT_EQ(texts.size(), 1u);
          left.reset();
        });
      },
      [this](const Error&) { loop.stop(); });
  for (const char* text : {"one", "two", "three"}) left->send({{"text", text}});
  run();
  EXPECT_THAT(texts, ElementsAre("one", "two", "three"));
}

TEST_F(ChannelTest, FlushGivesUpInTime) {
  auto left = open(std::move(left_socket));
  for (int i = 0; i < 1000; ++i) left->send({{"text", std::string(4000, 'x')}});
  const auto before = exec::Clock::now();
  left->flush(before + std::chrono::milliseconds(30));
  EXPECT_GT(left->backlog(), 0u);
  EXPECT_LT(exec::Clock::now() - before, std::chrono::seconds(10));
}

TEST_F(ChannelTest, TellsOfTheOtherSidesEnd) {
  auto left = open(std::move(left_socket));
  right_socket.reset();
  run();
  EXPECT_THAT(closed, HasSubstr("closed the connection"));
  left->send({{"text", "to nobody"}});
}

class Nonsense : public ChannelTest, public testing::WithParamInterface<std::string> {};

TEST_P(Nonsense, ClosesTheChannel) {
  auto left = open(std::move(left_socket));
  const std::string bytes = frame(GetParam());
  ASSERT_EQ(::send(right_socket.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  run();
  EXPECT_FALSE(closed.empty());
  EXPECT_TRUE(messages.empty());
}

INSTANTIATE_TEST_SUITE_P(All, Nonsense,
                         testing::Values("", "[]", "{", "\xff", "{\"descriptor_count\":1}",
                                         "{\"descriptor_count\":-1}", "{\"descriptor_count\":\"x\"}",
                                         "{\"descriptor_count\":18446744073709551615}"));

TEST_F(ChannelTest, MayBeDestroyedByItsCallback) {
  std::unique_ptr<Channel> left;
  left = std::make_unique<Channel>(
      loop, std::move(left_socket),
      [&](const Json&, const std::vector<UniqueFd>&) {
        loop.stop();
        left.reset();
      },
      [](const Error&) { ADD_FAILURE(); });
  auto right = open(std::move(right_socket));
  right->send(Json::object());
  right->send(Json::object());
  closed.clear();
  run();
  EXPECT_EQ(left, nullptr);
}

TEST(Messages, ErrorsSurvive) {
  const Error error{ErrorCode::invalid_disk_image, "a.b", "what", "hint"};
  EXPECT_EQ(error_from_json(to_json(error)), error);
  EXPECT_EQ(error_from_json(Json::parse(config::print_json(to_json(error)))), error);
}

TEST(Messages, ErrorsThatCannotBeReadAreErrors) {
  for (const Json& tree : {Json(), Json::object(), Json{{"code", 77u}, {"what", ""}}, Json{{"code", 1u}}}) {
    EXPECT_THAT(error_from_json(tree).what, HasSubstr("can't be read"));
  }
}

TEST(Messages, StatisticsSurvive) {
  MemoryBalloonStatistics all{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  EXPECT_EQ(statistics_from_json(Json::parse(config::print_json(to_json(all)))), all);
  MemoryBalloonStatistics few{.current_memory_size = 1};
  EXPECT_EQ(statistics_from_json(Json::parse(config::print_json(to_json(few)))), few);
}

TEST(Messages, InputEventsSurvive) {
  const InputEvent events[] = {
      KeyEvent{Key::right_meta, true},
      PointerEvent{.x = 0.25,
                   .y = 1,
                   .buttons = {.left = true, .middle = true, .forward = true},
                   .wheel_x = -0.5,
                   .wheel_y = 3},
      TouchEvent{.contacts = {{.id = 7, .x = 0.1, .y = 0.9}, {.id = ~0u, .x = 1, .y = 0}}, .pressed = true},
      TouchEvent{},
      GestureEvent{.phase = GesturePhase::end,
                   .fingers = 3,
                   .dx = 1.5,
                   .dy = -2,
                   .magnification = 0.01,
                   .rotation = -4}};
  Json message = {{"events", Json::array()}};
  for (const InputEvent& event : events) message["events"].push_back(to_json(event));
  message["events"].push_back(Json::array({"key", 4u, 1u}));
  const auto read = input_events_of(Json::parse(config::print_json(message)));
  EXPECT_THAT(read, testing::ElementsAreArray(events));
}

TEST(Messages, WhatIsNoInputEventIsNone) {
  for (const char* text :
       {"{}", "[]", "[1]", "[\"key\"]", "[\"key\",4]", "[\"key\",4,true,1]", "[\"key\",65536,true]",
        "[\"key\",-1,true]", "[\"pointer\",0,0,0,0]", "[\"touch\",true,1,2]", "[\"touch\",0]",
        "[\"gesture\",3,2,0,0,0,0]", "[\"gesture\",0,2,0,0,0,null]", "[\"wink\"]"}) {
    EXPECT_FALSE(input_event_from_json(Json::parse(text))) << text;
  }
}

TEST(Messages, PrerequisitesSurvive) {
  const Prerequisite one{"kvm", true, false, "found", "hint"};
  EXPECT_EQ(prerequisite_from_json(to_json(one)), one);
}

}  // namespace
}  // namespace alcove::control
