#include "devices/entropy/entropy.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "spec/virtio.h"

namespace alcove::devices::entropy {

namespace {

// Fills what it can of the chain, up to the limit; returns how much that was.
uint32_t fill(virtio::Chain& chain) {
  const auto wanted = static_cast<uint32_t>(std::min<uint64_t>(chain.writable_size(), kMaximumRequest));
  std::array<std::byte, 256> random;  // getrandom never returns less than asked up to this size.
  uint32_t done = 0;
  while (done < wanted) {
    const auto part = std::span(random).first(std::min<size_t>(random.size(), wanted - done));
    if (getrandom(part.data(), part.size(), 0) != static_cast<ssize_t>(part.size())) {
      if (errno == EINTR) continue;
      break;
    }
    chain.write(done, part);
    done += static_cast<uint32_t>(part.size());
  }
  return done;
}

}  // namespace

uint16_t Entropy::device_id() const {
  return spec::virtio::kEntropyDevice;
}

void Entropy::activate(virtio::Activation activation) {
  if (!activation.queues[0]) return;
  worker_.attach(std::move(activation.queues[0]), activation.doorbells[0], *activation.interrupts,
                 [](virtio::Queue& queue, virtio::Chain chain) {
                   const uint32_t written = fill(chain);
                   queue.push(chain, written);
                   return true;
                 });
}

}  // namespace alcove::devices::entropy
