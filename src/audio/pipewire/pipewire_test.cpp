// With a PipeWire of the test's own, where that is installed: a cable leads from its sink to its source.
#include "audio/pipewire/pipewire.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <thread>

#include "support/testing/temporary_folder.h"
#include "support/unix_address.h"

namespace alcove::audio {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;

constexpr const char* kConfiguration = R"(
context.properties = {
  core.daemon = true
  core.name = pipewire-0
  log.level = 1
  support.dbus = false
  default.clock.rate = 48000
}
context.spa-libs = {
  audio.convert.* = audioconvert/libspa-audioconvert
  support.* = support/libspa-support
}
context.modules = [
  { name = libpipewire-module-protocol-native }
  { name = libpipewire-module-metadata }
  { name = libpipewire-module-spa-node-factory }
  { name = libpipewire-module-client-node }
  { name = libpipewire-module-client-device }
  { name = libpipewire-module-access }
  { name = libpipewire-module-adapter }
  { name = libpipewire-module-link-factory }
  { name = libpipewire-module-session-manager }
  { name = libpipewire-module-loopback
    args = {
      audio.position = [ FL FR ]
      capture.props = { node.name = cable.sink media.class = Audio/Sink }
      playback.props = { node.name = cable.source media.class = Audio/Source }
    }
  }
]
context.objects = [
  { factory = spa-node-factory
    args = { factory.name = support.node.driver node.name = Dummy-Driver node.group = pipewire.dummy
             priority.driver = 20000 } }
]
)";

// WirePlumber's own policy, without what looks for devices of the host.
constexpr const char* kSessionConfiguration = R"(
context.properties = { log.level = 1 wireplumber.script-engine = lua-scripting }
context.spa-libs = {
  audio.convert.* = audioconvert/libspa-audioconvert
  support.* = support/libspa-support
}
context.modules = [
  { name = libpipewire-module-protocol-native }
  { name = libpipewire-module-client-node }
  { name = libpipewire-module-client-device }
  { name = libpipewire-module-adapter }
  { name = libpipewire-module-metadata }
  { name = libpipewire-module-session-manager }
]
wireplumber.components = [
  { name = libwireplumber-module-lua-scripting, type = module }
  { name = main.lua, type = config/lua }
  { name = policy.lua, type = config/lua }
]
)";
constexpr const char* kSessionScript = R"(
load_module("metadata")
device_defaults.enable()
stream_defaults.enable()
)";
constexpr auto kWirePlumber = "/usr/share/wireplumber";

// Programs that end with it.
class Server {
 public:
  Server() {
    std::ofstream(folder_.path() / "pipewire.conf") << kConfiguration;
    std::filesystem::create_directory(folder_.path() / "home");
    std::filesystem::create_directories(folder_.path() / "main.lua.d");
    std::ofstream(folder_.path() / "wireplumber.conf") << kSessionConfiguration;
    std::ofstream(folder_.path() / "main.lua.d" / "90-enable.lua") << kSessionScript;
    const std::filesystem::path stock = kWirePlumber;
    for (const std::string name :
         {"policy.lua.d", "main.lua.d/00-functions.lua", "main.lua.d/40-device-defaults.lua",
          "main.lua.d/40-stream-defaults.lua"}) {
      if (!std::filesystem::exists(stock / name)) return;
      std::filesystem::create_symlink(stock / name, folder_.path() / name);
    }
    if (!start({"pipewire", "-c", (folder_.path() / "pipewire.conf").string()})) return;
    for (int turn = 0; turn < 100 && !std::filesystem::exists(socket_path()); ++turn)
      std::this_thread::sleep_for(50ms);
    is_there_ = std::filesystem::exists(socket_path()) && start({"wireplumber"});
  }
  ~Server() { end(); }

  bool is_there() const { return is_there_; }
  UniqueFd connect() const {
    const auto address = UnixAddress::of(socket_path());
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    EXPECT_TRUE(address && address->connect(socket.get()));
    return socket;
  }
  void end() {
    for (const pid_t process : processes_) {
      ::kill(process, SIGKILL);
      ::waitpid(process, nullptr, 0);
    }
    processes_.clear();
  }

 private:
  std::filesystem::path socket_path() const { return folder_.path() / "pipewire-0"; }
  bool start(std::vector<std::string> arguments) {
    const std::string folder = folder_.path().string();
    std::vector<std::string> environment = {
        "PATH=" + std::string(getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin"),
        "PIPEWIRE_RUNTIME_DIR=" + folder,
        "XDG_RUNTIME_DIR=" + folder,
        "HOME=" + folder + "/home",
        "WIREPLUMBER_CONFIG_DIR=" + folder,
        std::string("WIREPLUMBER_DATA_DIR=") + kWirePlumber,
        "DBUS_SESSION_BUS_ADDRESS=unix:path=" + folder + "/none",
        "DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + folder + "/none"};
    const auto pointers = [](std::vector<std::string>& texts) {
      std::vector<char*> result;
      for (std::string& text : texts) result.push_back(text.data());
      result.push_back(nullptr);
      return result;
    };
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, (folder + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                     0600);
    pid_t process = 0;
    const int failed = posix_spawnp(&process, arguments[0].c_str(), &actions, nullptr,
                                    pointers(arguments).data(), pointers(environment).data());
    posix_spawn_file_actions_destroy(&actions);
    if (failed) return false;
    processes_.push_back(process);
    return true;
  }

  const TemporaryFolder folder_;
  std::vector<pid_t> processes_;
  bool is_there_ = false;
};

// No frame of it is silent.
Bytes noise(size_t frames) {
  Bytes bytes(frames * 4);
  uint32_t state = 1;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    state = state * 1664525 + 1013904223;
    const auto sample = static_cast<int16_t>(state >> 16 | 1);
    std::memcpy(bytes.data() + i, &sample, 2);
  }
  return bytes;
}

Bytes without_silence(const Bytes& bytes) {
  Bytes result;
  for (size_t i = 0; i + 4 <= bytes.size(); i += 4) {
    uint32_t frame;
    std::memcpy(&frame, bytes.data() + i, 4);
    if (frame != 0)
      result.insert(result.end(), bytes.begin() + static_cast<ptrdiff_t>(i),
                    bytes.begin() + static_cast<ptrdiff_t>(i + 4));
  }
  return result;
}

constexpr Format kFormat{};

// What is heard of `samples`, silence left out; until nothing comes for a while.
Bytes play_and_record(PipeWire& connection, const Bytes& samples) {
  auto output = connection.make_output();
  auto input = connection.make_input();
  EXPECT_TRUE(output->prepare(kFormat));
  EXPECT_TRUE(input->prepare(kFormat));
  input->start();
  Bytes recorded;
  size_t sent = 0;
  bool started = false;
  auto last_heard = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - last_heard < 5s && recorded.size() < samples.size()) {
    Bytes piece(input->ready().value_or(0));
    if (!piece.empty()) {
      input->read(piece);
      const Bytes heard = without_silence(piece);
      recorded.insert(recorded.end(), heard.begin(), heard.end());
      if (!heard.empty()) last_heard = std::chrono::steady_clock::now();
      // There is somebody who listens.
      if (!std::exchange(started, true)) output->start();
    }
    const auto ready = started ? output->ready() : 0;
    if (started && !ready) return {};
    const size_t count = std::min<size_t>(*ready, samples.size() - sent);
    if (count > 0) {
      EXPECT_TRUE(output->write(std::span(samples).subspan(sent, count)));
      EXPECT_GT(output->latency(), 0u);
      sent += count;
      if (sent == samples.size()) output->stop();  // The rest is played all the same.
    }
    std::this_thread::sleep_for(2ms);
  }
  return recorded;
}

TEST(PipeWireServer, PlaysAndRecordsTheVerySamples) {
  Server server;
  if (!server.is_there()) GTEST_SKIP() << "no pipewire and wireplumber";
  auto connection = PipeWire::connect(server.connect(), "a test", "field");
  ASSERT_TRUE(connection) << connection.error().message();
  const Bytes samples = noise(24000);
  Bytes heard;
  // On a busy host the server itself may miss a cycle.
  for (int turn = 0; turn < 5 && heard != samples; ++turn) heard = play_and_record(**connection, samples);
  EXPECT_EQ(heard.size(), samples.size());
  EXPECT_TRUE(heard == samples);
}

TEST(PipeWireServer, ItsEndIsNobodysElse) {
  Server server;
  if (!server.is_there()) GTEST_SKIP() << "no pipewire and wireplumber";
  auto connection = PipeWire::connect(server.connect(), "a test", "field");
  ASSERT_TRUE(connection) << connection.error().message();
  auto output = (*connection)->make_output();
  auto input = (*connection)->make_input();
  ASSERT_TRUE(output->prepare(kFormat));
  ASSERT_TRUE(input->prepare(kFormat));
  output->start();
  input->start();
  server.end();
  for (int turn = 0; turn < 200 && (output->ready() || input->ready()); ++turn)
    std::this_thread::sleep_for(50ms);
  EXPECT_FALSE(output->ready());
  EXPECT_FALSE(input->ready());
  EXPECT_FALSE(output->write(Bytes(400, std::byte{1})));
  Bytes silence(400, std::byte{1});
  input->read(silence);
  input->read(silence);
  EXPECT_EQ(silence, Bytes(400));
  output->release();
  EXPECT_TRUE(output->prepare({.sample_rate = 44100})) << "unheard";
  // Nothing is made for each of them that nobody takes away.
  const auto in_use = [] { return mallinfo2().uordblks; };
  const size_t before = in_use();
  for (uint32_t turn = 0; turn < 4000; ++turn) {
    EXPECT_TRUE(output->prepare({.sample_rate = turn % 2 ? 44100u : 48000u}));
    output->start();
    EXPECT_FALSE(output->ready());
  }
  EXPECT_LT(in_use(), before + (1 << 20));
}

TEST(PipeWireServer, WhatIsNoneIsRefused) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
  UniqueFd ours(ends[0]);
  ours.reset();
  const auto connection = PipeWire::connect(UniqueFd(ends[1]), "a test", "field");
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, ErrorCode::not_supported);
  EXPECT_EQ(connection.error().where, "field");
}

}  // namespace
}  // namespace alcove::audio
