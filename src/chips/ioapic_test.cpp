#include "chips/ioapic.h"

#include <gtest/gtest.h>

#include <vector>

namespace alcove::chips {
namespace {

struct Recorder final : bus::MessageSink {
  void send(const bus::Message& message) override { messages.push_back(message); }
  std::vector<bus::Message> messages;
};

class IoApicTest : public testing::Test {
 protected:
  void write32(uint64_t offset, uint32_t value) {
    EXPECT_EQ(chip.write(offset, std::as_bytes(std::span(&value, 1))), bus::Access::done);
  }
  uint32_t read32(uint64_t offset) {
    uint32_t value = 0;
    EXPECT_EQ(chip.read(offset, std::as_writable_bytes(std::span(&value, 1))), bus::Access::done);
    return value;
  }
  void set_entry(unsigned pin, uint64_t entry) {
    write32(0x00, 0x11 + 2 * pin);
    write32(0x10, static_cast<uint32_t>(entry >> 32));
    write32(0x00, 0x10 + 2 * pin);
    write32(0x10, static_cast<uint32_t>(entry));
  }
  uint64_t entry(unsigned pin) {
    write32(0x00, 0x11 + 2 * pin);
    const uint64_t high = read32(0x10);
    write32(0x00, 0x10 + 2 * pin);
    return high << 32 | read32(0x10);
  }

  Recorder sink;
  IoApic::LevelVectors level{};
  IoApic chip{sink, [this](const IoApic::LevelVectors& vectors) { level = vectors; }};
};

TEST_F(IoApicTest, SaysWhatItIs) {
  write32(0x00, 1);
  EXPECT_EQ(read32(0x10), 0x00170020u);
  EXPECT_EQ(entry(0), 0x10000u);
  EXPECT_EQ(entry(23), 0x10000u);
  write32(0x00, 0xff);
  EXPECT_EQ(read32(0x10), 0u);
}

TEST_F(IoApicTest, EdgeGoesOnceToItsDestination) {
  set_entry(4, 0x0300000000000031);
  chip.line(4).set(true);
  chip.line(4).set(true);
  ASSERT_EQ(sink.messages.size(), 1u);
  EXPECT_EQ(sink.messages[0], (bus::Message{0xfee03000, 0x4031}));
  chip.line(4).set(false);
  chip.line(4).set(true);
  EXPECT_EQ(sink.messages.size(), 2u);
}

TEST_F(IoApicTest, EdgeOnMaskedPinIsLost) {
  set_entry(4, 0x10031);
  chip.line(4).set(true);
  set_entry(4, 0x31);
  EXPECT_TRUE(sink.messages.empty());
}

TEST_F(IoApicTest, LogicalLowestPriority) {
  set_entry(1, 0x0f00000000000931);
  chip.line(1).set(true);
  ASSERT_EQ(sink.messages.size(), 1u);
  EXPECT_EQ(sink.messages[0], (bus::Message{0xfee0f00c, 0x4131}));
}

TEST_F(IoApicTest, LevelWaitsForEndOfInterrupt) {
  set_entry(9, 0x8055);
  EXPECT_EQ(level, (IoApic::LevelVectors{0, 1u << (0x55 - 64), 0, 0}));
  chip.line(9).set(true);
  ASSERT_EQ(sink.messages.size(), 1u);
  EXPECT_EQ(sink.messages[0].data, 0xc055u);
  EXPECT_TRUE(entry(9) & 1 << 14);
  chip.line(9).set(false);
  chip.line(9).set(true);
  EXPECT_EQ(sink.messages.size(), 1u);  // Remote IRR holds it back.
  chip.end_of_interrupt(0x54);
  EXPECT_EQ(sink.messages.size(), 1u);
  chip.end_of_interrupt(0x55);
  EXPECT_EQ(sink.messages.size(), 2u);  // The line is still up.
  chip.line(9).set(false);
  write32(0x40, 0x55);  // The EOI register does the same.
  EXPECT_EQ(sink.messages.size(), 2u);
  EXPECT_FALSE(entry(9) & 1 << 14);
}

TEST_F(IoApicTest, UnmaskingDeliversLevelThatWaits) {
  set_entry(9, 0x18055);
  chip.line(9).set(true);
  EXPECT_TRUE(sink.messages.empty());
  set_entry(9, 0x8055);
  EXPECT_EQ(sink.messages.size(), 1u);
  // Switched to edge: neither remote IRR nor the level vector remains.
  set_entry(9, 0x55);
  EXPECT_EQ(entry(9), 0x55u);
  EXPECT_EQ(level, IoApic::LevelVectors{});
}

TEST_F(IoApicTest, GuestCannotWriteReadOnlyBits) {
  set_entry(9, 0x1d055);
  EXPECT_EQ(entry(9), 0x18055u);
}

TEST_F(IoApicTest, ResetMasksAll) {
  set_entry(9, 0x8055);
  chip.reset();
  EXPECT_EQ(entry(9), 0x10000u);
  EXPECT_EQ(level, IoApic::LevelVectors{});
}

TEST_F(IoApicTest, RefusesOtherSizesAndOffsets) {
  std::array<std::byte, 8> bytes{};
  EXPECT_EQ(chip.read(0, std::span(bytes).first(1)), bus::Access::bad_size);
  EXPECT_EQ(chip.write(0x10, bytes), bus::Access::bad_size);
  EXPECT_EQ(chip.read(0x20, std::span(bytes).first(4)), bus::Access::no_register);
}

}  // namespace
}  // namespace alcove::chips
