// The first bytes choose sizes and features; the rest is dealt out to the rings of both queues, then the port
// sends and receives.
#include <sys/eventfd.h>

#include <algorithm>
#include <cstring>

#include "devices/console/console_port.h"
#include "virtio/testing/fuzz_rings.h"

namespace {

using namespace alcove;

struct Quiet final : virtio::Interrupts {
  void queue(unsigned) override {}
  void configuration() override {}
  void needs_reset() override {}
};

constexpr uint64_t kMemorySize = 0x8000;

void run(serial::Port& port, memory::GuestMemory& memory, std::span<const uint8_t> data) {
  const auto size = static_cast<uint16_t>(1 << (data[0] % 6));
  const bool event_index = data[0] & 0x80;
  std::byte* base = memory.host_range(0, kMemorySize);
  std::memset(base, 0, 0x3000);
  virtio::testing::deal(data.subspan(3), base, 2, 0x800);
  Quiet interrupts;
  UniqueFd receive_doorbell(eventfd(0, EFD_NONBLOCK)), transmit_doorbell(eventfd(0, EFD_NONBLOCK));
  const auto make = [&](uint64_t at, unsigned index) {
    return virtio::Queue::create(memory, size, {at + 0x40, at, at + 0x400}, event_index, index, interrupts)
        .value();
  };
  devices::console::ConsolePort console(port);
  console.start({.receive = make(0, 0),
                 .transmit = make(0x800, 1),
                 .receive_doorbell = receive_doorbell.get(),
                 .transmit_doorbell = transmit_doorbell.get(),
                 .interrupts = &interrupts});
  const std::vector<std::byte> input(data[1] * 16 + 1);
  for (int turn = 0; turn <= data[2] % 4; ++turn) {
    console.writable();
    if (console.receive(input) > input.size()) __builtin_trap();
    if (turn == 1) console.pause();
    if (turn == 2) console.resume();
    if (turn == 3) console.drop_output();
  }
  console.stop();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static exec::LoopThread thread("serial");
  static serial::Port port(thread.loop(), LogRing::create().value());
  static auto memory = [] {
    const memory::RegionSpec regions[] = {{.guest_address = 0, .size = kMemorySize}};
    return memory::GuestMemory::create(regions).value();
  }();
  if (size < 4) return 0;
  thread.loop().call([&] { run(port, memory, {data, size}); });
  return 0;
}
