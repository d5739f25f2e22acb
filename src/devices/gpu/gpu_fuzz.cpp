// A hostile driver of the GPU: the input is a list of commands for its two queues, which lie in guest memory
// and are executed one after another; in between frames are made and read.
#include <algorithm>
#include <cstring>

#include "devices/gpu/renderer.h"
#include "spec/virtio.h"
#include "virtio/testing/fake_driver.h"

namespace {

using namespace alcove;
using namespace alcove::devices;

constexpr uint64_t kCommand = 0x1000;   // Where a command lies,
constexpr uint64_t kResponse = 0x4000;  // its response,
constexpr uint64_t kDriver = 0x8000;    // the available ring,
constexpr uint64_t kDevice = 0x9000;    // the used ring, and descriptors at 0.

struct Quiet final : virtio::Interrupts {
  void queue(unsigned) override {}
  void configuration() override {}
  void needs_reset() override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto memory = [] {
    const memory::RegionSpec region{.guest_address = 0, .size = 0x100000};
    return memory::GuestMemory::create(std::span(&region, 1)).value();
  }();
  static gpu::Monitors monitors({{640, 480, 96}, {64, 64, 200}});
  static std::vector<display::FrameMemory> frames = [] {
    std::vector<display::FrameMemory> made;
    for (int i = 0; i < 2; ++i) made.push_back(display::FrameMemory::create().value());
    return made;
  }();
  static auto renderer = [] {
    std::vector<std::unique_ptr<display::Display>> displays;
    for (const display::FrameMemory& frame : frames) {
      displays.push_back(std::make_unique<display::Display>(
          display::FrameMemory::open(UniqueFd(::dup(frame.descriptor()))).value(), UniqueFd()));
    }
    return std::make_unique<gpu::Renderer>(monitors, std::move(displays));
  }();
  std::memset(memory.host_range(0, 0xa000), 0, 0xa000);
  renderer->set_memory(&memory);
  Quiet interrupts;
  auto queue = virtio::Queue::create(memory, 2, {0, kDriver, kDevice}, false, 0, interrupts).value();
  uint16_t published = 0;
  for (size_t at = 0; at + 4 <= size;) {
    // Which queue, how much room for the response; the command's length; then the command.
    const uint8_t kind = data[at];
    const size_t length = std::min<size_t>(data[at + 1] | (kind & 0x30) << 4, size - at - 2);
    std::memcpy(memory.host_range(kCommand, 0x1000), data + at + 2, length);
    at += 2 + length;
    const spec::virtio::Descriptor request{kCommand, static_cast<uint32_t>(std::max<size_t>(length, 1)),
                                           spec::virtio::kDescriptorNext, 1};
    const spec::virtio::Descriptor response{kResponse, kind & 2 ? 20u : 1200u, spec::virtio::kDescriptorWrite,
                                            0};
    if (!memory.store(0, request) || !memory.store(16, response)) __builtin_trap();
    if (!memory.store<uint16_t>(kDriver + 2, ++published)) __builtin_trap();
    auto chain = queue->pop();
    if (!chain || !*chain) __builtin_trap();
    const uint32_t written =
        kind & 1 ? renderer->execute_cursor(**chain) : renderer->execute_control(**chain);
    if (written > response.length) __builtin_trap();
    queue->push(**chain, written);
    if (kind & 4) renderer->publish();
  }
  renderer->publish();
  for (const display::FrameMemory& frame : frames) {
    DisplayFrame picture;
    display::FrameMemory::Position position;
    frame.read(picture, position);
    if (picture.pixels.size() != size_t{picture.size.width} * picture.size.height) __builtin_trap();
    frame.read_cursor(0);
  }
  renderer->reset();
  return 0;
}
