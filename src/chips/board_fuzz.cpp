// Any accesses to any chip, at any times: nothing crashes, hangs or asks for interrupts without bound.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "chips/acpi_pm.h"
#include "chips/ioapic.h"
#include "chips/pci_hot_plug.h"
#include "chips/pic.h"
#include "chips/pit.h"
#include "chips/reset_control.h"
#include "chips/rtc.h"

using namespace alcove;

namespace {
struct Sink final : bus::MessageSink {
  void send(const bus::Message&) override { ++count; }
  uint64_t count = 0;
};
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Sink sink;
  exec::ManualClock clock;
  clock.set_wall(std::chrono::seconds(1'700'000'000));
  chips::IoApic ioapic(sink, nullptr);
  chips::Pit pit(clock, ioapic.line(2));
  chips::Rtc rtc(clock, ioapic.line(8));
  chips::AcpiPm pm(clock, ioapic.line(9), [] {});
  chips::PciHotPlug hot_plug([&] { pm.raise_general_event(1); },
                             [](unsigned slot) {
                               if (slot >= chips::PciHotPlug::kSlots) abort();
                             });
  chips::ResetControl reset([] {});
  chips::Pic pic;
  chips::EdgeLevelControl edge_level;
  struct {
    bus::Device& device;
    uint64_t size;
  } const devices[] = {
      {ioapic, 0x1000},        {pit.ports(), 4},           {pit.control_port(), 1}, {rtc, 2}, {pm, 16},
      {reset.reset_port(), 1}, {reset.keyboard_port(), 1}, {reset.fast_port(), 1},  {pic, 2}, {edge_level, 2},
      {hot_plug, 16}};

  // Each step: what, where, value.
  for (; size >= 8; data += 8, size -= 8) {
    uint32_t value;
    std::memcpy(&value, data + 4, sizeof value);
    const uint8_t what = data[0] % 16;
    if (what == 15) {
      clock.advance(std::chrono::microseconds(value % 50'000));
    } else if (what == 14) {
      ioapic.end_of_interrupt(data[4]);
    } else if (what == 13) {
      pm.press_power_button();
    } else if (what == 12) {
      if (value & 32) {
        hot_plug.tell_arrival(value % 32);
      } else {
        hot_plug.ask_for(value % 32);
      }
    } else {
      const auto& target = devices[what % std::size(devices)];
      const size_t width = size_t{1} << data[1] % 3;
      uint64_t offset = (data[2] | data[3] << 8) % target.size;
      if (target.size == 0x1000) offset &= 0x50;
      if (offset + width > target.size) continue;
      std::array<std::byte, 4> bytes;
      std::memcpy(bytes.data(), &value, sizeof value);
      if (data[1] & 0x80) {
        target.device.read(offset, std::span(bytes).first(width));
      } else {
        target.device.write(offset, std::span(bytes).first(width));
      }
    }
  }
  // 20,000 a second from the interval timer, 8192 from the clock's; a step lasts 50 ms at most.
  if (sink.count > 1 << 22) abort();
  return 0;
}
