// What --sound takes.
#include <fmt/format.h>

#include <algorithm>

#include "cli/machine_options.h"

namespace alcove::cli {

namespace {

std::unexpected<Error> usage(std::string what, std::string hint) {
  return fail(ErrorCode::invalid_virtual_machine_configuration, "--sound", std::move(what), std::move(hint));
}

std::optional<AudioOutputStreamSink> sink(const std::string& text) {
  if (text == "null") return {};
  if (text == "host") return HostAudioOutputStreamSink{};
  return FileAudioOutputStreamSink{.path = text};
}

std::optional<AudioInputStreamSource> source(const std::string& text) {
  if (text == "silence") return {};
  if (text == "host") return HostAudioInputStreamSource{};
  return FileAudioInputStreamSource{.path = text};
}

// The file that the latest stream plays into, or records from; null where it has none.
FileAudioOutputStreamSink* written_file(VirtioSoundDeviceConfiguration& device) {
  if (device.streams.empty()) return nullptr;
  auto* output = std::get_if<VirtioSoundDeviceOutputStreamConfiguration>(&device.streams.back());
  return output && output->sink ? std::get_if<FileAudioOutputStreamSink>(&*output->sink) : nullptr;
}
FileAudioInputStreamSource* read_file(VirtioSoundDeviceConfiguration& device) {
  if (device.streams.empty()) return nullptr;
  auto* input = std::get_if<VirtioSoundDeviceInputStreamConfiguration>(&device.streams.back());
  return input && input->source ? std::get_if<FileAudioInputStreamSource>(&*input->source) : nullptr;
}

// False if it is none.
bool add_option(const std::string& key, const std::string& value, VirtioSoundDeviceConfiguration& device) {
  FileAudioOutputStreamSink* written = written_file(device);
  if (key == "output" && !value.empty()) {
    device.streams.emplace_back(VirtioSoundDeviceOutputStreamConfiguration{.sink = sink(value)});
  } else if (key == "input" && !value.empty()) {
    device.streams.emplace_back(VirtioSoundDeviceInputStreamConfiguration{.source = source(value)});
  } else if (key == "rate" && written && whole_number(value).empty()) {
    written->sample_rate = static_cast<uint32_t>(std::stoul(value));
  } else if (key == "channels" && written && whole_number(value).empty()) {
    written->channel_count = static_cast<uint32_t>(std::stoul(value));
  } else if (key == "format" && written && from_string<AudioSampleFormat>(value)) {
    written->sample_format = *from_string<AudioSampleFormat>(value);
  } else if (key == "loop" && value.empty() && read_file(device)) {
    read_file(device)->loop = true;
  } else {
    return false;
  }
  return true;
}

}  // namespace

Result<> add_sound(const std::string& text, VirtualMachineConfiguration& configuration) {
  auto& devices = configuration.audio_devices;
  if (text == "none") {
    devices.clear();
    return {};
  }
  if (devices.empty()) devices.emplace_back(VirtioSoundDeviceConfiguration{});
  auto& device = std::get<VirtioSoundDeviceConfiguration>(devices.front());
  if (text == "host") {
    device.streams.emplace_back(
        VirtioSoundDeviceOutputStreamConfiguration{.sink = HostAudioOutputStreamSink{}});
    device.streams.emplace_back(
        VirtioSoundDeviceInputStreamConfiguration{.source = HostAudioInputStreamSource{}});
    return {};
  }
  for (std::string_view rest = text; !rest.empty();) {
    const std::string part(rest.substr(0, rest.find(',')));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    const size_t equals = std::min(part.find('='), part.size());
    if (!add_option(part.substr(0, equals), equals == part.size() ? "" : part.substr(equals + 1), device))
      return usage(fmt::format("'{}' is not an option of sound here", part),
                   "use host, none, output=host|null|FILE and after a file rate=N, channels=N, "
                   "format=u8|s16|s24|s32|f32, input=host|silence|FILE and after a file loop");
  }
  return {};
}

}  // namespace alcove::cli
