// Sound devices: what the guest plays and records, and where on the host that goes to and comes from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <variant>
#include <vector>

namespace alcove {

// How a sample is kept; little-endian.
enum class AudioSampleFormat {
  u8,   // Unsigned; silence is 128.
  s16,  // Signed, as the next two.
  s24,  // Three bytes in files, four in the guest.
  s32,
  f32,  // IEEE 754, -1 to 1.
};

// The host's default output, by PipeWire. Fails with not_supported where that does not run when the machine
// starts. Should it end later, the guest plays on, unheard.
struct HostAudioOutputStreamSink {
  bool operator==(const HostAudioOutputStreamSink&) const = default;
};

// A WAV file, up to 4 GiB: all that the guest plays since the machine's start, sample for sample, without the
// time between. It can be read at any moment, and whatever ends the machine. What comes after 4 GiB, or does
// not fit on the disk, is dropped, as an error that the guest is told.
struct FileAudioOutputStreamSink {
  std::filesystem::path path;  // Created if missing, in a folder that exists; emptied at each start.
  // What the file has, and so all that the stream offers the guest, which converts.
  uint32_t sample_rate = 48000;  // In Hz: 5512, 8000, 11025, 16000, 22050, 32000, 44100, 48000, 64000, 88200,
                                 // 96000, 176400 or 192000.
  uint32_t channel_count = 2;    // 1 to 8.
  AudioSampleFormat sample_format = AudioSampleFormat::s16;

  bool operator==(const FileAudioOutputStreamSink&) const = default;
};

using AudioOutputStreamSink = std::variant<HostAudioOutputStreamSink, FileAudioOutputStreamSink>;

struct VirtioSoundDeviceOutputStreamConfiguration {
  // None: what the guest plays is dropped, as fast as it would sound.
  std::optional<AudioOutputStreamSink> sink;

  bool operator==(const VirtioSoundDeviceOutputStreamConfiguration&) const = default;
};

// The host's default input, by PipeWire; as HostAudioOutputStreamSink. Without PipeWire there is silence.
struct HostAudioInputStreamSource {
  bool operator==(const HostAudioInputStreamSource&) const = default;
};

// A WAV file: PCM of 8, 16, 24 or 32 bits, or floating point of 32, with a rate and channels as of
// FileAudioOutputStreamSink. The stream offers the guest what the file has. Each recording begins at the
// file's beginning.
struct FileAudioInputStreamSource {
  std::filesystem::path path;
  bool loop = false;  // At its end it begins again; otherwise there is silence from then on.

  bool operator==(const FileAudioInputStreamSource&) const = default;
};

using AudioInputStreamSource = std::variant<HostAudioInputStreamSource, FileAudioInputStreamSource>;

struct VirtioSoundDeviceInputStreamConfiguration {
  std::optional<AudioInputStreamSource> source;  // None: silence.

  bool operator==(const VirtioSoundDeviceInputStreamConfiguration&) const = default;
};

using AudioStreamConfiguration =
    std::variant<VirtioSoundDeviceOutputStreamConfiguration, VirtioSoundDeviceInputStreamConfiguration>;

// A virtio sound device: a sound card in Linux guests from 5.13 on whose kernel has the driver (Debian's from
// Debian 13 on). The first output and the first input are one PCM device there, the second ones the next...
struct VirtioSoundDeviceConfiguration {
  std::vector<AudioStreamConfiguration> streams;  // At most 16.

  bool operator==(const VirtioSoundDeviceConfiguration&) const = default;
};

using AudioDeviceConfiguration = std::variant<VirtioSoundDeviceConfiguration>;

}  // namespace alcove
