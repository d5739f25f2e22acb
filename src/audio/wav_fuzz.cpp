// The first byte chooses how the input is used; the rest is a file.
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "audio/wav_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove;
  if (size < 1) return 0;
  UniqueFd file(memfd_create("wav", MFD_CLOEXEC));
  if (write(file.get(), data + 1, size - 1) < 0) return 0;
  auto input = audio::WavInput::create(std::move(file), data[0] & 1, "");
  if (!input) return 0;
  const audio::Offer& offer = (*input)->offer();
  const audio::Format format{.sample_format = offer.sample_formats.at(0),
                             .sample_rate = offer.sample_rates.at(0),
                             .channel_count = offer.most_channels};
  if (!(*input)->prepare(format)) __builtin_trap();
  std::vector<std::byte> frames(audio::frame_size(format) * (1 + data[0] / 2));
  for (int turn = 0; turn < 3; ++turn) (*input)->read(frames);
  return 0;
}
