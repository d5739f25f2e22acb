// A hostile guest in front of a virtio PCI function: each three or more bytes of the input are one access to
// configuration space, BAR or doorbell, or an interrupt from the device.
#include <algorithm>
#include <cstring>

#include "bus/address_map.h"
#include "pci/root.h"
#include "spec/virtio.h"
#include "virtio/pci_transport.h"

namespace {

using namespace alcove;

// Holds the transport to its promises.
struct Device final : virtio::Device {
  uint16_t device_id() const override { return spec::virtio::kBlockDevice; }
  uint64_t features() const override { return 0xff; }
  std::span<const uint16_t> queue_sizes() const override { return sizes; }
  uint32_t config_size() const override { return 20; }
  void read_config(uint32_t offset, std::span<std::byte> out) override {
    if (offset > 20 || out.size() > 20 - offset) __builtin_trap();
    std::ranges::fill(out, std::byte{0});
  }
  void write_config(uint32_t offset, std::span<const std::byte> in) override {
    if (offset > 20 || in.size() > 20 - offset) __builtin_trap();
  }
  std::optional<virtio::SharedMemory> shared_memory() const override {
    return virtio::SharedMemory{.id = 0, .window = 0};
  }
  void activate(virtio::Activation with) override {
    if (activation || with.queues.size() != 3 || with.doorbells.size() != 3) __builtin_trap();
    if (!(with.features & spec::virtio::kFeatureVersion1)) __builtin_trap();
    if (with.features & ~(0xff | uint64_t{7} << 28 | uint64_t{1} << 32)) __builtin_trap();
    activation = std::move(with);
  }
  void deactivate() override { activation.reset(); }
  void pause() override {
    if (!activation) __builtin_trap();
  }
  void resume() override { pause(); }

  static constexpr uint16_t sizes[3] = {256, 8, 1};
  std::optional<virtio::Activation> activation;
};

struct Sink final : bus::MessageSink {
  void send(const bus::Message&) override {}
};
struct Line final : bus::InterruptLine {
  void set(bool) override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto memory = [] {
    const memory::RegionSpec region{.guest_address = 0, .size = 0x10000};
    const uint64_t window = 2 << 20;
    return memory::GuestMemory::create(std::span(&region, 1), std::span(&window, 1)).value();
  }();
  bus::AddressMap ports, map;
  Sink sink;
  Line line;
  pci::RootOptions options;
  options.interrupt_lines.fill(&line);
  auto root = pci::Root::create(ports, map, options).value();
  Device device;
  virtio::PciTransport transport(device, virtio::PciTransportOptions{.memory = &memory, .messages = &sink});
  if (!root->add(1, 0, transport, "device")) __builtin_trap();
  const std::span<const uint8_t> input(data, size);
  std::byte buffer[8];
  for (size_t at = 0; at + 12 <= input.size(); at += 12) {
    uint16_t offset;
    std::memcpy(&offset, &input[at + 1], 2);
    const size_t width = size_t{1} << (input[at] >> 6);
    std::memcpy(buffer, &input[at + 4], 8);
    const std::span<std::byte> bytes(buffer, width);
    const uint64_t configuration = 0xE000'8000 + (offset & 0xfff);
    switch (input[at] & 7) {
      case 0:
        map.write(configuration, bytes);
        break;
      case 1:
        map.read(configuration, bytes);
        break;
      // Wherever the guest may have moved its BAR.
      case 2:
        if (offset % 0x8000 + width <= 0x8000) transport.write_bar(0, offset % 0x8000, bytes);
        break;
      case 3:
        if (offset % 0x8000 + width <= 0x8000) transport.read_bar(0, offset % 0x8000, bytes);
        break;
      case 4:
        map.write(0xC000'0000 + offset, bytes);
        break;
      case 5:
        if (!device.activation) break;
        device.activation->interrupts->queue(input[at + 3] % 3);
        device.activation->interrupts->configuration();
        if (input[at + 3] & 0x80) device.activation->interrupts->needs_reset();
        break;
      case 6:
        transport.pause();
        transport.resume();
        break;
      default:
        if (input[at + 3] == 1) root->reset();
        map.write(0xC000'0000 + (input[at + 3] & 0x3e), bytes);  // The registers that matter, more often.
        break;
    }
  }
  return 0;
}
