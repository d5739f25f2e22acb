#include "chips/pci_hot_plug.h"

#include <gtest/gtest.h>

#include <span>
#include <vector>

namespace alcove::chips {
namespace {

struct PciHotPlugTest : testing::Test {
  uint32_t in(uint64_t offset) {
    uint32_t value = 0;
    EXPECT_EQ(chip.read(offset, std::as_writable_bytes(std::span(&value, 1))), bus::Access::done);
    return value;
  }
  void out(uint64_t offset, uint32_t value) {
    EXPECT_EQ(chip.write(offset, std::as_bytes(std::span(&value, 1))), bus::Access::done);
  }
  int events = 0;
  std::vector<unsigned> ejected;
  PciHotPlug chip{[this] { ++events; }, [this](unsigned slot) { ejected.push_back(slot); }};
};

TEST_F(PciHotPlugTest, TellsWhatCameAndWhatIsToGo) {
  EXPECT_EQ(in(PciHotPlug::kArrived), 0u);
  chip.tell_arrival(3);
  chip.tell_arrival(30);
  EXPECT_EQ(events, 2);
  EXPECT_EQ(in(PciHotPlug::kArrived), 0x4000'0008u);
  out(PciHotPlug::kArrived, 0x8);
  EXPECT_EQ(in(PciHotPlug::kArrived), 0x4000'0000u);
  chip.ask_for(5);
  chip.ask_for(6);
  EXPECT_EQ(events, 4);
  chip.stop_asking_for(6);
  EXPECT_EQ(in(PciHotPlug::kWanted), 0x20u);
  chip.forget(30);
  EXPECT_EQ(in(PciHotPlug::kArrived), 0u);
  out(PciHotPlug::kWanted, 0xffff'ffff);
  EXPECT_EQ(in(PciHotPlug::kWanted), 0u);
  EXPECT_TRUE(ejected.empty());
}

TEST_F(PciHotPlugTest, NobodyWantsADeviceThatHasJustCome) {
  chip.ask_for(5);
  chip.tell_arrival(5);
  EXPECT_EQ(in(PciHotPlug::kWanted), 0u);
  EXPECT_EQ(in(PciHotPlug::kArrived), 0x20u);
}

// A device is taken away whatever the guest does, and another put into its slot before the guest lets go.
TEST_F(PciHotPlugTest, TheGuestLetsGoOfTheDeviceThatItWasAskedFor) {
  chip.ask_for(5);
  out(PciHotPlug::kWanted, in(PciHotPlug::kWanted));
  chip.tell_arrival(5);
  out(PciHotPlug::kEject, 0x20);
  EXPECT_TRUE(ejected.empty());
  out(PciHotPlug::kEject, 0x20);
  EXPECT_EQ(ejected, std::vector<unsigned>{5});

  // Not so, where it had let go already, or had not noticed.
  chip.ask_for(6);
  out(PciHotPlug::kWanted, in(PciHotPlug::kWanted));
  out(PciHotPlug::kEject, 0x40);
  chip.tell_arrival(6);
  out(PciHotPlug::kEject, 0x40);
  chip.ask_for(7);
  chip.tell_arrival(7);
  out(PciHotPlug::kEject, 0x80);
  EXPECT_EQ(ejected, (std::vector<unsigned>{5, 6, 6, 7}));
}

TEST_F(PciHotPlugTest, TellsEachSlotThatTheGuestLetsGoOf) {
  out(PciHotPlug::kEject, 0x8000'0102);
  EXPECT_EQ(ejected, (std::vector<unsigned>{1, 8, 31}));
  EXPECT_EQ(in(PciHotPlug::kEject), 0u);
}

TEST_F(PciHotPlugTest, TakesWholeRegistersOnly) {
  chip.ask_for(0);
  uint8_t byte = 0xff;
  EXPECT_EQ(chip.read(4, std::as_writable_bytes(std::span(&byte, 1))), bus::Access::bad_size);
  EXPECT_EQ(chip.write(8, std::as_bytes(std::span(&byte, 1))), bus::Access::bad_size);
  uint32_t word = ~0u;
  EXPECT_EQ(chip.write(6, std::as_bytes(std::span(&word, 1))), bus::Access::bad_size);
  out(12, word);
  EXPECT_EQ(in(12), 0u);
  EXPECT_TRUE(ejected.empty());
  EXPECT_EQ(in(PciHotPlug::kWanted), 1u);
}

TEST_F(PciHotPlugTest, ResetForgets) {
  chip.tell_arrival(1);
  chip.ask_for(2);
  chip.reset();
  EXPECT_EQ(in(PciHotPlug::kArrived), 0u);
  EXPECT_EQ(in(PciHotPlug::kWanted), 0u);
}

}  // namespace
}  // namespace alcove::chips
