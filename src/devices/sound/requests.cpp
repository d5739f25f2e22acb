#include "devices/sound/requests.h"

#include <optional>

namespace alcove::devices::sound {

namespace wire = spec::virtio_sound;

namespace {

// Drivers of later versions may ask for more bytes of each thing, which are zero; not for so many.
constexpr uint32_t kLargestDescription = 256;

template <class T>
std::optional<T> read(const virtio::Chain& chain) {
  T value;
  if (chain.read(0, std::as_writable_bytes(std::span(&value, 1))) != sizeof value) return {};
  return value;
}

std::expected<ControlRequest, wire::Status> parse_query(const virtio::Chain& chain, const Catalog& catalog) {
  const auto query = read<wire::Query>(chain);
  const auto bad = std::unexpected(wire::Status::bad_message);
  if (!query) return bad;
  size_t there = catalog.streams().size();
  size_t least = sizeof(wire::PcmInformation);
  if (query->code == wire::kJackInformation) {
    there = catalog.jacks().size();
    least = sizeof(wire::JackInformation);
  } else if (query->code == wire::kChannelMapInformation) {
    there = catalog.channel_maps().size();
    least = sizeof(wire::ChannelMapInformation);
  }
  if (query->first > there || query->count > there - query->first) return bad;
  if (query->size < least || query->size > kLargestDescription) return bad;
  if (chain.writable_size() < sizeof(wire::Header) + uint64_t{query->count} * query->size) return bad;
  return Query{.code = query->code, .first = query->first, .count = query->count, .size = query->size};
}

}  // namespace

std::expected<ControlRequest, wire::Status> parse_control(const virtio::Chain& chain,
                                                          const Catalog& catalog) {
  const auto bad = std::unexpected(wire::Status::bad_message);
  const auto header = read<wire::Header>(chain);
  if (!header) return bad;
  switch (header->code) {
    case wire::kJackInformation:
    case wire::kPcmInformation:
    case wire::kChannelMapInformation: {
      // The guest may have written another code since.
      auto query = parse_query(chain, catalog);
      if (query && std::get<Query>(*query).code != header->code) return bad;
      return query;
    }
    case wire::kPcmSetParameters: {
      const auto parameters = read<wire::PcmParameters>(chain);
      if (!parameters) return bad;
      auto checked = catalog.check(*parameters);
      if (!checked) return std::unexpected(checked.error());
      return Setting{.stream = parameters->stream, .parameters = *checked};
    }
    case wire::kPcmPrepare:
    case wire::kPcmRelease:
    case wire::kPcmStart:
    case wire::kPcmStop: {
      const auto command = read<wire::PcmHeader>(chain);
      if (!command || command->stream >= catalog.streams().size()) return bad;
      return Command{.code = header->code, .stream = command->stream};
    }
    default:
      return std::unexpected(wire::Status::not_supported);
  }
}

std::expected<Transfer, wire::Status> parse_transfer(const virtio::Chain& chain, bool is_output,
                                                     const Catalog& catalog) {
  const auto bad = std::unexpected(wire::Status::bad_message);
  const auto header = read<wire::TransferHeader>(chain);
  if (!header || chain.writable_size() < sizeof(wire::TransferStatus)) return bad;
  if (header->stream >= catalog.streams().size() || catalog.is_output(header->stream) != is_output)
    return bad;
  const uint64_t size = is_output ? chain.readable_size() - sizeof *header
                                  : chain.writable_size() - sizeof(wire::TransferStatus);
  if (size > kMostBuffer) return bad;
  return Transfer{.stream = header->stream, .size = static_cast<uint32_t>(size)};
}

}  // namespace alcove::devices::sound
