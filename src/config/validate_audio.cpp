#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <span>

#include "config/pipewire_socket.h"
#include "config/validate.h"
#include "spec/virtio_sound.h"

namespace alcove::config {
namespace {

constexpr size_t kMostDevices = 4;
constexpr size_t kMostStreams = 16;
constexpr uint32_t kMostChannels = 8;

class AudioValidator {
 public:
  explicit AudioValidator(Problems& problems) : problems_(problems) {}

  void validate(const VirtioSoundDeviceConfiguration& device, const std::string& where) {
    if (device.streams.size() > kMostStreams)
      problems_.add(where + ".streams", fmt::format("there are {}", device.streams.size()),
                    fmt::format("a device has at most {}", kMostStreams));
    for (size_t index = 0; index < device.streams.size(); ++index) {
      std::visit([&](const auto& stream) { validate(stream, fmt::format("{}.streams[{}]", where, index)); },
                 device.streams[index]);
    }
  }

  // After all devices.
  void check_files() {
    for (const auto& [path, where] : read_) {
      const auto other = written_.find(identity(path));
      if (other != written_.end())
        problems_.add(where, fmt::format("{} is also {}, which empties it", path.string(), other->second),
                      "name another file");
    }
  }

 private:
  void validate(const VirtioSoundDeviceOutputStreamConfiguration& stream, const std::string& where) {
    if (stream.sink) std::visit([&](const auto& sink) { validate(sink, where + ".sink"); }, *stream.sink);
  }
  void validate(const VirtioSoundDeviceInputStreamConfiguration& stream, const std::string& where) {
    if (stream.source)
      std::visit([&](const auto& source) { validate(source, where + ".source"); }, *stream.source);
  }

  void validate(const HostAudioOutputStreamSink&, const std::string& where) { validate_host(where, "sink"); }
  void validate(const HostAudioInputStreamSource&, const std::string& where) {
    validate_host(where, "source");
  }
  void validate_host(const std::string& where, std::string_view what) {
    const std::filesystem::path socket = pipewire_socket();
    struct stat status{};
    if (::stat(socket.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) return;
    problems_.add(where, fmt::format("PipeWire does not run: there is no {}", socket.string()),
                  fmt::format("start it (systemctl --user start pipewire), or use a file or no {}", what),
                  ErrorCode::not_supported);
  }

  void validate(const FileAudioOutputStreamSink& sink, const std::string& where) {
    check_own(sink.path, where + ".path");
    check_writable_file(sink.path, where + ".path", "what the guest plays", problems_);
    const auto rates = std::span(spec::virtio_sound::kRates).first(spec::virtio_sound::kLinuxRates);
    if (std::ranges::find(rates, sink.sample_rate) == rates.end())
      problems_.add(where + ".sample_rate",
                    fmt::format("{} Hz is not a rate that guests know", sink.sample_rate),
                    fmt::format("one of {}", fmt::join(rates, ", ")));
    if (sink.channel_count < 1 || sink.channel_count > kMostChannels)
      problems_.add(where + ".channel_count", fmt::format("is {}", sink.channel_count),
                    fmt::format("1 to {}", kMostChannels));
  }
  void validate(const FileAudioInputStreamSource& source, const std::string& where) {
    if (check_readable_file(source.path, where + ".path", "a WAV file", problems_))
      read_.emplace_back(source.path, where + ".path");
  }

  // One that is written: nobody else's.
  void check_own(const std::filesystem::path& path, const std::string& where) {
    const auto [other, is_first] = written_.try_emplace(identity(path), where);
    if (!is_first)
      problems_.add(where, fmt::format("{} is also {}", path.string(), other->second), "name another file");
  }
  static std::filesystem::path identity(const std::filesystem::path& path) {
    std::error_code error;
    auto canonical = std::filesystem::weakly_canonical(path, error);
    return error ? path.lexically_normal() : canonical;
  }

  Problems& problems_;
  std::map<std::filesystem::path, std::string> written_;
  std::vector<std::pair<std::filesystem::path, std::string>> read_;
};

}  // namespace

void validate_audio(const VirtualMachineConfiguration& configuration, Problems& problems) {
  const auto& devices = configuration.audio_devices;
  if (devices.size() > kMostDevices)
    problems.add("audio_devices", fmt::format("there are {}", devices.size()),
                 fmt::format("a machine has at most {}", kMostDevices));
  AudioValidator validator(problems);
  for (size_t index = 0; index < devices.size(); ++index)
    validator.validate(std::get<VirtioSoundDeviceConfiguration>(devices[index]),
                       fmt::format("audio_devices[{}]", index));
  validator.check_files();
}

}  // namespace alcove::config
