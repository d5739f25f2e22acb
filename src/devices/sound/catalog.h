// What a sound device has, as it describes it to drivers (virtio 1.2, section 5.14.6).
#pragma once

#include <expected>
#include <vector>

#include "audio/format.h"
#include "spec/virtio_sound.h"

namespace alcove::devices::sound {

// What a driver chose for a stream; checked.
struct Parameters {
  audio::Format format;
  uint32_t buffer_size = 0;  // In bytes, whole periods.
  uint32_t period_size = 0;  // In bytes, whole frames.
};

// Bytes of a driver's buffer for one stream: several times what Linux's takes for eight channels.
inline constexpr uint32_t kMostBuffer = 4 << 20;

class Catalog {
 public:
  struct Stream {
    bool is_output;
    audio::Offer offer;
  };
  explicit Catalog(std::vector<Stream> streams);

  const std::vector<spec::virtio_sound::PcmInformation>& streams() const { return streams_; }
  // One for each stream.
  const std::vector<spec::virtio_sound::JackInformation>& jacks() const { return jacks_; }
  // For each stream those of the numbers of channels that it knows.
  const std::vector<spec::virtio_sound::ChannelMapInformation>& channel_maps() const { return maps_; }

  bool is_output(uint32_t stream) const { return streams_[stream].direction == spec::virtio_sound::kOutput; }
  std::expected<Parameters, spec::virtio_sound::Status> check(
      const spec::virtio_sound::PcmParameters& parameters) const;

 private:
  std::vector<spec::virtio_sound::PcmInformation> streams_;
  std::vector<spec::virtio_sound::JackInformation> jacks_;
  std::vector<spec::virtio_sound::ChannelMapInformation> maps_;
};

}  // namespace alcove::devices::sound
