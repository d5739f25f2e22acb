#include "audio/endpoint.h"

#include <algorithm>

namespace alcove::audio {

bool SilentInput::prepare(const Format& format) {
  silence_ = silence(format.sample_format);
  return true;
}

bool SilentInput::read(std::span<std::byte> frames) {
  std::ranges::fill(frames, silence_);
  return true;
}

}  // namespace alcove::audio
