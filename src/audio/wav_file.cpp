#include "audio/wav_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace alcove::audio {

namespace {

bool write_at(int file, uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return true;
}

}  // namespace

WavOutput::WavOutput(UniqueFd file, const Format& format, uint32_t most_data)
    : file_(std::move(file)),
      format_(format),
      offer_(Offer::only(format)),
      most_data_(most_data),
      data_offset_(wav_header(format, 0).size()) {}

Result<std::unique_ptr<WavOutput>> WavOutput::create(UniqueFd file, const Format& format,
                                                     const std::string& where,
                                                     std::optional<uint32_t> most_data) {
  const uint32_t most = std::min(most_data.value_or(UINT32_MAX), most_wav_data(format));
  std::unique_ptr<WavOutput> output(new WavOutput(std::move(file), format, most));
  if (::ftruncate(output->file_.get(), 0) != 0 || !output->write_header(0)) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, where,
                fmt::format("can't be written: {}", std::strerror(errno)));
  }
  return output;
}

bool WavOutput::write_header(uint32_t data_size) {
  return write_at(file_.get(), 0, wav_header(format_, data_size));
}

bool WavOutput::write(std::span<const std::byte> frames) {
  if (format_.sample_format == AudioSampleFormat::s24) {
    packed_.resize(frames.size() / 4 * 3);
    pack_s24(frames, packed_);
    frames = packed_;
  }
  const auto size = std::min<size_t>(frames.size(), most_data_ - data_size_) / file_frame_size(format_) *
                    file_frame_size(format_);
  const uint64_t end = data_offset_ + data_size_;
  const auto new_size = static_cast<uint32_t>(data_size_ + size);
  bool written = write_at(file_.get(), end, frames.first(size));
  // Behind samples of an odd size there is a byte more.
  if (written && new_size % 2 != 0) written = write_at(file_.get(), end + size, std::array{std::byte{0}});
  // The header last: what it does not count does not matter.
  if (written) written = write_header(new_size);
  if (written) data_size_ = new_size;
  return written && size == frames.size();
}

WavInput::WavInput(UniqueFd file, const WavContents& contents, bool loop)
    : file_(std::move(file)), contents_(contents), loop_(loop), offer_(Offer::only(contents.format)) {}

Result<std::unique_ptr<WavInput>> WavInput::create(UniqueFd file, bool loop, const std::string& where) {
  const auto contents = read_wav(file.get(), where);
  if (!contents) return std::unexpected(contents.error());
  return std::unique_ptr<WavInput>(new WavInput(std::move(file), *contents, loop));
}

bool WavInput::prepare(const Format& format) {
  position_ = 0;
  return format == contents_.format;
}

bool WavInput::read(std::span<std::byte> frames) {
  const bool packed = contents_.format.sample_format == AudioSampleFormat::s24;
  const uint32_t file_frame = file_frame_size(contents_.format);
  while (!frames.empty()) {
    if (position_ == contents_.size && loop_) position_ = 0;
    const uint64_t left = (contents_.size - position_) / file_frame;
    const uint64_t count = std::min<uint64_t>(left, frames.size() / frame_size(contents_.format));
    const auto out = frames.first(count * frame_size(contents_.format));
    packed_.resize(packed ? count * file_frame : 0);
    const std::span<std::byte> bytes = packed ? std::span(packed_) : out;
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t got = ::pread(file_.get(), bytes.data() + done, bytes.size() - done,
                                  static_cast<off_t>(contents_.offset + position_ + done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      done += static_cast<size_t>(got);
    }
    // The end, or a file that was cut meanwhile.
    if (count == 0 || done < bytes.size()) {
      std::ranges::fill(frames, silence(contents_.format.sample_format));
      return count == 0;
    }
    if (packed) unpack_s24(packed_, out);
    position_ += count * file_frame;
    frames = frames.subspan(out.size());
  }
  return true;
}

}  // namespace alcove::audio
