#include "virtio/pci_transport.h"

#include <gtest/gtest.h>

#include <cstring>

#include "bus/address_map.h"
#include "cpu/hypervisor.h"
#include "pci/root.h"
#include "spec/virtio_pci.h"
#include "virtio/testing/fake_driver.h"

namespace alcove::virtio {
namespace {

using namespace spec::virtio;
using Common = PciCommonConfiguration;

struct FakeDevice final : Device {
  uint16_t device_id() const override { return kEntropyDevice; }
  uint64_t features() const override { return 0x5; }
  std::span<const uint16_t> queue_sizes() const override { return sizes; }
  uint32_t config_size() const override { return 8; }
  void read_config(uint32_t offset, std::span<std::byte> out) override {
    std::memcpy(out.data(), config + offset, out.size());
  }
  void write_config(uint32_t offset, std::span<const std::byte> in) override {
    std::memcpy(config + offset, in.data(), in.size());
  }
  std::optional<SharedMemory> shared_memory() const override { return shared; }
  void activate(Activation with) override { activation = std::move(with); }
  void deactivate() override {
    activation.reset();
    ++deactivations;
  }
  void pause() override { ++pauses; }
  void resume() override { ++resumes; }

  uint16_t sizes[2] = {64, 16};
  std::byte config[8] = {};
  std::optional<SharedMemory> shared;
  std::optional<Activation> activation;
  int deactivations = 0, pauses = 0, resumes = 0;
};

struct FakeLine final : bus::InterruptLine {
  void set(bool asserted) override { up = asserted; }
  bool up = false;
};

struct FakeVm final : cpu::Vm {
  unsigned cpu_count() const override { return 0; }
  uint64_t tsc_khz() const override { return 0; }
  cpu::Vcpu& vcpu(unsigned) override { std::abort(); }
  void send(const bus::Message& message) override { messages.push_back(message); }
  void set_level_triggered_vectors(std::span<const uint64_t, 4>) override {}
  Result<> bind_doorbell(uint64_t address, unsigned size, int fd) override {
    EXPECT_EQ(size, 2u);
    EXPECT_TRUE(doorbells.emplace(address, fd).second);
    return {};
  }
  void unbind_doorbell(uint64_t address, unsigned, int fd) override {
    EXPECT_EQ(doorbells.at(address), fd);
    doorbells.erase(address);
  }
  Result<> bind_interrupt(int, const bus::Message&) override {
    return fail(ErrorCode::not_supported, "", "");
  }
  void unbind_interrupt(int) override {}
  Result<> fetch_dirty_log(uint64_t, std::span<uint64_t>) override {
    return fail(ErrorCode::not_supported, "", "");
  }
  std::vector<bus::Message> messages;
  std::map<uint64_t, int> doorbells;
};

struct TransportTest : ::testing::Test {
  testing::FakeGuest guest;
  FakeDevice device;
  FakeVm vm;
  FakeLine line;
  bus::AddressMap ports, memory;
  std::unique_ptr<pci::Root> root;
  std::unique_ptr<PciTransport> transport;
  uint64_t bar = 0;

  void SetUp() override {
    pci::RootOptions options;
    options.interrupt_lines.fill(&line);
    root = pci::Root::create(ports, memory, options).value();
    transport = std::make_unique<PciTransport>(
        device, PciTransportOptions{.memory = &guest.memory(), .messages = &vm, .doorbells = &vm});
    ASSERT_TRUE(root->add(3, 0, *transport, "device"));
    bar = load<uint32_t>(config(0x10)) & ~0xfu;
    guest.add_queue(64);
    guest.add_queue(16);
  }

  static uint64_t config(unsigned offset) { return 0xE000'0000 + (3 << 15) + offset; }
  template <class T>
  T load(uint64_t address) {
    T value;
    memory.read(address, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  template <class T>
  void store(uint64_t address, T value) {
    memory.write(address, std::as_bytes(std::span(&value, 1)));
  }
  uint8_t status() { return load<uint8_t>(bar + offsetof(Common, device_status)); }
  void set_status(uint8_t value) { store<uint8_t>(bar + offsetof(Common, device_status), value); }
  uint64_t offered() {
    uint64_t result = 0;
    for (uint32_t i = 0; i < 3; ++i) {
      store<uint32_t>(bar, i);
      const uint64_t part = load<uint32_t>(bar + 4);
      if (i < 2) {
        result |= part << (32 * i);
      } else {
        EXPECT_EQ(part, 0u);
      }
    }
    return result;
  }
  void accept(uint64_t features) {
    for (uint32_t i = 0; i < 2; ++i) {
      store<uint32_t>(bar + offsetof(Common, driver_feature_select), i);
      store<uint32_t>(bar + offsetof(Common, driver_feature), static_cast<uint32_t>(features >> (32 * i)));
    }
  }
  void set_up_queue(uint16_t index, QueueAddresses addresses, uint16_t vector = kNoVector) {
    store<uint16_t>(bar + offsetof(Common, queue_select), index);
    store<uint16_t>(bar + offsetof(Common, queue_msix_vector), vector);
    const uint64_t values[] = {addresses.descriptors, addresses.driver, addresses.device};
    for (unsigned i = 0; i < 3; ++i) {
      store<uint32_t>(bar + offsetof(Common, queue_desc_low) + 8 * i, static_cast<uint32_t>(values[i]));
      store<uint32_t>(bar + offsetof(Common, queue_desc_high) + 8 * i,
                      static_cast<uint32_t>(values[i] >> 32));
    }
    store<uint16_t>(bar + offsetof(Common, queue_enable), 1);
  }
  void start(uint64_t features = kFeatureVersion1, uint16_t vector = kNoVector) {
    set_status(kStatusAcknowledge);
    set_status(kStatusAcknowledge | kStatusDriver);
    accept(features);
    set_status(kStatusAcknowledge | kStatusDriver | kStatusFeaturesOk);
    set_up_queue(0, guest.queue(0).addresses(), vector);
    set_status(kStatusAcknowledge | kStatusDriver | kStatusFeaturesOk | kStatusDriverOk);
  }
  // The configuration-space offset of the capability of this type.
  unsigned find_capability(uint8_t type, uint8_t id = 9) {
    for (unsigned at = load<uint8_t>(config(0x34)); at; at = load<uint8_t>(config(at + 1))) {
      if (load<uint8_t>(config(at)) == id && (id != 9 || load<uint8_t>(config(at + 3)) == type)) return at;
    }
    return 0;
  }
  void enable_msix() {
    const unsigned at = find_capability(0, 0x11);
    const uint64_t table = bar + (load<uint32_t>(config(at + 4)) & ~7u);
    for (unsigned i = 0; i < 3; ++i) {
      store<uint32_t>(table + 16 * i, 0xfee0'0000);
      store<uint32_t>(table + 16 * i + 8, 0x40 + i);
      store<uint32_t>(table + 16 * i + 12, 0);
    }
    store<uint16_t>(config(at + 2), 0x8000);
  }
  bool rung(unsigned queue) {
    eventfd_t value;
    return eventfd_read(device.activation->doorbells.at(queue), &value) == 0;
  }
};

TEST_F(TransportTest, IdentifiesItself) {
  EXPECT_EQ(load<uint32_t>(config(0)), 0x1044'1af4u);
  EXPECT_EQ(load<uint8_t>(config(8)), 1);
  for (uint8_t type = 1; type <= 5; ++type) {
    const unsigned at = find_capability(type);
    ASSERT_NE(at, 0u) << int(type);
    EXPECT_EQ(load<uint8_t>(config(at + 4)), 0);
  }
  const unsigned notify = find_capability(kPciNotify);
  EXPECT_EQ(load<uint32_t>(config(notify + 8)), PciTransport::kNotifyOffset);
  EXPECT_EQ(load<uint32_t>(config(notify + 16)), 4u);
  EXPECT_EQ(load<uint16_t>(bar + offsetof(Common, num_queues)), 2);
  EXPECT_EQ(load<uint16_t>(config(find_capability(0, 0x11) + 2)), 2);  // Three vectors.
}

TEST_F(TransportTest, NegotiatesAndActivates) {
  EXPECT_EQ(offered(), 0x5 | kFeatureVersion1 | kFeatureEventIndex | kFeatureIndirectDescriptors);
  start(kFeatureVersion1 | 0x4);
  EXPECT_EQ(status(), 15);
  ASSERT_TRUE(device.activation);
  EXPECT_EQ(device.activation->features, kFeatureVersion1 | 0x4);
  ASSERT_EQ(device.activation->queues.size(), 2u);
  EXPECT_EQ(device.activation->queues[0]->size(), 64);
  EXPECT_EQ(device.activation->queues[1], nullptr);
  set_status(0);
  EXPECT_EQ(status(), 0);
  EXPECT_FALSE(device.activation);
  EXPECT_EQ(device.deactivations, 1);
  store<uint16_t>(bar + offsetof(Common, queue_select), 0);
  EXPECT_EQ(load<uint16_t>(bar + offsetof(Common, queue_enable)), 0);
  EXPECT_EQ(load<uint32_t>(bar + offsetof(Common, queue_desc_low)), 0u);
}

TEST_F(TransportTest, RefusesFeaturesItDidNotOffer) {
  set_status(3);
  accept(kFeatureVersion1 | 0x2);
  set_status(11);
  EXPECT_EQ(status(), 3);
  accept(0x1);  // Without VERSION_1.
  set_status(11);
  EXPECT_EQ(status(), 3);
  set_status(15);  // DRIVER_OK without FEATURES_OK.
  EXPECT_FALSE(device.activation);
  accept(kFeatureVersion1);
  set_status(11);
  EXPECT_EQ(status(), 11);
  accept(0);  // Too late.
  EXPECT_EQ(load<uint32_t>(bar + offsetof(Common, driver_feature)), 1u);
}

TEST_F(TransportTest, RingsOutsideMemoryNeedReset) {
  set_status(3);
  accept(kFeatureVersion1);
  set_status(11);
  set_up_queue(1, {.descriptors = ~uint64_t{15}, .driver = 0x1000, .device = 0x2000});
  set_status(15);
  EXPECT_FALSE(device.activation);
  EXPECT_EQ(status(), 15 | kStatusNeedsReset);
  EXPECT_TRUE(line.up);
  EXPECT_EQ(load<uint8_t>(bar + PciTransport::kIsrOffset), kIsrConfiguration);
  set_status(0);
  EXPECT_EQ(status(), 0);
  start();
  EXPECT_TRUE(device.activation);
}

TEST_F(TransportTest, QueueRegistersKeepToTheirBounds) {
  const auto select = [&](uint16_t index) { store<uint16_t>(bar + offsetof(Common, queue_select), index); };
  const auto size = [&] { return load<uint16_t>(bar + offsetof(Common, queue_size)); };
  select(1);
  EXPECT_EQ(size(), 16);
  for (uint16_t bad : {0, 3, 32, 0x8000}) {
    store<uint16_t>(bar + offsetof(Common, queue_size), bad);
    EXPECT_EQ(size(), 16);
  }
  store<uint16_t>(bar + offsetof(Common, queue_size), 8);
  EXPECT_EQ(size(), 8);
  store<uint16_t>(bar + offsetof(Common, queue_msix_vector), 3);
  EXPECT_EQ(load<uint16_t>(bar + offsetof(Common, queue_msix_vector)), kNoVector);
  store<uint16_t>(bar + offsetof(Common, queue_msix_vector), 2);
  EXPECT_EQ(load<uint16_t>(bar + offsetof(Common, queue_msix_vector)), 2);
  store<uint16_t>(bar + offsetof(Common, queue_enable), 1);
  store<uint16_t>(bar + offsetof(Common, queue_size), 4);
  EXPECT_EQ(size(), 8);  // Enabled: as it is.
  select(2);
  EXPECT_EQ(size(), 0);
  store<uint16_t>(bar + offsetof(Common, queue_enable), 1);
  EXPECT_EQ(load<uint16_t>(bar + offsetof(Common, queue_enable)), 0);
}

TEST_F(TransportTest, FieldsHaveTheirOwnWidth) {
  EXPECT_EQ(load<uint32_t>(bar + offsetof(Common, config_msix_vector)), 0xffff'ffffu);
  EXPECT_EQ(load<uint16_t>(bar + offsetof(Common, device_status)), 0xffff);
  store<uint32_t>(bar + offsetof(Common, device_status), 1);
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(load<uint32_t>(bar + sizeof(Common)), 0xffff'ffffu);
  EXPECT_EQ(load<uint16_t>(bar + 0x17), 0xffff);
}

TEST_F(TransportTest, DeviceConfiguration) {
  store<uint32_t>(bar + PciTransport::kDeviceOffset + 4, 0x1234'5678);
  EXPECT_EQ(load<uint16_t>(bar + PciTransport::kDeviceOffset + 6), 0x1234);
  EXPECT_EQ(load<uint32_t>(bar + PciTransport::kDeviceOffset + 8), 0xffff'ffffu);
  EXPECT_EQ(load<uint64_t>(bar + PciTransport::kDeviceOffset + 4), ~uint64_t{0});
}

TEST_F(TransportTest, NotificationsRingTheDoorbell) {
  start();
  EXPECT_FALSE(rung(0));
  store<uint16_t>(bar + PciTransport::kNotifyOffset, 0);
  EXPECT_TRUE(rung(0));
  store<uint16_t>(bar + PciTransport::kNotifyOffset + 4, 1);
  EXPECT_FALSE(rung(0));
  EXPECT_TRUE(rung(1));
  store<uint16_t>(bar + PciTransport::kNotifyOffset + 8, 2);  // Nobody.
  EXPECT_FALSE(rung(0) || rung(1));
}

TEST_F(TransportTest, DoorbellsFollowTheBar) {
  ASSERT_EQ(vm.doorbells.size(), 2u);
  EXPECT_TRUE(vm.doorbells.contains(bar + PciTransport::kNotifyOffset));
  EXPECT_TRUE(vm.doorbells.contains(bar + PciTransport::kNotifyOffset + 4));
  store<uint32_t>(config(0x10), 0xD000'0000);
  EXPECT_TRUE(vm.doorbells.contains(0xD000'0000 + PciTransport::kNotifyOffset));
  EXPECT_EQ(vm.doorbells.size(), 2u);
  store<uint16_t>(config(4), 0);
  EXPECT_TRUE(vm.doorbells.empty());
  root->reset();
  EXPECT_TRUE(vm.doorbells.contains(bar + PciTransport::kNotifyOffset));
  transport.reset();
  EXPECT_TRUE(vm.doorbells.empty());
}

TEST_F(TransportTest, InterruptsByMessage) {
  enable_msix();
  store<uint16_t>(bar + offsetof(Common, config_msix_vector), 0);
  start(kFeatureVersion1, 1);
  device.activation->interrupts->queue(0);
  device.activation->interrupts->queue(1);  // Has no vector.
  const uint8_t generation = load<uint8_t>(bar + offsetof(Common, config_generation));
  device.activation->interrupts->configuration();
  EXPECT_NE(load<uint8_t>(bar + offsetof(Common, config_generation)), generation);
  ASSERT_EQ(vm.messages.size(), 2u);
  EXPECT_EQ(vm.messages[0], (bus::Message{0xfee0'0000, 0x41}));
  EXPECT_EQ(vm.messages[1], (bus::Message{0xfee0'0000, 0x40}));
  device.activation->interrupts->needs_reset();
  device.activation->interrupts->needs_reset();
  EXPECT_EQ(vm.messages.size(), 3u);
  EXPECT_TRUE(status() & kStatusNeedsReset);
  EXPECT_FALSE(line.up);
}

TEST_F(TransportTest, InterruptsByPin) {
  start();
  device.activation->interrupts->queue(0);
  EXPECT_TRUE(line.up);
  device.activation->interrupts->configuration();
  EXPECT_EQ(load<uint8_t>(bar + PciTransport::kIsrOffset), kIsrQueue | kIsrConfiguration);
  EXPECT_FALSE(line.up);
  EXPECT_EQ(load<uint8_t>(bar + PciTransport::kIsrOffset), 0);
  EXPECT_TRUE(vm.messages.empty());
}

TEST_F(TransportTest, ConfigurationAccessCapabilityReachesTheBar) {
  const unsigned at = find_capability(kPciConfigurationAccess);
  const auto window = [&](uint8_t which, uint32_t offset, uint32_t size) {
    store<uint8_t>(config(at + 4), which);
    store<uint32_t>(config(at + 8), offset);
    store<uint32_t>(config(at + 12), size);
  };
  window(0, offsetof(Common, num_queues), 2);
  EXPECT_EQ(load<uint16_t>(config(at + 16)), 2);
  window(0, offsetof(Common, device_status), 1);
  store<uint32_t>(config(at + 16), 3);
  EXPECT_EQ(status(), 3);
  // Windows that section 4.1.4.9.2 forbids do nothing.
  for (auto [which, offset, size] : {std::tuple<uint8_t, uint32_t, uint32_t>{1, 0, 4},
                                     {0, 2, 4},
                                     {0, 0, 8},
                                     {0, 0x8000, 4},
                                     {0, ~3u, 4},
                                     {0, 0, 0}}) {
    window(which, offset, size);
    store<uint32_t>(config(at + 16), 0);
    load<uint32_t>(config(at + 16));
    EXPECT_EQ(status(), 3);
  }
}

TEST_F(TransportTest, MachineResetAndPause) {
  transport->pause();  // Not active: nothing to tell.
  EXPECT_EQ(device.pauses, 0);
  start();
  transport->pause();
  transport->resume();
  EXPECT_EQ(device.pauses, 1);
  EXPECT_EQ(device.resumes, 1);
  enable_msix();
  store<uint32_t>(config(0x10), 0xD000'0000);
  root->reset();
  EXPECT_FALSE(device.activation);
  EXPECT_EQ(status(), 0);  // At the BAR's old place.
  EXPECT_EQ(load<uint16_t>(config(find_capability(0, 0x11) + 2)), 2);
}

TEST_F(TransportTest, SharedMemoryIsWhereTheBarIs) {
  constexpr uint64_t kSize = 6 << 20, kBarSize = 8 << 20, kAddress = uint64_t{1} << 38;
  const memory::RegionSpec region{.guest_address = 0, .size = 1 << 20};
  const uint64_t sizes[] = {2 << 20, kSize};
  auto with_window = memory::GuestMemory::create(std::span(&region, 1), sizes).value();
  const memory::FileWindow& window = *with_window.windows()[1];
  device.shared = {.id = 7, .window = 1};
  auto sharing =
      std::make_unique<PciTransport>(device, PciTransportOptions{.memory = &with_window, .messages = &vm});
  ASSERT_TRUE(root->add(4, 0, *sharing, "shared"));
  const auto register_at = [](unsigned offset) { return config(offset) + (1 << 15); };
  const auto base_register = [&] {
    return load<uint32_t>(register_at(0x18)) | uint64_t{load<uint32_t>(register_at(0x1c))} << 32;
  };
  EXPECT_EQ(base_register() & 0xf, 0xcu) << "64 bits, prefetchable";
  const uint64_t placed = base_register() & ~uint64_t{0xf};
  EXPECT_EQ(window.address(), placed);
  EXPECT_EQ(placed % kBarSize, 0u);
  unsigned at = load<uint8_t>(register_at(0x34));
  while (at && load<uint8_t>(register_at(at + 3)) != kPciSharedMemory)
    at = load<uint8_t>(register_at(at + 1));
  ASSERT_NE(at, 0u);
  EXPECT_EQ(load<uint8_t>(register_at(at + 2)), 24) << "length";
  EXPECT_EQ(load<uint8_t>(register_at(at + 4)), PciTransport::kSharedMemoryBar);
  EXPECT_EQ(load<uint8_t>(register_at(at + 5)), 7) << "id";
  EXPECT_EQ(load<uint32_t>(register_at(at + 8)), 0u) << "offset";
  EXPECT_EQ(load<uint32_t>(register_at(at + 12)), kSize);
  EXPECT_EQ(load<uint32_t>(register_at(at + 16)), 0u) << "upper halves";
  EXPECT_EQ(load<uint32_t>(register_at(at + 20)), 0u);
  // No register is there.
  EXPECT_EQ(load<uint32_t>(placed), ~0u);
  store<uint32_t>(register_at(0x18), ~0u);
  store<uint32_t>(register_at(0x1c), ~0u);
  EXPECT_EQ(base_register(), ~(kBarSize - 1) | 0xc) << "its size";
  EXPECT_EQ(window.address(), memory::FileWindow::kNowhere);
  store<uint32_t>(register_at(0x18), static_cast<uint32_t>(kAddress));
  store<uint32_t>(register_at(0x1c), static_cast<uint32_t>(kAddress >> 32));
  EXPECT_EQ(window.address(), kAddress);
  store<uint16_t>(register_at(4), 0);
  EXPECT_EQ(window.address(), memory::FileWindow::kNowhere);
  root->reset();
  EXPECT_EQ(window.address(), placed);
  sharing.reset();
  EXPECT_EQ(window.address(), memory::FileWindow::kNowhere);
}

TEST_F(TransportTest, DestructionDeactivates) {
  start();
  transport.reset();
  EXPECT_FALSE(device.activation);
}

}  // namespace
}  // namespace alcove::virtio
