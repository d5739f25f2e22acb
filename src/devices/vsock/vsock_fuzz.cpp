// The first byte chooses how the rest is used: as records of packets, which the host accepts or not, answers
// and closes; or dealt out to the rings of all queues, whose descriptors may point there for their buffers.
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>

#include "devices/vsock/vsock.h"
#include "spec/virtio.h"
#include "virtio/testing/fuzz_rings.h"

namespace {

using namespace alcove;
namespace wire = spec::virtio_socket;

struct Quiet final : virtio::Interrupts {
  void queue(unsigned) override {}
  void configuration() override {}
  void needs_reset() override {}
};

constexpr uint64_t kMemorySize = 0x40000;
constexpr size_t kDistance = 0x1000, kPackets = 0x10000, kBuffers = 0x20000;
constexpr uint16_t kSize = 32;
constexpr uint64_t kCid = 3;

struct Host {
  std::mutex mutex;
  std::vector<uint64_t> asked;
  std::vector<UniqueFd> sockets;
};

std::array<UniqueFd, 2> pair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0) __builtin_trap();
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// What the host does next, by two bytes.
void act(devices::vsock::Vsock& device, Host& host, uint8_t what, uint8_t how) {
  const std::lock_guard lock(host.mutex);
  if (!host.asked.empty()) {
    auto ends = pair();
    device.answer(host.asked.back(), how & 1 ? std::move(ends[0]) : UniqueFd(), [](const Result<>&) {});
    host.asked.pop_back();
    host.sockets.push_back(std::move(ends[1]));
  }
  if (what % 16 == 1) {
    auto ends = pair();
    device.connect(how, std::move(ends[0]), std::chrono::milliseconds(how), [](const Result<uint32_t>&) {});
    host.sockets.push_back(std::move(ends[1]));
  }
  if (host.sockets.empty()) return;
  UniqueFd& socket = host.sockets[how % host.sockets.size()];
  std::array<char, 3000> bytes{};
  if (what % 16 == 2) (void)!send(socket.get(), bytes.data(), how * 10, MSG_NOSIGNAL);
  if (what % 16 == 3) (void)!recv(socket.get(), bytes.data(), bytes.size(), 0);
  if (what % 16 == 4) shutdown(socket.get(), how % 3);
  if (what % 16 == 5) std::erase_if(host.sockets, [&](const UniqueFd& other) { return &other == &socket; });
}

// Ten bytes a packet, on sound rings.
void run_packets(devices::vsock::Vsock& device, Host& host, memory::GuestMemory& memory,
                 std::span<const uint8_t> data, int receive, int transmit) {
  std::byte* base = memory.host_range(0, kMemorySize);
  const auto ring = [&](unsigned queue) { return base + queue * kDistance; };
  const auto describe = [&](unsigned queue, uint16_t index, spec::virtio::Descriptor descriptor) {
    std::memcpy(ring(queue) + index * sizeof descriptor, &descriptor, sizeof descriptor);
  };
  const auto publish = [&](unsigned queue, uint16_t count) {
    const auto head = static_cast<uint16_t>((count - 1) % kSize);
    std::memcpy(ring(queue) + 0x404 + 2 * head, &head, sizeof head);
    __atomic_store_n(reinterpret_cast<uint16_t*>(ring(queue) + 0x402), count, __ATOMIC_RELEASE);
  };
  uint16_t given = 0, sent = 0;
  for (; data.size() >= 10; data = data.subspan(10)) {
    for (unsigned i = 0; i < data[0] % 4u && given < 4 * kSize; ++i) {
      describe(0, given % kSize,
               {kBuffers + (given % kSize) * 0x400u, 0x400, spec::virtio::kDescriptorWrite, 0});
      publish(0, ++given);
    }
    wire::Header header{.source_cid = kCid,
                        .destination_cid = wire::kHostCid,
                        .source_port = data[1] % 4u,
                        .destination_port = data[2] % 4u,
                        .length = data[3] * 8u,
                        .type = static_cast<uint16_t>(data[4] % 16 ? 1 : data[4]),
                        .operation = static_cast<uint16_t>(data[5] % 9),
                        .flags = data[6],
                        .buffer_size = data[7] * 64u,
                        .forwarded = data[8] * 16u};
    const uint64_t at = kPackets + (sent % kSize) * 0x800u;
    std::memcpy(base + at, &header, sizeof header);
    describe(1, sent % kSize, {at, 44u + data[3] * 8u, 0, 0});
    publish(1, ++sent);
    eventfd_write(receive, 1);
    eventfd_write(transmit, 1);
    device.connection_count();
    act(device, host, data[9], data[6]);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static auto memory = [] {
    const memory::RegionSpec regions[] = {{.guest_address = 0, .size = kMemorySize}};
    return memory::GuestMemory::create(regions).value();
  }();
  static Host host;
  static devices::vsock::Vsock device(kCid, [](uint64_t id, devices::vsock::Ports) {
    const std::lock_guard lock(host.mutex);
    host.asked.push_back(id);
  });
  if (size < 4) return 0;
  std::span<const uint8_t> data(bytes, size);
  const bool are_packets = data[0] & 1;
  std::memset(memory.host_range(0, kMemorySize), 0, are_packets ? 3 * kDistance : kMemorySize);
  if (!are_packets) virtio::testing::deal(data.subspan(1), memory.host_range(0, kMemorySize), 3, kDistance);
  Quiet interrupts;
  virtio::Activation activation{.memory = &memory, .interrupts = &interrupts};
  std::vector<UniqueFd> doorbells;
  for (unsigned index = 0; index < 3; ++index) {
    const uint64_t at = index * kDistance;
    const virtio::QueueAddresses addresses = are_packets ? virtio::QueueAddresses{at, at + 0x400, at + 0x800}
                                                         : virtio::QueueAddresses{at + 0x40, at, at + 0x800};
    activation.queues.push_back(
        virtio::Queue::create(memory, kSize, addresses, data[0] & 2, index, interrupts).value());
    doorbells.emplace_back(eventfd(0, EFD_NONBLOCK));
    activation.doorbells.push_back(doorbells.back().get());
  }
  device.activate(std::move(activation));
  if (are_packets) {
    run_packets(device, host, memory, data.subspan(1), doorbells[0].get(), doorbells[1].get());
  } else {
    for (unsigned turn = 0; turn < 3; ++turn) {
      device.connection_count();
      act(device, host, data[1], data[2]);
    }
  }
  device.deactivate();
  const std::lock_guard lock(host.mutex);
  host.asked.clear();
  host.sockets.clear();
  return 0;
}
