// What drivers ask: read once and checked, so that what follows need not.
#pragma once

#include <expected>
#include <variant>

#include "devices/sound/catalog.h"
#include "spec/virtio_sound.h"
#include "virtio/queue.h"

namespace alcove::devices::sound {

// For descriptions of things that there are.
struct Query {
  uint32_t code;  // Which things.
  uint32_t first;
  uint32_t count;
  uint32_t size;  // Of each answer; what is described has no more bytes.
};

// To prepare, start, stop or release a stream that there is.
struct Command {
  uint32_t code;
  uint32_t stream;
};

struct Setting {
  uint32_t stream;
  Parameters parameters;
};

using ControlRequest = std::variant<Query, Command, Setting>;
std::expected<ControlRequest, spec::virtio_sound::Status> parse_control(const virtio::Chain& chain,
                                                                        const Catalog& catalog);

// Samples for a stream, or room for some.
struct Transfer {
  uint32_t stream;
  uint32_t size;  // In bytes; they follow the header, or are followed by the status.
};
std::expected<Transfer, spec::virtio_sound::Status> parse_transfer(const virtio::Chain& chain, bool is_output,
                                                                   const Catalog& catalog);

}  // namespace alcove::devices::sound
