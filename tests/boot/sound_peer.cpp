// What a guest plays and records, and what the host compares it with: samples of 16 bits that a generator
// makes, by the kernel's own interface (/dev/snd/pcmC0D0p), without a library.
//   sound_peer play DEVICE RATE CHANNELS PERIODS SEED     plays so many periods, and waits for their end
//   sound_peer record DEVICE RATE CHANNELS PERIODS SEED   records them: they must be the generator's
//   sound_peer make FILE RATE CHANNELS PERIODS SEED       makes a WAV file of them
//   sound_peer check FILE RATE CHANNELS PERIODS SEED...   whether the file holds them, of all seeds one after
//   another
// A period is a fiftieth of a second.
#include <fcntl.h>
#include <sound/asound.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

[[noreturn]] void fail(const std::string& what) {
  std::printf("sound_peer: %s (%s)\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

struct Shape {
  unsigned rate, channels, periods;
  unsigned period() const { return rate / 50; }  // In frames.
  size_t samples() const { return size_t{period()} * periods * channels; }
};

std::vector<int16_t> generate(const Shape& shape, uint32_t seed) {
  std::vector<int16_t> samples(shape.samples());
  uint32_t state = seed * 2654435761u + 1;
  for (int16_t& sample : samples) {
    state = state * 1664525 + 1013904223;
    sample = static_cast<int16_t>(state >> 16);
  }
  return samples;
}

void set_mask(snd_pcm_hw_params& parameters, int which, unsigned bit) {
  snd_mask& mask = parameters.masks[which - SNDRV_PCM_HW_PARAM_FIRST_MASK];
  mask = {};
  mask.bits[bit / 32] = 1u << bit % 32;
}

void set_interval(snd_pcm_hw_params& parameters, int which, unsigned value) {
  snd_interval& interval = parameters.intervals[which - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL];
  interval = {};
  interval.min = interval.max = value;
  interval.integer = 1;
}

int open_device(const char* path, const Shape& shape) {
  const bool plays = path[std::strlen(path) - 1] == 'p';
  const int device = open(path, plays ? O_WRONLY : O_RDONLY);
  if (device < 0) fail(path);
  snd_pcm_hw_params hardware{};
  for (snd_mask& mask : hardware.masks) std::fill_n(mask.bits, std::size(mask.bits), ~0u);
  for (snd_interval& interval : hardware.intervals) interval.max = ~0u;
  hardware.rmask = ~0u;
  hardware.info = ~0u;
  set_mask(hardware, SNDRV_PCM_HW_PARAM_ACCESS, SNDRV_PCM_ACCESS_RW_INTERLEAVED);
  set_mask(hardware, SNDRV_PCM_HW_PARAM_FORMAT, SNDRV_PCM_FORMAT_S16_LE);
  set_interval(hardware, SNDRV_PCM_HW_PARAM_CHANNELS, shape.channels);
  set_interval(hardware, SNDRV_PCM_HW_PARAM_RATE, shape.rate);
  set_interval(hardware, SNDRV_PCM_HW_PARAM_PERIOD_SIZE, shape.period());
  if (ioctl(device, SNDRV_PCM_IOCTL_HW_PARAMS, &hardware) != 0) fail("hardware parameters");
  const unsigned buffer =
      hardware.intervals[SNDRV_PCM_HW_PARAM_BUFFER_SIZE - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL].min;
  // Never ended for being late: a guest may be as slow as it likes, and nothing is lost.
  snd_pcm_sw_params software{};
  software.period_step = 1;
  software.avail_min = shape.period();
  software.start_threshold = plays ? buffer : 1;
  software.boundary = buffer;
  while (software.boundary * 2 <= LONG_MAX - buffer) software.boundary *= 2;
  software.stop_threshold = software.boundary;
  if (ioctl(device, SNDRV_PCM_IOCTL_SW_PARAMS, &software) != 0) fail("software parameters");
  if (ioctl(device, SNDRV_PCM_IOCTL_PREPARE) != 0) fail("prepare");
  return device;
}

// Linux takes the time for which a machine was paused, which its clock has gone on for, for hardware that
// does nothing (EIO). The stream goes on all the same.
void transfer_all(int device, unsigned long request, std::vector<int16_t>& samples, const Shape& shape) {
  for (size_t frame = 0, frames = samples.size() / shape.channels; frame < frames;) {
    snd_xferi transfer{};
    transfer.buf = samples.data() + frame * shape.channels;
    transfer.frames = std::min<size_t>(frames - frame, shape.period());
    if (ioctl(device, request, &transfer) != 0) {
      if (errno != EIO) fail("transfer");
      std::printf("sound_peer: waited for long\n");
      continue;
    }
    frame += static_cast<size_t>(transfer.result);
  }
}

void play(const char* path, const Shape& shape, uint32_t seed) {
  std::vector<int16_t> samples = generate(shape, seed);
  const int device = open_device(path, shape);
  transfer_all(device, SNDRV_PCM_IOCTL_WRITEI_FRAMES, samples, shape);
  if (ioctl(device, SNDRV_PCM_IOCTL_DRAIN) != 0) fail("drain");
  close(device);
  std::printf("sound_peer: played\n");
}

void compare(const std::vector<int16_t>& samples, const std::vector<int16_t>& expected) {
  const auto [wrong, other] = std::ranges::mismatch(samples, expected);
  if (wrong == samples.end() && other == expected.end()) return;
  errno = 0;
  fail("sample " + std::to_string(wrong - samples.begin()) + " of " + std::to_string(samples.size()) +
       " is not that of " + std::to_string(expected.size()) + " that were expected");
}

void record(const char* path, const Shape& shape, uint32_t seed) {
  std::vector<int16_t> samples(shape.samples());
  const int device = open_device(path, shape);
  transfer_all(device, SNDRV_PCM_IOCTL_READI_FRAMES, samples, shape);
  close(device);
  compare(samples, generate(shape, seed));
  std::printf("sound_peer: recorded\n");
}

std::string header(const Shape& shape, size_t bytes) {
  std::string text = "RIFF....WAVEfmt ....................data....";
  const auto put = [&](size_t at, uint32_t value, size_t size) {
    std::memcpy(text.data() + at, &value, size);
  };
  put(4, static_cast<uint32_t>(bytes + 36), 4);
  put(16, 16, 4);
  put(20, 1, 2);
  put(22, shape.channels, 2);
  put(24, shape.rate, 4);
  put(28, shape.rate * shape.channels * 2, 4);
  put(32, shape.channels * 2, 2);
  put(34, 16, 2);
  put(40, static_cast<uint32_t>(bytes), 4);
  return text;
}

void make(const char* path, const Shape& shape, uint32_t seed) {
  const std::vector<int16_t> samples = generate(shape, seed);
  std::ofstream file(path, std::ios::binary);
  file << header(shape, samples.size() * 2);
  file.write(reinterpret_cast<const char*>(samples.data()), static_cast<std::streamsize>(samples.size() * 2));
  if (!file.flush()) fail(path);
}

void check(const char* path, const Shape& shape, const std::vector<uint32_t>& seeds) {
  std::vector<int16_t> expected;
  for (const uint32_t seed : seeds) {
    const std::vector<int16_t> more = generate(shape, seed);
    expected.insert(expected.end(), more.begin(), more.end());
  }
  std::ifstream file(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  const std::string head = header(shape, expected.size() * 2);
  std::vector<int16_t> samples(bytes.size() < head.size() ? 0 : (bytes.size() - head.size()) / 2);
  if (!samples.empty()) std::memcpy(samples.data(), bytes.data() + head.size(), samples.size() * 2);
  compare(samples, expected);
  errno = 0;
  if (bytes.substr(0, head.size()) != head) fail("the header of " + std::string(path) + " is wrong");
}

}  // namespace

int main(int argument_count, char** arguments) {
  if (argument_count < 7) {
    std::fprintf(stderr,
                 "usage: sound_peer play|record|make|check DEVICE|FILE RATE CHANNELS PERIODS SEED...\n");
    return 2;
  }
  const std::string what = arguments[1];
  const auto number = [&](int index) {
    return static_cast<uint32_t>(std::strtoul(arguments[index], nullptr, 10));
  };
  const Shape shape{.rate = number(3), .channels = number(4), .periods = number(5)};
  std::vector<uint32_t> seeds;
  for (int index = 6; index < argument_count; ++index) seeds.push_back(number(index));
  if (what == "play") {
    play(arguments[2], shape, seeds[0]);
  } else if (what == "record") {
    record(arguments[2], shape, seeds[0]);
  } else if (what == "make") {
    make(arguments[2], shape, seeds[0]);
  } else if (what == "check") {
    check(arguments[2], shape, seeds);
  } else {
    return 2;
  }
  return 0;
}
