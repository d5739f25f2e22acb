// A hostile driver of an input device, and events meanwhile: rings, buffers and configuration accesses are
// the input's bytes.
#include <algorithm>
#include <cstring>

#include "devices/input/trackpad.h"
#include "virtio/testing/fake_driver.h"

namespace {

using namespace alcove;

struct Quiet final : virtio::Interrupts {
  void queue(unsigned) override {}
  void configuration() override {}
  void needs_reset() override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto memory = [] {
    const memory::RegionSpec region{.guest_address = 0, .size = 0x10000};
    return memory::GuestMemory::create(std::span(&region, 1)).value();
  }();
  static exec::LoopThread loop("fuzz");
  static Quiet interrupts;
  static const int doorbells[] = {eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK)};
  if (size < 8) return 0;
  devices::input::Trackpad device(loop.loop(), data[0] + 20, data[1] + 20);
  const size_t rest = std::min<size_t>(size - 8, 0x1000);
  std::byte* base = memory.host_range(0, 0x4000);
  std::memset(base, 0, 0x4000);
  std::memcpy(base, data + 8, rest);

  device.write_config(data[2] % 8, std::as_bytes(std::span(data + 3, 2)));
  std::array<std::byte, 136> configuration;
  device.read_config(0, configuration);

  virtio::Activation activation{.memory = &memory, .interrupts = &interrupts};
  // Available rings at 0, descriptors behind, so that short inputs make whole buffers.
  for (unsigned index = 0; index < 2; ++index) {
    const uint64_t at = 0x800 * index;
    activation.queues.push_back(virtio::Queue::create(memory, 8, {at + 0x20, at, 0x3000 + 0x100 * index},
                                                      data[5] & 1, index, interrupts)
                                    .value());
    activation.doorbells.push_back(doorbells[index]);
  }
  device.activate(std::move(activation));
  for (size_t at = 8; at + 4 <= size && at < 200; at += 4) {
    TouchEvent event{.pressed = (data[at] & 1) != 0};
    for (unsigned finger = 0; finger < (data[at] >> 1) % 8u; ++finger)
      event.contacts.push_back(
          {.id = data[at + 1] + finger, .x = data[at + 2] / 255.0, .y = data[at + 3] / 255.0});
    device.touch(event);
    if (data[at] & 0x80) eventfd_write(doorbells[data[at] & 1], 1);
  }
  loop.loop().call([] {});
  if (data[6] & 1) {
    device.pause();
    device.resume();
  }
  device.deactivate();
  return 0;
}
