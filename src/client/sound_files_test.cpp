#include "client/sound_files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "support/testing/temporary_folder.h"
#include "support/unix_address.h"

namespace alcove::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class SoundFiles : public testing::Test {
 protected:
  SoundFiles() { ::setenv("PIPEWIRE_RUNTIME_DIR", folder.c_str(), 1); }
  ~SoundFiles() override { ::unsetenv("PIPEWIRE_RUNTIME_DIR"); }

  Result<> open(std::vector<AudioStreamConfiguration> streams) {
    opened = {};
    VirtualMachineConfiguration configuration;
    configuration.audio_devices = {VirtioSoundDeviceConfiguration{},
                                   VirtioSoundDeviceConfiguration{.streams = std::move(streams)}};
    return open_sound_files(configuration, opened);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& [path, descriptor] : opened.all()) {
      result.push_back(path);
      EXPECT_NE(::fcntl(descriptor.get(), F_GETFD) & FD_CLOEXEC, 0) << path;
    }
    return result;
  }

  const TemporaryFolder temporary;
  const std::filesystem::path& folder = temporary.path();
  machine::Descriptors opened;
};

VirtioSoundDeviceOutputStreamConfiguration output(std::optional<AudioOutputStreamSink> sink) {
  return {.sink = std::move(sink)};
}
VirtioSoundDeviceInputStreamConfiguration input(std::optional<AudioInputStreamSource> source) {
  return {.source = std::move(source)};
}

TEST_F(SoundFiles, AreNamedByTheirStream) {
  std::ofstream(folder / "voice.wav") << "RIFF";
  ASSERT_TRUE(open({output({}), output(FileAudioOutputStreamSink{.path = folder / "played.wav"}), input({}),
                    input(FileAudioInputStreamSource{.path = folder / "voice.wav"})}));
  EXPECT_THAT(names(), ElementsAre("audio_devices[1].streams[1].sink", "audio_devices[1].streams[3].source"));
  EXPECT_EQ(::fcntl(opened.take("audio_devices[1].streams[1].sink").get(), F_GETFL) & O_ACCMODE, O_WRONLY);
  EXPECT_EQ(::fcntl(opened.take("audio_devices[1].streams[3].source").get(), F_GETFL) & O_ACCMODE, O_RDONLY);
}

TEST_F(SoundFiles, AreRegularOnes) {
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const UniqueFd reader(::open((folder / "pipe").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  auto result = open({output(FileAudioOutputStreamSink{.path = folder / "pipe"})});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().where, "audio_devices[1].streams[0].sink.path");
  EXPECT_THAT(result.error().what, HasSubstr("not a regular file"));
  result = open({output({}), input(FileAudioInputStreamSource{.path = folder / "missing"})});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().where, "audio_devices[1].streams[1].source.path");
}

TEST_F(SoundFiles, OneConnectionServesADevice) {
  const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_TRUE(UnixAddress::of(folder / "pipewire-0")->bind(listener.get()));
  auto result = open({output(HostAudioOutputStreamSink{})});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::not_supported);
  EXPECT_EQ(result.error().where, "audio_devices[1].streams[0].sink");
  EXPECT_THAT(result.error().what, HasSubstr("Connection refused"));
  EXPECT_THAT(result.error().hint, HasSubstr("use a file"));
  ASSERT_EQ(::listen(listener.get(), 5), 0);
  ASSERT_TRUE(open({output(HostAudioOutputStreamSink{}), input(HostAudioInputStreamSource{})}));
  EXPECT_THAT(names(), ElementsAre("audio_devices[1].pipewire"));
}

}  // namespace
}  // namespace alcove::client
