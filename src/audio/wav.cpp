#include "audio/wav.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>

#include "spec/virtio_sound.h"

namespace alcove::audio {

namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint16_t kPcm = 1, kFloat = 3, kExtensible = 0xfffe;
// What follows the two bytes of the sort in an extensible format's GUID: KSDATAFORMAT_SUBTYPE_PCM and others.
constexpr uint8_t kGuidTail[14] = {0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71};
constexpr size_t kRiffSize = 12, kChunkHeaderSize = 8;
constexpr size_t kPlainSize = 16, kExtensibleSize = 40;
// Chunks before the samples; files have a handful.
constexpr unsigned kMostChunks = 256;
constexpr uint32_t kMostChannels = 8;

class Writer {
 public:
  explicit Writer(std::vector<std::byte>& bytes) : bytes_(bytes) {}
  void text(std::string_view text) { add(text.data(), text.size()); }
  void u16(uint32_t value) { add(&value, 2); }
  void u32(uint32_t value) { add(&value, 4); }
  void add(const void* data, size_t size) {
    const auto* first = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), first, first + size);
  }

 private:
  std::vector<std::byte>& bytes_;
};

uint32_t bits(AudioSampleFormat format) {
  return format == AudioSampleFormat::s24 ? 24 : 8 * sample_size(format);
}

// Where speakers are, by bits; channels come in their order.
uint32_t speakers(uint32_t channels) {
  switch (channels) {
    case 1:
      return 0x4;
    case 2:
      return 0x3;
    case 4:
      return 0x33;
    case 6:
      return 0x3f;
    case 8:
      return 0x63f;
    default:
      return 0;
  }
}

// Readers of old know 8 and 16 bits in one or two channels.
bool is_plain(const Format& format) {
  return format.channel_count <= 2 && bits(format.sample_format) <= 16;
}

template <class T>
T get(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

bool read_at(int file, uint64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t count = ::pread(file, out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    out = out.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return true;
}

bool is(std::span<const std::byte> bytes, size_t offset, std::string_view text) {
  return std::memcmp(bytes.data() + offset, text.data(), text.size()) == 0;
}

std::optional<AudioSampleFormat> sample_format(uint16_t sort, uint16_t bit_count) {
  if (sort == kFloat && bit_count == 32) return AudioSampleFormat::f32;
  if (sort != kPcm) return {};
  switch (bit_count) {
    case 8:
      return AudioSampleFormat::u8;
    case 16:
      return AudioSampleFormat::s16;
    case 24:
      return AudioSampleFormat::s24;
    case 32:
      return AudioSampleFormat::s32;
    default:
      return {};
  }
}

std::unexpected<Error> refuse(const std::string& where, std::string what, std::string hint = {}) {
  return fail(ErrorCode::invalid_virtual_machine_configuration, where, std::move(what), std::move(hint));
}

// A format chunk's contents, as far as they are used here.
Result<Format> read_format(std::span<const std::byte> chunk, const std::string& where) {
  if (chunk.size() < kPlainSize) return refuse(where, "is damaged: its format takes too few bytes");
  auto sort = get<uint16_t>(chunk, 0);
  const auto bit_count = get<uint16_t>(chunk, 14);
  if (sort == kExtensible) {
    if (chunk.size() < kExtensibleSize) return refuse(where, "is damaged: its format takes too few bytes");
    sort = get<uint16_t>(chunk, 24);
    if (std::memcmp(chunk.data() + 26, kGuidTail, sizeof kGuidTail) != 0) sort = 0;
  }
  const auto samples = sample_format(sort, bit_count);
  constexpr auto kConvert = "convert it to PCM of 16 bits, for instance with sox or ffmpeg";
  if (!samples)
    return refuse(where, fmt::format("has samples of {} bits, of format {}", bit_count, sort), kConvert);
  const Format format{.sample_format = *samples,
                      .sample_rate = get<uint32_t>(chunk, 4),
                      .channel_count = get<uint16_t>(chunk, 2)};
  if (format.channel_count < 1 || format.channel_count > kMostChannels)
    return refuse(where, fmt::format("has {} channels", format.channel_count), "1 to 8");
  const auto rates = std::span(spec::virtio_sound::kRates).first(spec::virtio_sound::kLinuxRates);
  if (std::ranges::find(rates, format.sample_rate) == rates.end())
    return refuse(where, fmt::format("has {} samples a second", format.sample_rate),
                  "convert it to 48000, for instance");
  if (get<uint16_t>(chunk, 12) != file_frame_size(format))
    return refuse(where, fmt::format("has frames of {} bytes, of {} channels with {} bits",
                                     get<uint16_t>(chunk, 12), format.channel_count, bit_count));
  return format;
}

}  // namespace

std::vector<std::byte> wav_header(const Format& format, uint32_t data_size) {
  const bool is_float = format.sample_format == AudioSampleFormat::f32;
  const size_t format_size = is_plain(format) ? kPlainSize : kExtensibleSize;
  const size_t fact_size = is_float ? kChunkHeaderSize + 4 : 0;
  const size_t size = kRiffSize + kChunkHeaderSize + format_size + fact_size + kChunkHeaderSize;
  std::vector<std::byte> bytes;
  Writer out(bytes);
  out.text("RIFF");
  out.u32(static_cast<uint32_t>(size - 8 + data_size + data_size % 2));
  out.text("WAVEfmt ");
  out.u32(static_cast<uint32_t>(format_size));
  out.u16(is_plain(format) ? kPcm : kExtensible);
  out.u16(format.channel_count);
  out.u32(format.sample_rate);
  out.u32(format.sample_rate * file_frame_size(format));
  out.u16(file_frame_size(format));
  out.u16(bits(format.sample_format));
  if (!is_plain(format)) {
    out.u16(kExtensibleSize - kPlainSize - 2);
    out.u16(bits(format.sample_format));
    out.u32(speakers(format.channel_count));
    out.u16(is_float ? kFloat : kPcm);
    out.add(kGuidTail, sizeof kGuidTail);
  }
  if (is_float) {
    out.text("fact");
    out.u32(4);
    out.u32(data_size / file_frame_size(format));
  }
  out.text("data");
  out.u32(data_size);
  return bytes;
}

uint32_t most_wav_data(const Format& format) {
  // Behind samples of an odd size there is a byte more.
  const size_t other = wav_header(format, 0).size() - 8 + 1;
  const auto most = static_cast<uint32_t>(std::numeric_limits<uint32_t>::max() - other);
  return most / file_frame_size(format) * file_frame_size(format);
}

Result<WavContents> read_wav(int file, const std::string& where) {
  struct stat status{};
  if (::fstat(file, &status) != 0)
    return refuse(where, fmt::format("can't be read: {}", std::strerror(errno)));
  const auto file_size = static_cast<uint64_t>(status.st_size);
  std::array<std::byte, kRiffSize> riff;
  if (!read_at(file, 0, riff) || !is(riff, 8, "WAVE") || (!is(riff, 0, "RIFF") && !is(riff, 0, "RF64")))
    return refuse(where, "is no WAV file", "convert it, for instance with sox or ffmpeg");
  if (is(riff, 0, "RF64")) return refuse(where, "is an RF64 file, of 4 GiB or more", "take a part of it");
  std::optional<Format> format;
  uint64_t offset = kRiffSize;
  for (unsigned count = 0; count < kMostChunks; ++count) {
    std::array<std::byte, kChunkHeaderSize> header;
    if (!read_at(file, offset, header)) break;
    offset += header.size();
    const auto size = get<uint32_t>(header, 4);
    if (is(header, 0, "data")) {
      if (!format) return refuse(where, "is damaged: its samples come before their format");
      const uint64_t there = std::min<uint64_t>(size, file_size - std::min(file_size, offset));
      return WavContents{.format = *format,
                         .offset = offset,
                         .size = there / file_frame_size(*format) * file_frame_size(*format)};
    }
    if (is(header, 0, "fmt ")) {
      std::array<std::byte, kExtensibleSize> chunk;
      const auto used = std::span(chunk).first(std::min<size_t>(size, chunk.size()));
      if (!read_at(file, offset, used)) break;
      auto read = read_format(used, where);
      if (!read) return std::unexpected(std::move(read.error()));
      format = *read;
    }
    offset += uint64_t{size} + size % 2;
  }
  return refuse(where, "is a WAV file without samples");
}

void unpack_s24(std::span<const std::byte> packed, std::span<std::byte> unpacked) {
  for (size_t from = 0, to = 0; to < unpacked.size(); from += 3, to += 4) {
    uint32_t value = 0;
    std::memcpy(&value, packed.data() + from, 3);
    if (value & 0x800000) value |= 0xff000000;
    std::memcpy(unpacked.data() + to, &value, 4);
  }
}

void pack_s24(std::span<const std::byte> unpacked, std::span<std::byte> packed) {
  for (size_t from = 0, to = 0; from < unpacked.size(); from += 4, to += 3)
    std::memcpy(packed.data() + to, unpacked.data() + from, 3);
}

}  // namespace alcove::audio
