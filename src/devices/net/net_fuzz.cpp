// The first bytes choose sizes, features and what arrives; the rest is dealt out to the rings of all three
// queues, whose descriptors may point there for their buffers too.
#include <sys/eventfd.h>

#include <algorithm>
#include <cstring>

#include "devices/net/net.h"
#include "virtio/testing/fuzz_rings.h"

namespace {

using namespace alcove;

struct Quiet final : virtio::Interrupts {
  void queue(unsigned) override {}
  void configuration() override {}
  void needs_reset() override {}
};

// Sends back every third frame, as a network may at any time.
struct Echo final : network::Network {
  void connect(network::FrameReceiver* to) override { receiver = to; }
  void transmit(std::span<const std::byte> frame, size_t) override {
    if (frame.size() < 14 || frame.size() > devices::net::kLargestFrame) __builtin_trap();
    if (++count % 3 == 0)
      receiver->receive(frame, count % 2 ? network::Checksums::right : network::Checksums::unknown);
  }
  void pause() override {}
  void resume() override {}
  std::vector<std::string> addresses() const override { return {}; }
  network::FrameReceiver* receiver = nullptr;
  unsigned count = 0;
};

constexpr uint64_t kMemorySize = 0x20000;
constexpr size_t kRings = 0x3000, kDistance = 0x800;

void run(exec::EventLoop& loop, memory::GuestMemory& memory, std::span<const uint8_t> data) {
  const auto size = static_cast<uint16_t>(1 << (data[0] % 6));
  const bool event_index = data[0] & 0x80;
  std::byte* base = memory.host_range(0, kMemorySize);
  std::memset(base, 0, kRings);
  virtio::testing::deal(data.subspan(4), base, 3, kDistance);
  Quiet interrupts;
  Echo echo;
  devices::net::Net net(loop, {.mac_address = MACAddress({2, 0, 0, 0, 0, 1})});
  net.plug(&echo);
  virtio::Activation activation{.memory = &memory, .interrupts = &interrupts};
  activation.features = net.features() & (uint64_t{data[1]} << 16 | uint64_t{data[2]} << 8 | 0xa8 | data[2]);
  std::vector<UniqueFd> doorbells;
  for (unsigned index = 0; index < 3; ++index) {
    const uint64_t at = index * kDistance;
    activation.queues.push_back(
        virtio::Queue::create(memory, size, {at + 0x40, at, at + 0x400}, event_index, index, interrupts)
            .value());
    doorbells.emplace_back(eventfd(0, EFD_NONBLOCK));
    activation.doorbells.push_back(doorbells.back().get());
  }
  net.activate(std::move(activation));
  const std::vector<std::byte> frame(60 + data[3] * 8);
  for (int turn = 0; turn < 2; ++turn) {
    net.receive(frame, network::Checksums::right);
    net.serve();
  }
  net.statistics();
  net.deactivate();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static exec::LoopThread thread("net");
  static auto memory = [] {
    const memory::RegionSpec regions[] = {{.guest_address = 0, .size = kMemorySize}};
    return memory::GuestMemory::create(regions).value();
  }();
  if (size < 5) return 0;
  thread.loop().call([&] { run(thread.loop(), memory, {data, size}); });
  return 0;
}
