#include "audio/wav.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "audio/wav_file.h"

namespace alcove::audio {
namespace {

using enum AudioSampleFormat;
using testing::HasSubstr;

using Bytes = std::vector<std::byte>;

UniqueFd make_file(const Bytes& contents = {}) {
  UniqueFd file(memfd_create("wav", MFD_CLOEXEC));
  EXPECT_EQ(::write(file.get(), contents.data(), contents.size()), static_cast<ssize_t>(contents.size()));
  return file;
}
UniqueFd copy(const UniqueFd& file) {
  return UniqueFd(fcntl(file.get(), F_DUPFD_CLOEXEC, 3));
}
Bytes contents_of(const UniqueFd& file) {
  Bytes bytes(static_cast<size_t>(lseek(file.get(), 0, SEEK_END)));
  EXPECT_EQ(pread(file.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  return bytes;
}
Bytes counting(size_t size, unsigned from = 1) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(from + i);
  return bytes;
}
// A WAV file of chunks that need not be right.
Bytes riff(std::initializer_list<std::pair<const char*, Bytes>> chunks) {
  Bytes bytes;
  const auto add = [&](const void* data, size_t size) {
    const auto* first = static_cast<const std::byte*>(data);
    bytes.insert(bytes.end(), first, first + size);
  };
  add("RIFF\0\0\0\0WAVE", 12);
  for (const auto& [name, chunk] : chunks) {
    const auto size = static_cast<uint32_t>(chunk.size());
    add(name, 4);
    add(&size, 4);
    add(chunk.data(), size);
    if (size % 2) add("", 1);
  }
  return bytes;
}
Bytes format_chunk(uint16_t sort, uint16_t channels, uint32_t rate, uint16_t frame, uint16_t bits) {
  struct [[gnu::packed]] {
    uint16_t sort, channels;
    uint32_t rate, bytes_per_second;
    uint16_t frame, bits;
  } const chunk{sort, channels, rate, rate * frame, frame, bits};
  const auto view = std::as_bytes(std::span(&chunk, 1));
  return {view.begin(), view.end()};
}
std::string problem(const Bytes& contents) {
  const auto read = read_wav(make_file(contents).get(), "there");
  if (read) return "";
  EXPECT_EQ(read.error().where, "there");
  EXPECT_EQ(read.error().code, ErrorCode::invalid_virtual_machine_configuration);
  return read.error().what;
}

TEST(Wav, AHeaderOfTheCommonSort) {
  const uint8_t expected[] = {'R', 'I', 'F', 'F', 44, 0, 0,   0,   'W', 'A',  'V',  'E', 'f', 'm', 't',
                              ' ', 16,  0,   0,   0,  1, 0,   2,   0,   0x80, 0xbb, 0,   0,   0,   0xee,
                              2,   0,   4,   0,   16, 0, 'd', 'a', 't', 'a',  8,    0,   0,   0};
  const Bytes header = wav_header({.sample_format = s16, .sample_rate = 48000, .channel_count = 2}, 8);
  ASSERT_EQ(header.size(), sizeof expected);
  EXPECT_EQ(std::memcmp(header.data(), expected, sizeof expected), 0);
}

TEST(Wav, EveryFormatIsReadAsWritten) {
  for (const AudioSampleFormat samples : {u8, s16, s24, s32, f32}) {
    for (uint32_t channels = 1; channels <= 8; ++channels) {
      const Format format{.sample_format = samples, .sample_rate = 44100, .channel_count = channels};
      const uint32_t size = 5 * file_frame_size(format);
      Bytes bytes = wav_header(format, size);
      const uint64_t offset = bytes.size();
      bytes.resize(bytes.size() + size + 100);  // What comes after does not count.
      const auto read = read_wav(make_file(bytes).get(), "");
      ASSERT_TRUE(read) << read.error().message();
      EXPECT_EQ(*read, (WavContents{.format = format, .offset = offset, .size = size}));
    }
  }
}

TEST(Wav, OutputsAreRightAtAnyMoment) {
  for (const AudioSampleFormat samples : {u8, s16, s24, s32, f32}) {
    const Format format{.sample_format = samples, .sample_rate = 8000, .channel_count = 3};
    UniqueFd file = make_file(counting(1000));  // It is emptied.
    auto output = WavOutput::create(copy(file), format, "");
    ASSERT_TRUE(output);
    EXPECT_TRUE((*output)->prepare(format));
    EXPECT_FALSE((*output)->prepare({.sample_rate = 44100}));
    Bytes all;
    for (unsigned turn = 0; turn < 4; ++turn) {
      const auto contents = read_wav(file.get(), "");
      ASSERT_TRUE(contents) << contents.error().message();
      EXPECT_EQ(contents->size, turn * 7 * file_frame_size(format));
      const Bytes header = wav_header(format, static_cast<uint32_t>(contents->size));
      Bytes bytes = contents_of(file);
      EXPECT_EQ(bytes.size(), header.size() + contents->size + contents->size % 2);
      EXPECT_EQ(std::memcmp(bytes.data(), header.data(), header.size()), 0);
      const Bytes frames = counting(7 * frame_size(format), turn);
      EXPECT_TRUE((*output)->write(frames));
      all.insert(all.end(), frames.begin(), frames.end());
    }
    auto input = WavInput::create(copy(file), false, "");
    ASSERT_TRUE(input) << input.error().message();
    EXPECT_EQ((*input)->offer().sample_formats, std::vector{samples});
    EXPECT_EQ((*input)->offer().most_channels, 3u);
    ASSERT_TRUE((*input)->prepare(format));
    Bytes read(all.size());
    EXPECT_TRUE((*input)->read(read));
    if (samples == s24) {  // The fourth byte is the sign's.
      for (size_t i = 3; i < all.size(); i += 4)
        all[i] = (all[i - 1] >> 7) == std::byte{0} ? std::byte{0} : std::byte{0xff};
    }
    EXPECT_EQ(read, all);
  }
}

TEST(Wav, OutputsEndWithWhatAFileCanHold) {
  const Format format{.channel_count = 1};
  EXPECT_GT(most_wav_data(format), UINT32_MAX - 100);
  EXPECT_GT(uint64_t{most_wav_data(format)} + wav_header(format, 0).size(), most_wav_data(format));
  UniqueFd file = make_file();
  auto output = WavOutput::create(copy(file), format, "", 100);
  ASSERT_TRUE(output);
  EXPECT_TRUE((*output)->write(counting(96)));
  EXPECT_FALSE((*output)->write(counting(8)));  // The half of it.
  EXPECT_FALSE((*output)->write(counting(8)));
  EXPECT_EQ(read_wav(file.get(), "")->size, 100u);
  EXPECT_EQ(contents_of(file).size(), 144u);
}

TEST(Wav, AFullDiskCostsWhatDoesNotFitAlone) {
  const Format format{.sample_rate = 8000, .channel_count = 1};
  UniqueFd file(memfd_create("wav", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  auto output = WavOutput::create(copy(file), format, "");
  ASSERT_TRUE(output);
  EXPECT_TRUE((*output)->write(counting(64)));
  const Bytes before = contents_of(file);
  ASSERT_EQ(fcntl(file.get(), F_ADD_SEALS, F_SEAL_GROW), 0);
  EXPECT_FALSE((*output)->write(counting(64)));
  EXPECT_EQ(contents_of(file), before);
}

TEST(Wav, FilesThatCannotBeWrittenAreRefused) {
  UniqueFd reading(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const auto output = WavOutput::create(std::move(reading), {}, "field");
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().where, "field");
}

TEST(Wav, InputsBeginAnewAndEndInSilence) {
  const Format format{.sample_format = u8, .sample_rate = 8000, .channel_count = 1};
  Bytes bytes = wav_header(format, 5);
  const Bytes samples = counting(5);
  bytes.insert(bytes.end(), samples.begin(), samples.end());
  auto once = WavInput::create(make_file(bytes), false, "");
  for (int turn = 0; turn < 2; ++turn) {
    ASSERT_TRUE((*once)->prepare(format));
    Bytes read(3), rest(4), silent(2);
    EXPECT_TRUE((*once)->read(read));
    EXPECT_TRUE((*once)->read(rest));
    EXPECT_TRUE((*once)->read(silent));
    EXPECT_EQ(read, counting(3));
    EXPECT_EQ(rest, (Bytes{std::byte{4}, std::byte{5}, std::byte{0x80}, std::byte{0x80}}));
    EXPECT_EQ(silent, Bytes(2, std::byte{0x80}));
  }
  auto loop = WavInput::create(make_file(bytes), true, "");
  ASSERT_TRUE((*loop)->prepare(format));
  Bytes read(12);
  EXPECT_TRUE((*loop)->read(read));
  for (size_t i = 0; i < read.size(); ++i) EXPECT_EQ(read[i], samples[i % 5]);
}

TEST(Wav, AFileThatIsCutMeanwhileIsSilent) {
  const Format format{.channel_count = 1};
  Bytes bytes = wav_header(format, 400);
  bytes.resize(bytes.size() + 400, std::byte{1});
  UniqueFd file = make_file(bytes);
  auto input = WavInput::create(copy(file), true, "");
  ASSERT_TRUE((*input)->prepare(format));
  ASSERT_EQ(ftruncate(file.get(), 100), 0);
  Bytes read(400, std::byte{7});
  EXPECT_FALSE((*input)->read(read));
  EXPECT_EQ(read, Bytes(400));
}

TEST(Wav, AnEmptyFileLoopsInSilence) {
  const Format format{.channel_count = 1};
  auto input = WavInput::create(make_file(wav_header(format, 0)), true, "");
  ASSERT_TRUE(input);
  ASSERT_TRUE((*input)->prepare(format));
  Bytes read(100, std::byte{1});
  EXPECT_TRUE((*input)->read(read));
  EXPECT_EQ(read, Bytes(100));
}

TEST(Wav, OtherChunksAndLengthsThatAreTooLongAreFine) {
  Bytes bytes = riff({{"LIST", Bytes(7)},
                      {"fmt ", format_chunk(1, 2, 48000, 4, 16)},
                      {"junk", Bytes(2)},
                      {"data", Bytes(11)}});
  auto read = read_wav(make_file(bytes).get(), "");
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->size, 8u);                               // In whole frames.
  std::memset(bytes.data() + bytes.size() - 16, 0xff, 4);  // As those who write into a pipe leave it.
  read = read_wav(make_file(bytes).get(), "");
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->size, 12u);
}

TEST(Wav, TellsWhatIsWrong) {
  const Bytes samples(8);
  EXPECT_THAT(problem({}), HasSubstr("no WAV file"));
  EXPECT_THAT(problem(Bytes(100)), HasSubstr("no WAV file"));
  Bytes large = riff({});
  std::memcpy(large.data(), "RF64", 4);
  EXPECT_THAT(problem(large), HasSubstr("RF64"));
  EXPECT_THAT(problem(riff({})), HasSubstr("without samples"));
  EXPECT_THAT(problem(riff({{"fmt ", format_chunk(1, 2, 48000, 4, 16)}})), HasSubstr("without samples"));
  EXPECT_THAT(problem(riff({{"data", samples}})), HasSubstr("before their format"));
  EXPECT_THAT(problem(riff({{"fmt ", Bytes(15)}, {"data", samples}})), HasSubstr("too few bytes"));
  const auto with = [&](const Bytes& format) { return problem(riff({{"fmt ", format}, {"data", samples}})); };
  EXPECT_EQ(with(format_chunk(1, 2, 48000, 4, 16)), "");
  EXPECT_THAT(with(format_chunk(0xfffe, 2, 48000, 4, 16)), HasSubstr("too few bytes"));
  EXPECT_THAT(with(format_chunk(2, 2, 48000, 4, 16)), HasSubstr("of format 2"));
  EXPECT_THAT(with(format_chunk(1, 2, 48000, 16, 64)), HasSubstr("64 bits"));
  EXPECT_THAT(with(format_chunk(3, 2, 48000, 4, 16)), HasSubstr("16 bits, of format 3"));
  EXPECT_THAT(with(format_chunk(1, 0, 48000, 0, 16)), HasSubstr("0 channels"));
  EXPECT_THAT(with(format_chunk(1, 9, 48000, 18, 16)), HasSubstr("9 channels"));
  EXPECT_THAT(with(format_chunk(1, 2, 24000, 4, 16)), HasSubstr("24000 samples a second"));
  EXPECT_THAT(with(format_chunk(1, 2, 48000, 5, 16)), HasSubstr("frames of 5 bytes"));
}

TEST(Wav, SamplesOf24BitsKeepTheirSign) {
  const uint32_t samples[] = {0x00000001, 0x007fffff, 0xff800000, 0xffffffff};
  const auto bytes = std::as_bytes(std::span(samples));
  Bytes packed(12), unpacked(16);
  pack_s24(bytes, packed);
  unpack_s24(packed, unpacked);
  EXPECT_TRUE(std::ranges::equal(unpacked, bytes));
}

}  // namespace
}  // namespace alcove::audio
