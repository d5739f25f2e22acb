#include "machine/sounds.h"

#include <fmt/format.h>

#include "audio/pipewire/pipewire.h"
#include "audio/wav_file.h"
#include "devices/sound/sound.h"

namespace alcove::machine {

namespace {

using devices::sound::Stream;

class Maker {
 public:
  Maker(Descriptors& descriptors, std::string field, std::string label)
      : descriptors_(descriptors), field_(std::move(field)), label_(std::move(label)) {}

  Result<Stream::End> make(const VirtioSoundDeviceOutputStreamConfiguration& stream,
                           const std::string& where) {
    if (!stream.sink) return std::make_unique<audio::NullOutput>();
    return std::visit([&](const auto& sink) { return make(sink, where + ".sink"); }, *stream.sink);
  }
  Result<Stream::End> make(const VirtioSoundDeviceInputStreamConfiguration& stream,
                           const std::string& where) {
    if (!stream.source) return std::make_unique<audio::SilentInput>();
    return std::visit([&](const auto& source) { return make(source, where + ".source"); }, *stream.source);
  }

 private:
  Result<Stream::End> make(const FileAudioOutputStreamSink& sink, const std::string& where) {
    auto output = audio::WavOutput::create(descriptors_.take(where),
                                           {.sample_format = sink.sample_format,
                                            .sample_rate = sink.sample_rate,
                                            .channel_count = sink.channel_count},
                                           where + ".path");
    if (!output) return std::unexpected(std::move(output.error()));
    return *std::move(output);
  }
  Result<Stream::End> make(const FileAudioInputStreamSource& source, const std::string& where) {
    auto input = audio::WavInput::create(descriptors_.take(where), source.loop, where + ".path");
    if (!input) return std::unexpected(std::move(input.error()));
    return *std::move(input);
  }
  Result<Stream::End> make(const HostAudioOutputStreamSink&, const std::string& where) {
    if (auto connected = connect(where); !connected) return std::unexpected(std::move(connected.error()));
    return pipewire_->make_output();
  }
  Result<Stream::End> make(const HostAudioInputStreamSource&, const std::string& where) {
    if (auto connected = connect(where); !connected) return std::unexpected(std::move(connected.error()));
    return pipewire_->make_input();
  }

  // Once for all streams of the device.
  Result<> connect(const std::string& where) {
    if (pipewire_) return {};
    auto connection = audio::PipeWire::connect(descriptors_.take(field_ + ".pipewire"), label_, where);
    if (!connection) return std::unexpected(std::move(connection.error()));
    pipewire_ = *std::move(connection);
    return {};
  }

  Descriptors& descriptors_;
  const std::string field_, label_;
  std::shared_ptr<audio::PipeWire> pipewire_;
};

}  // namespace

Result<std::unique_ptr<virtio::Device>> make_sound_device(const VirtioSoundDeviceConfiguration& configuration,
                                                          const std::string& field, const std::string& label,
                                                          Descriptors& descriptors,
                                                          exec::VirtualClock& clock) {
  Maker maker(descriptors, field, label);
  std::vector<Stream::End> ends;
  for (size_t index = 0; index < configuration.streams.size(); ++index) {
    auto end = std::visit(
        [&](const auto& stream) { return maker.make(stream, fmt::format("{}.streams[{}]", field, index)); },
        configuration.streams[index]);
    if (!end) return std::unexpected(std::move(end.error()));
    ends.push_back(*std::move(end));
  }
  return std::make_unique<devices::sound::Sound>(std::move(ends), clock);
}

}  // namespace alcove::machine
