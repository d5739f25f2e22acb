// WAV files as ends of streams.
#pragma once

#include <vector>

#include "audio/endpoint.h"
#include "audio/wav.h"
#include "support/unique_fd.h"

namespace alcove::audio {

// All that is written, one after another. The file's header is right at any moment; what can't be written is
// lost, and the file as it was then stays.
class WavOutput final : public Output {
 public:
  // Empties the file, which is open for writing; errors are of `where`. Takes no more than `most_data` bytes.
  static Result<std::unique_ptr<WavOutput>> create(UniqueFd file, const Format& format,
                                                   const std::string& where,
                                                   std::optional<uint32_t> most_data = std::nullopt);

  const Offer& offer() const override { return offer_; }
  bool prepare(const Format& format) override { return format == format_; }
  bool write(std::span<const std::byte> frames) override;

 private:
  WavOutput(UniqueFd file, const Format& format, uint32_t most_data);
  bool write_header(uint32_t data_size);

  const UniqueFd file_;
  const Format format_;
  const Offer offer_;
  const uint32_t most_data_;
  const uint64_t data_offset_;
  uint32_t data_size_ = 0;
  std::vector<std::byte> packed_;
};

// The file from its beginning, each time that it is prepared.
class WavInput final : public Input {
 public:
  // Errors are of `where`.
  static Result<std::unique_ptr<WavInput>> create(UniqueFd file, bool loop, const std::string& where);

  const Offer& offer() const override { return offer_; }
  bool prepare(const Format& format) override;
  bool read(std::span<std::byte> frames) override;

 private:
  WavInput(UniqueFd file, const WavContents& contents, bool loop);

  const UniqueFd file_;
  const WavContents contents_;
  const bool loop_;
  const Offer offer_;
  uint64_t position_ = 0;  // In bytes of samples.
  std::vector<std::byte> packed_;
};

}  // namespace alcove::audio
