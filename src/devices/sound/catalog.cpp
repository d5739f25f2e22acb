#include "devices/sound/catalog.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <span>
#include <utility>

namespace alcove::devices::sound {

namespace wire = spec::virtio_sound;

namespace {

constexpr std::pair<AudioSampleFormat, wire::SampleFormat> kFormats[] = {
    {AudioSampleFormat::u8, wire::kFormatU8},     {AudioSampleFormat::s16, wire::kFormatS16},
    {AudioSampleFormat::s24, wire::kFormatS24},   {AudioSampleFormat::s32, wire::kFormatS32},
    {AudioSampleFormat::f32, wire::kFormatFloat},
};

wire::PcmInformation describe(const Catalog::Stream& stream, uint32_t node) {
  wire::PcmInformation information{.node = node,
                                   .direction = stream.is_output ? wire::kOutput : wire::kInput,
                                   .fewest_channels = static_cast<uint8_t>(stream.offer.fewest_channels),
                                   .most_channels = static_cast<uint8_t>(stream.offer.most_channels)};
  const auto has = [](const auto& list, auto value) { return std::ranges::find(list, value) != list.end(); };
  for (const auto& [format, number] : kFormats) {
    if (has(stream.offer.sample_formats, format)) information.formats |= uint64_t{1} << number;
  }
  for (size_t rate = 0; rate < std::size(wire::kRates); ++rate) {
    if (has(stream.offer.sample_rates, wire::kRates[rate])) information.rates |= uint64_t{1} << rate;
  }
  return information;
}

wire::JackInformation jack(bool is_output, uint32_t node) {
  // Pins of one association are one device of several channels; here each is for itself.
  return {.node = node,
          .default_configuration = (is_output ? wire::kDeviceLineOut : wire::kDeviceMicrophone) |
                                   (node + 1) << wire::kAssociationShift,
          .capabilities = wire::kPinPresenceDetect | (is_output ? wire::kPinOutput : wire::kPinInput),
          .is_connected = 1};
}

// In the order of WAV files, as far as there are any for so many.
std::span<const uint8_t> positions(uint32_t channels) {
  static constexpr uint8_t kOne[] = {wire::kMono};
  static constexpr uint8_t kTwo[] = {wire::kFrontLeft, wire::kFrontRight};
  static constexpr uint8_t kFour[] = {wire::kFrontLeft, wire::kFrontRight, wire::kRearLeft, wire::kRearRight};
  static constexpr uint8_t kMore[] = {wire::kFrontLeft,    wire::kFrontRight, wire::kFrontCenter,
                                      wire::kLowFrequency, wire::kRearLeft,   wire::kRearRight,
                                      wire::kSideLeft,     wire::kSideRight};
  switch (channels) {
    case 1:
      return kOne;
    case 2:
      return kTwo;
    case 4:
      return kFour;
    case 6:
    case 8:
      return std::span(kMore).first(channels);
    default:
      return {};
  }
}

std::optional<AudioSampleFormat> format_of(uint8_t number) {
  const auto found = std::ranges::find(kFormats, number, [](const auto& entry) { return entry.second; });
  if (found == std::end(kFormats)) return {};
  return found->first;
}

bool has_bit(uint64_t bits, uint8_t number) {
  return number < 64 && (bits >> number & 1) != 0;
}

}  // namespace

Catalog::Catalog(std::vector<Stream> streams) {
  uint32_t nodes[2] = {};
  for (const Stream& stream : streams) {
    // Streams of a node are one device to Linux: one for each direction.
    const uint32_t node = nodes[stream.is_output ? 0 : 1]++;
    streams_.push_back(describe(stream, node));
    jacks_.push_back(jack(stream.is_output, node));
    for (uint32_t channels = stream.offer.fewest_channels; channels <= stream.offer.most_channels;
         ++channels) {
      const auto where = positions(channels);
      if (where.empty()) continue;
      wire::ChannelMapInformation map{
          .node = node, .direction = streams_.back().direction, .channels = static_cast<uint8_t>(channels)};
      std::ranges::copy(where, map.positions);
      maps_.push_back(map);
    }
  }
}

std::expected<Parameters, wire::Status> Catalog::check(const wire::PcmParameters& parameters) const {
  const auto bad = std::unexpected(wire::Status::bad_message);
  const auto unsupported = std::unexpected(wire::Status::not_supported);
  if (parameters.stream >= streams_.size()) return bad;
  const wire::PcmInformation& stream = streams_[parameters.stream];
  if (parameters.features & ~stream.features) return unsupported;
  if (parameters.channels < stream.fewest_channels || parameters.channels > stream.most_channels)
    return unsupported;
  if (!has_bit(stream.formats, parameters.format) || !has_bit(stream.rates, parameters.rate))
    return unsupported;
  const Parameters result{.format = {.sample_format = *format_of(parameters.format),
                                     .sample_rate = wire::kRates[parameters.rate],
                                     .channel_count = parameters.channels},
                          .buffer_size = parameters.buffer_size,
                          .period_size = parameters.period_size};
  if (result.period_size == 0 || result.period_size % audio::frame_size(result.format) != 0) return bad;
  if (result.buffer_size == 0 || result.buffer_size % result.period_size != 0) return bad;
  if (result.buffer_size > kMostBuffer) return unsupported;
  return result;
}

}  // namespace alcove::devices::sound
