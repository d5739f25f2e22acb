// What samples are like.
#pragma once

#include <alcove/audio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace alcove::audio {

struct Format {
  AudioSampleFormat sample_format = AudioSampleFormat::s16;
  uint32_t sample_rate = 48000;  // In Hz.
  uint32_t channel_count = 2;

  bool operator==(const Format&) const = default;
};

// As guests have samples: those of 24 bits in the lower part of four bytes.
constexpr uint32_t sample_size(AudioSampleFormat format) {
  switch (format) {
    case AudioSampleFormat::u8:
      return 1;
    case AudioSampleFormat::s16:
      return 2;
    default:
      return 4;
  }
}

// Bytes of one sample of each channel.
constexpr uint32_t frame_size(const Format& format) {
  return sample_size(format.sample_format) * format.channel_count;
}

// What each byte of silence is.
constexpr std::byte silence(AudioSampleFormat format) {
  return format == AudioSampleFormat::u8 ? std::byte{0x80} : std::byte{0};
}

// What a guest may choose from; none of it is empty.
struct Offer {
  std::vector<AudioSampleFormat> sample_formats;
  std::vector<uint32_t> sample_rates;
  uint32_t fewest_channels = 1;
  uint32_t most_channels = 2;

  // Just this.
  static Offer only(const Format& format) {
    return {.sample_formats = {format.sample_format},
            .sample_rates = {format.sample_rate},
            .fewest_channels = format.channel_count,
            .most_channels = format.channel_count};
  }
  // What needs no format of its own.
  static Offer anything() {
    using enum AudioSampleFormat;
    return {.sample_formats = {u8, s16, s24, s32, f32},
            .sample_rates = {8000, 11025, 16000, 22050, 32000, 44100, 48000, 64000, 88200, 96000, 176400,
                             192000}};
  }
};

}  // namespace alcove::audio
