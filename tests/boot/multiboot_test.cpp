// What the Multiboot loader refuses, and what it hands over.
#include "multiboot.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "spec/linux_boot.h"

namespace alcove::multiboot {
namespace {

constexpr uint64_t kMemory = 4 << 20;
constexpr uint32_t kPlace = 0x100000;

class MultibootTest : public ::testing::Test {
 protected:
  MultibootTest() : image_(0x100 + 16) {
    put<uint32_t>(0, 0x464c457f);
    put<uint8_t>(4, 1);
    put<uint16_t>(18, 3);           // 80386
    put<uint32_t>(24, kPlace + 4);  // Entry
    put<uint32_t>(28, 0x40);        // Program headers
    put<uint16_t>(42, 32);
    put<uint16_t>(44, 1);
    put<uint32_t>(0x40, 1);  // LOAD
    put<uint32_t>(kOffset, 0x100);
    put<uint32_t>(kAddress, kPlace);
    put<uint32_t>(kFileSize, 16);
    put<uint32_t>(kMemorySize, 32);
    put<uint32_t>(kHeader, 0x1badb002);
    put<uint32_t>(kHeader + 4, 0);
    put<uint32_t>(kHeader + 8, 0u - 0x1badb002u);
    put<uint32_t>(0x100, 0x12345678);
  }

  static constexpr size_t kOffset = 0x44, kAddress = 0x4c, kFileSize = 0x50, kMemorySize = 0x54,
                          kHeader = 0x80;

  template <class T>
  void put(size_t offset, T value) {
    std::memcpy(image_.data() + offset, &value, sizeof value);
  }
  Result<cpu::X86State> load_image() {
    return load(memory_, {.image = image_, .module = module_, .command_line = "program", .memory_map = map_},
                {});
  }

  memory::GuestMemory memory_ =
      memory::GuestMemory::create(std::vector<memory::RegionSpec>{{.guest_address = 0, .size = kMemory}})
          .value();
  std::vector<boot::MemoryRange> map_{{0, 0x9fc00, spec::linux_boot::ram},
                                      {0x100000, kMemory - 0x100000, spec::linux_boot::ram}};
  std::vector<std::byte> image_, module_;
};

TEST_F(MultibootTest, HandsOverWhatTheSpecificationSays) {
  module_ = {std::byte{'A'}, std::byte{'='}};
  const auto state = load_image();
  ASSERT_TRUE(state) << state.error().message();
  EXPECT_EQ(state->rip, kPlace + 4);
  EXPECT_EQ(state->gpr[cpu::rax], 0x2badb002u);
  EXPECT_EQ(memory_.load<uint32_t>(kPlace), 0x12345678u);
  const uint64_t information = state->gpr[cpu::rbx];
  EXPECT_EQ(memory_.load<uint32_t>(information), 0x4du);
  EXPECT_EQ(memory_.load<uint32_t>(information + 4), 0x9fc00u >> 10);
  EXPECT_EQ(memory_.load<uint32_t>(information + 8), (kMemory >> 10) - 1024);
  EXPECT_EQ(memory_.load<uint8_t>(*memory_.load<uint32_t>(information + 16)), 'p');
  const uint32_t module = *memory_.load<uint32_t>(information + 24);
  EXPECT_EQ(memory_.load<uint8_t>(*memory_.load<uint32_t>(module)), 'A');
  EXPECT_EQ(*memory_.load<uint32_t>(module + 4) - *memory_.load<uint32_t>(module), 2u);
  EXPECT_EQ(memory_.load<uint32_t>(information + 44), 48u);
}

TEST_F(MultibootTest, RefusesWhatContradictsItself) {
  const auto sound = image_;
  const auto refused = [&](size_t offset, uint32_t value) {
    image_ = sound;
    put(offset, value);
    return !load_image();
  };
  EXPECT_TRUE(refused(0, 0));            // No ELF file.
  EXPECT_TRUE(refused(kHeader + 8, 1));  // The header's sum.
  EXPECT_TRUE(refused(28, 0xfffffff0));  // Program headers beyond the file.
  EXPECT_TRUE(refused(kOffset, 0xffffffff));
  EXPECT_TRUE(refused(kFileSize, 0xffffffff));
  EXPECT_TRUE(refused(kMemorySize, 8));
  EXPECT_TRUE(refused(kAddress, 0xfffffff0));  // No memory there.
  EXPECT_TRUE(refused(kAddress, kDataBegin));
  EXPECT_FALSE(refused(kAddress, kPlace));
}

TEST_F(MultibootTest, RefusesAModuleWithoutRoom) {
  module_.resize(kDataEnd - kDataBegin);
  EXPECT_FALSE(load_image());
}

TEST_F(MultibootTest, ReadsNoBytesBeyondTheFile) {
  const auto sound = image_;
  for (size_t size = 0; size < sound.size(); ++size) {
    image_.assign(sound.begin(), sound.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_FALSE(load_image()) << size;
  }
}

}  // namespace
}  // namespace alcove::multiboot
