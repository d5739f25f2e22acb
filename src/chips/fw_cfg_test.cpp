#include "chips/fw_cfg.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <string>

#include "spec/fw_cfg.h"

namespace alcove::chips {
namespace {

using namespace spec::fw_cfg;

class FwCfgTest : public testing::Test {
 protected:
  static memory::GuestMemory make_memory() {
    const memory::RegionSpec regions[] = {{.guest_address = 0, .size = 1 << 20},
                                          {.guest_address = 0xfff00000, .size = 1 << 20, .read_only = true}};
    return std::move(*memory::GuestMemory::create(regions));
  }
  void select(uint16_t key) {
    EXPECT_EQ(device.write(0, std::as_bytes(std::span(&key, 1))), bus::Access::done);
  }
  std::string take(size_t size) {
    std::string text(size, '\0');
    for (char& byte : text)
      EXPECT_EQ(device.read(1, std::as_writable_bytes(std::span(&byte, 1))), bus::Access::done);
    return text;
  }
  // What is left in the request's control word.
  uint32_t transfer(uint32_t control, uint32_t length, uint64_t address, uint64_t request = 0x100) {
    const DmaRequest bytes{std::byteswap(control), std::byteswap(length), std::byteswap(address)};
    (void)memory.write(request, std::as_bytes(std::span(&bytes, 1)), true);
    for (const auto& [offset, half] : {std::pair{4, request >> 32}, std::pair{8, request & 0xffffffff}}) {
      const uint32_t value = std::byteswap(static_cast<uint32_t>(half));
      EXPECT_EQ(device.write(static_cast<uint64_t>(offset), std::as_bytes(std::span(&value, 1))),
                bus::Access::done);
    }
    return std::byteswap(memory.load<uint32_t>(request).value_or(0));
  }
  std::string text_at(uint64_t address, size_t size) {
    std::string text(size, '\0');
    EXPECT_TRUE(memory.read(address, std::as_writable_bytes(std::span(text))));
    return text;
  }

  memory::GuestMemory memory = make_memory();
  FwCfg device{memory};
};

TEST_F(FwCfgTest, SaysWhatItIs) {
  EXPECT_EQ(take(4), "QEMU") << "selected after a reset";
  select(key::id);
  EXPECT_EQ(take(4), std::string("\3\0\0\0", 4));
  uint64_t signature = 0;
  EXPECT_EQ(device.read(4, std::as_writable_bytes(std::span(&signature, 1))), bus::Access::done);
  EXPECT_EQ(std::byteswap(signature), kDmaSignature);
  select(0x7000);
  EXPECT_EQ(take(2), std::string(2, '\0')) << "what is not there reads as zeros";
}

TEST_F(FwCfgTest, ListsItsFiles) {
  device.set_file("etc/first", {'o', 'n', 'e'});
  device.set_file("etc/second", {'t', 'w', 'o', '!'});
  device.set_file("etc/first", {'1'});
  select(key::file_directory);
  EXPECT_EQ(take(4), std::string("\0\0\0\2", 4));
  const std::string entry = take(sizeof(DirectoryEntry));
  EXPECT_EQ(entry.substr(0, 8), std::string("\0\0\0\1\0\x20\0\0", 8));
  EXPECT_STREQ(entry.c_str() + 8, "etc/first");
  EXPECT_STREQ(take(sizeof(DirectoryEntry)).c_str() + 8, "etc/second");
  select(key::first_file);
  EXPECT_EQ(take(3), std::string("1\0\0", 3));
  select(key::first_file + 1);
  EXPECT_EQ(take(4), "two!");
}

TEST_F(FwCfgTest, WritesToMemory) {
  device.set_file("file", {'a', 'b', 'c', 'd', 'e'});
  EXPECT_EQ(transfer(dma::select | dma::read | key::first_file << dma::key_shift, 2, 0x5000), 0u);
  EXPECT_EQ(text_at(0x5000, 3), std::string("ab\0", 3));
  EXPECT_EQ(transfer(dma::skip, 1, 0), 0u);
  EXPECT_EQ(transfer(dma::read, 4, 0x6000), 0u);
  EXPECT_EQ(text_at(0x6000, 4), std::string("de\0\0", 4)) << "zeros behind the end";
}

TEST_F(FwCfgTest, RefusesWhatIsNoMemory) {
  EXPECT_EQ(transfer(dma::read, 16, (1 << 20) - 8), dma::error);
  EXPECT_EQ(transfer(dma::read, 0xffffffff, 0), dma::error);
  EXPECT_EQ(transfer(dma::read, 16, ~uint64_t{0} - 4), dma::error);
  EXPECT_EQ(transfer(dma::read, 16, 0xfff00000), dma::error) << "read-only memory";
  EXPECT_EQ(transfer(dma::write, 4, 0x5000), dma::error) << "nothing here can be written";
  // A request that itself is nowhere, or where its answer can't be written.
  (void)transfer(dma::read, 4, 0x5000, 0x200000);
  (void)transfer(dma::read, 4, 0x5000, ~uint64_t{0} - 3);
  EXPECT_EQ(transfer(dma::read, 4, 0x5000, 0xfff00000), dma::read);
  EXPECT_EQ(transfer(dma::skip, 0xffffffff, 0), 0u);
  EXPECT_EQ(transfer(dma::read, 4, 0x5000), 0u);
  EXPECT_EQ(text_at(0x5000, 4), std::string(4, '\0'));
}

TEST_F(FwCfgTest, RefusesOtherAccesses) {
  uint32_t value = 0;
  const auto bytes = std::as_writable_bytes(std::span(&value, 1));
  EXPECT_NE(device.read(0, bytes), bus::Access::done);
  EXPECT_NE(device.read(10, bytes), bus::Access::done);
  EXPECT_NE(device.write(0, bytes), bus::Access::done);
  EXPECT_NE(device.write(6, bytes), bus::Access::done);
  EXPECT_NE(device.write(4, bytes.first(2)), bus::Access::done);
}

}  // namespace
}  // namespace alcove::chips
