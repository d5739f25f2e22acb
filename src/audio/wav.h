// WAV files (RIFF): their headers.
#pragma once

#include <alcove/error.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "audio/format.h"

namespace alcove::audio {

// In a file, where 24 bits take three bytes.
constexpr uint32_t file_frame_size(const Format& format) {
  const bool packed = format.sample_format == AudioSampleFormat::s24;
  return (packed ? 3 : sample_size(format.sample_format)) * format.channel_count;
}

// What precedes so many bytes of samples; its size depends on the format alone.
std::vector<std::byte> wav_header(const Format& format, uint32_t data_size);
// As many as can follow it, in whole frames: a RIFF file counts its bytes in 32 bits.
uint32_t most_wav_data(const Format& format);

struct WavContents {
  Format format;
  uint64_t offset = 0;  // Of the samples in the file.
  uint64_t size = 0;    // Of the samples there, in whole frames.

  bool operator==(const WavContents&) const = default;
};

// Reads the headers of an open file; errors are of `where`. Samples that are said to go on behind the file's
// end are none.
Result<WavContents> read_wav(int file, const std::string& where);

// From a file's three bytes to a guest's four, and back.
void unpack_s24(std::span<const std::byte> packed, std::span<std::byte> unpacked);
void pack_s24(std::span<const std::byte> unpacked, std::span<std::byte> packed);

}  // namespace alcove::audio
