// A bare guest that drives the first virtio disk by polling: reads sectors 0 to 7 and prints the text in
// each, writes sector 8, flushes, and powers off. Entered as a 64-bit Linux kernel: long mode, 4 GiB mapped
// as they are.
#include <cstddef>
#include <cstdint>

#include "spec/pci.h"
#include "spec/virtio.h"
#include "spec/virtio_block.h"
#include "spec/virtio_pci.h"

// Compilers call these of their own accord.
extern "C" void* memset(void* to, int value, size_t size) {
  for (size_t i = 0; i < size; ++i) static_cast<volatile char*>(to)[i] = static_cast<char>(value);
  return to;
}
extern "C" void* memcpy(void* to, const void* from, size_t size) {
  for (size_t i = 0; i < size; ++i) static_cast<volatile char*>(to)[i] = static_cast<const char*>(from)[i];
  return to;
}

namespace {

namespace pci = alcove::spec::pci;
using namespace alcove::spec::virtio;
using Common = PciCommonConfiguration;

constexpr uint16_t kSerialPort = 0x3f8;
constexpr uint16_t kPowerPort = 0x604;
constexpr uint16_t kQueueSize = 8;

void out8(uint16_t port, uint8_t value) {
  asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
void out16(uint16_t port, uint16_t value) {
  asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}
void out32(uint16_t port, uint32_t value) {
  asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}
uint32_t in32(uint16_t port) {
  uint32_t value;
  asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

void print(const char* text) {
  for (; *text; ++text) out8(kSerialPort, static_cast<uint8_t>(*text));
}

[[noreturn]] void end() {
  out16(kPowerPort, 5 << 10 | 1 << 13);  // ACPI S5, as the machine's tables say.
  for (;;) asm volatile("hlt");
}

[[noreturn]] void fail(const char* why) {
  print(why);
  print("\n");
  end();
}

uint32_t configuration(unsigned slot, unsigned offset) {
  out32(pci::kAddressPort, pci::kAddressEnable | slot << 11 | (offset & ~3u));
  return in32(pci::kDataPort) >> (8 * (offset & 3));
}

// The device's registers; the kernel's pages map them where they are.
uint64_t bar, common, notify;

template <class T>
volatile T& at(uint64_t address) {
  return *reinterpret_cast<volatile T*>(address);
}

void find_device() {
  unsigned slot = 0;
  while (slot < pci::kDevicesPerBus &&
         configuration(slot, 0) != (kPciVendor | (kPciModernDevice + kBlockDevice) << 16)) {
    ++slot;
  }
  if (slot == pci::kDevicesPerBus) fail("no virtio disk");
  bar = configuration(slot, pci::kBar0) & ~15u;
  for (unsigned here = configuration(slot, pci::kCapabilities) & 0xff; here;
       here = configuration(slot, here + 1) & 0xff) {
    if ((configuration(slot, here) & 0xff) != pci::kCapabilityVendor) continue;
    const uint8_t type = configuration(slot, here + 3) & 0xff;
    const uint64_t place = bar + configuration(slot, here + 8);
    if (type == kPciCommon) common = place;
    if (type == kPciNotify) notify = place;
  }
  if (!common || !notify) fail("capabilities are missing");
}

struct AvailableRing {
  uint16_t flags, index, entries[kQueueSize], used_event;
};
struct UsedRing {
  uint16_t flags, index;
  UsedElement entries[kQueueSize];
  uint16_t available_event;
};
alignas(4096) Descriptor descriptors[kQueueSize];
alignas(4096) AvailableRing available;
alignas(4096) UsedRing used;
alignas(4096) char data[512];
BlockHeader header;
uint8_t status;

void set_address(size_t field, const void* what) {
  at<uint32_t>(common + field) = static_cast<uint32_t>(reinterpret_cast<uint64_t>(what));
  at<uint32_t>(common + field + 4) = 0;
}

void start_device() {
  volatile uint8_t& state = at<uint8_t>(common + offsetof(Common, device_status));
  state = 0;
  while (state != 0) {
  }
  state = kStatusAcknowledge;
  state = kStatusAcknowledge | kStatusDriver;
  at<uint32_t>(common + offsetof(Common, driver_feature_select)) = 1;
  at<uint32_t>(common + offsetof(Common, driver_feature)) = kFeatureVersion1 >> 32;
  at<uint32_t>(common + offsetof(Common, driver_feature_select)) = 0;
  at<uint32_t>(common + offsetof(Common, driver_feature)) = static_cast<uint32_t>(kBlockFeatureFlush);
  state = kStatusAcknowledge | kStatusDriver | kStatusFeaturesOk;
  if (!(state & kStatusFeaturesOk)) fail("features were refused");
  at<uint16_t>(common + offsetof(Common, queue_select)) = 0;
  at<uint16_t>(common + offsetof(Common, queue_size)) = kQueueSize;
  set_address(offsetof(Common, queue_desc_low), descriptors);
  set_address(offsetof(Common, queue_driver_low), &available);
  set_address(offsetof(Common, queue_device_low), &used);
  at<uint16_t>(common + offsetof(Common, queue_enable)) = 1;
  available.flags = kAvailableNoInterrupt;
  state = kStatusAcknowledge | kStatusDriver | kStatusFeaturesOk | kStatusDriverOk;
}

Descriptor descriptor(const void* what, uint32_t size, uint16_t flags, uint16_t next = 0) {
  return {reinterpret_cast<uint64_t>(what), size, flags, next};
}

void request(uint32_t type, uint64_t sector) {
  header = {type, 0, sector};
  status = 0xff;
  const uint16_t direction = type == kBlockRead ? kDescriptorWrite : 0;
  descriptors[0] = descriptor(&header, sizeof header, kDescriptorNext, type == kBlockFlush ? 2 : 1);
  descriptors[1] = descriptor(data, sizeof data, kDescriptorNext | direction, 2);
  descriptors[2] = descriptor(&status, 1, kDescriptorWrite);
  available.entries[available.index % kQueueSize] = 0;
  const auto next = static_cast<uint16_t>(available.index + 1);
  asm volatile("" : : : "memory");  // Stores are seen in order on x86; only the compiler must keep it.
  at<uint16_t>(reinterpret_cast<uint64_t>(&available.index)) = next;
  at<uint16_t>(notify) = 0;
  while (at<uint16_t>(reinterpret_cast<uint64_t>(&used.index)) != next) asm volatile("pause");
  asm volatile("" : : : "memory");
  if (at<uint8_t>(reinterpret_cast<uint64_t>(&status)) != kBlockOk) fail("a request failed");
}

}  // namespace

extern "C" [[noreturn]] void run() {
  find_device();
  start_device();
  for (uint64_t sector = 0; sector < 8; ++sector) {
    request(kBlockRead, sector);
    data[sizeof data - 1] = 0;
    print(data);
  }
  memset(data, 0, sizeof data);
  memcpy(data, "hello from the guest", 20);
  request(kBlockWrite, 8);
  request(kBlockFlush, 0);
  print("written and flushed\n");
  end();
}

asm(R"(
  .globl _start
_start:
  lea stack_top(%rip), %rsp
  call run
  .bss
  .balign 16
  .skip 16384
stack_top:
  .text
)");
