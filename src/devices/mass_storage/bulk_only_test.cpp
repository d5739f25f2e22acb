#include "devices/mass_storage/mass_storage.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "devices/mass_storage/testing/host.h"

namespace alcove::devices::mass_storage {
namespace {

using namespace spec::scsi;
using namespace spec::usb_storage;
using testing::Host;
using testing::HostTransfer;
using Status = usb::Transfer::Status;

constexpr uint8_t kIn = 0x81, kOut = 0x02;

struct BulkOnlyTest : ::testing::Test {
  static Bytes command(std::initializer_list<uint8_t> cdb, uint32_t length, bool in) {
    CommandBlock block{.signature = kCommandSignature,
                       .tag = 0xAABBCCDD,
                       .data_length = length,
                       .flags = static_cast<uint8_t>(in ? 0x80 : 0),
                       .length = static_cast<uint8_t>(cdb.size())};
    std::copy(cdb.begin(), cdb.end(), block.command.begin());
    Bytes bytes(sizeof block);
    std::memcpy(bytes.data(), &block, sizeof block);
    return bytes;
  }
  Status send(Bytes bytes) {
    HostTransfer transfer(kOut, std::move(bytes));
    host.submit(transfer);
    host.settle();
    return transfer.status.value();
  }
  HostTransfer receive(size_t size) {
    HostTransfer transfer(kIn, Bytes(size));
    host.submit(transfer);
    host.settle();
    return transfer;
  }
  CommandStatus status() {
    const HostTransfer transfer = receive(13);
    EXPECT_EQ(transfer.status, Status::success);
    EXPECT_EQ(transfer.transferred, 13u);
    CommandStatus read;
    std::memcpy(&read, transfer.bytes.data(), sizeof read);
    EXPECT_EQ(read.tag, 0xAABBCCDDu);
    return read;
  }
  void clear_halt(uint8_t endpoint) {
    host.request({.request_type = 0x02, .request = spec::usb::kClearFeature, .index = endpoint});
  }
  Host host;
};

TEST_F(BulkOnlyTest, ReadsAndWrites) {
  Bytes data(2048);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7);
  EXPECT_EQ(send(command({kWrite10, 0, 0, 0, 0, 3, 0, 0, 4, 0}, 2048, false)), Status::success);
  EXPECT_EQ(send(data), Status::success);
  CommandStatus done = status();
  EXPECT_EQ(done.status, kPassed);
  EXPECT_EQ(done.residue, 0u);
  EXPECT_TRUE(std::equal(data.begin(), data.end(), host.disk->contents.begin() + 3 * 512));
  // Read in two transfers.
  send(command({kRead10, 0, 0, 0, 0, 3, 0, 0, 4, 0}, 2048, true));
  const HostTransfer first = receive(1024), second = receive(1024);
  EXPECT_TRUE(std::equal(data.begin(), data.begin() + 1024, first.bytes.begin()));
  EXPECT_TRUE(std::equal(data.begin() + 1024, data.end(), second.bytes.begin()));
  EXPECT_EQ(status().status, kPassed);
}

TEST_F(BulkOnlyTest, ADiscThatChangesUnderACommandEndsIt) {
  Host drive({.is_optical = true});
  const auto transfer = [&](uint8_t endpoint, Bytes bytes) {
    HostTransfer made(endpoint, std::move(bytes));
    drive.submit(made);
    drive.settle();
    return made;
  };
  const auto status_of = [&] {
    CommandStatus read{};
    const HostTransfer made = transfer(kIn, Bytes(13));
    std::memcpy(&read, made.bytes.data(), sizeof read);
    return read.status;
  };
  for (const bool has_other : {true, false}) {
    transfer(kOut, command({kRead10, 0, 0, 0, 0, 0, 0, 0, 2, 0}, 4096, true));
    EXPECT_EQ(transfer(kIn, Bytes(2048)).transferred, 2048u);
    drive.change_disc(has_other);
    if (has_other) drive.disk->contents[0] = std::byte{0x77};
    drive.settle();
    drive.settle();
    if (has_other) {
      EXPECT_EQ(transfer(kIn, Bytes(2048)).transferred, 2048u) << "of the other disc";
      EXPECT_EQ(status_of(), kPassed);
      transfer(kOut, command({kTestUnitReady, 0, 0, 0, 0, 0}, 0, true));
      EXPECT_EQ(status_of(), kFailed) << "which tells of the change";
      transfer(kOut, command({kRead10, 0, 0, 0, 0, 0, 0, 0, 1, 0}, 2048, true));
      EXPECT_EQ(transfer(kIn, Bytes(2048)).bytes[0], std::byte{0x77});
      EXPECT_EQ(status_of(), kPassed);
    } else {
      transfer(kIn, Bytes(2048));
      drive.request({.request_type = 0x02, .request = spec::usb::kClearFeature, .index = kIn});
      EXPECT_EQ(status_of(), kFailed);
    }
  }
}

TEST_F(BulkOnlyTest, ReadsAtOnceWhatTheHostHas) {
  host.disk->holds_all = true;
  host.disk->contents[512] = std::byte{0x5A};
  const auto read_one = [&](HostTransfer& data) {
    HostTransfer block(kOut, command({kRead10, 0, 0, 0, 0, 1, 0, 0, 1, 0}, 512, true));
    host.submit(block);
    host.submit(data);
  };
  HostTransfer data(kIn, Bytes(512));
  read_one(data);
  EXPECT_EQ(data.status, Status::success);
  EXPECT_EQ(data.bytes[0], std::byte{0x5A});
  EXPECT_EQ(status().status, kPassed);
  // An error is the disk's thread's to find.
  host.disk->error = EIO;
  HostTransfer failed(kIn, Bytes(512));
  read_one(failed);
  host.settle();
  EXPECT_EQ(failed.transferred, 0u);
  EXPECT_EQ(status().status, kFailed);
}

TEST_F(BulkOnlyTest, FlushesAndUnmaps) {
  host.disk->contents[1024] = std::byte{1};
  send(command({kSynchronizeCache10, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0, false));
  EXPECT_EQ(status().status, kPassed);
  EXPECT_EQ(host.disk->flushes, 1u);
  Bytes list(24);
  list[1] = std::byte{22};
  list[3] = std::byte{16};
  list[15] = std::byte{2};
  list[19] = std::byte{1};
  send(command({kUnmap, 0, 0, 0, 0, 0, 0, 0, 24, 0}, 24, false));
  EXPECT_EQ(send(list), Status::success);
  EXPECT_EQ(status().status, kPassed);
  EXPECT_EQ(host.disk->contents[1024], std::byte{0});
}

// Bulk-Only Transport, section 6.7: host and device disagree about the data.
TEST_F(BulkOnlyTest, AnswersThatAreShorterEndWithAShortPacket) {
  send(command({kInquiry, 0, 0, 0, 36, 0}, 100, true));
  const HostTransfer answer = receive(100);
  EXPECT_EQ(answer.status, Status::success);
  EXPECT_EQ(answer.transferred, 36u);
  const CommandStatus done = status();
  EXPECT_EQ(done.status, kPassed);
  EXPECT_EQ(done.residue, 64u);
}

TEST_F(BulkOnlyTest, ARefusedReadStallsAndTellsWhy) {
  send(command({kRead10, 0, 0, 1, 0, 0, 0, 0, 1, 0}, 512, true));
  EXPECT_EQ(receive(512).status, Status::stall);
  EXPECT_EQ(receive(13).status, Status::stall);  // Halted until that is cleared.
  clear_halt(kIn);
  CommandStatus done = status();
  EXPECT_EQ(done.status, kFailed);
  EXPECT_EQ(done.residue, 512u);
  send(command({kRequestSense, 0, 0, 0, 18, 0}, 18, true));
  EXPECT_EQ(receive(18).bytes[12], std::byte{0x21});
  EXPECT_EQ(status().status, kPassed);
}

TEST_F(BulkOnlyTest, ARefusedWriteTakesTheDataAndDropsIt) {
  send(command({kWrite10, 0, 0, 1, 0, 0, 0, 0, 1, 0}, 512, false));
  EXPECT_EQ(send(Bytes(512, std::byte{1})), Status::success);
  EXPECT_EQ(status().status, kFailed);
}

TEST_F(BulkOnlyTest, PhaseErrors) {
  send(command({kWrite10, 0, 0, 0, 0, 0, 0, 0, 1, 0}, 512, true));  // A write in the wrong direction.
  EXPECT_EQ(receive(512).status, Status::stall);
  clear_halt(kIn);
  EXPECT_EQ(status().status, kPhaseError);
  send(command({kRead10, 0, 0, 0, 0, 0, 0, 0, 2, 0}, 512, true));  // More than the host expects.
  EXPECT_EQ(receive(512).status, Status::stall);
  clear_halt(kIn);
  EXPECT_EQ(status().status, kPhaseError);
  send(command({kRead10, 0, 0, 0, 0, 0, 0, 0, 1, 0}, 0, true));
  EXPECT_EQ(status().status, kPhaseError);
}

TEST_F(BulkOnlyTest, AnInvalidCommandBlockNeedsAReset) {
  EXPECT_EQ(send(Bytes(31)), Status::stall);
  clear_halt(kIn);
  clear_halt(kOut);
  EXPECT_EQ(send(command({kTestUnitReady, 0, 0, 0, 0, 0}, 0, false)), Status::stall);
  EXPECT_TRUE(host.request({.request_type = 0x21, .request = kBulkOnlyReset}));
  clear_halt(kIn);
  clear_halt(kOut);
  EXPECT_EQ(send(command({kTestUnitReady, 0, 0, 0, 0, 0}, 0, false)), Status::success);
  EXPECT_EQ(status().status, kPassed);
}

TEST_F(BulkOnlyTest, ErrorsOfTheDisk) {
  host.disk->error = EIO;
  send(command({kRead10, 0, 0, 0, 0, 0, 0, 0, 1, 0}, 512, true));
  EXPECT_EQ(receive(512).transferred, 0u);
  CommandStatus done = status();
  EXPECT_EQ(done.status, kFailed);
  EXPECT_EQ(done.residue, 512u);
  send(command({kSynchronizeCache10, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0, false));
  EXPECT_EQ(status().status, kFailed);
}

TEST_F(BulkOnlyTest, Descriptors) {
  const auto device =
      host.request({.request_type = 0x80, .request = spec::usb::kGetDescriptor, .value = 0x0100});
  ASSERT_TRUE(device);
  EXPECT_EQ(device->size(), 18u);
  const auto configuration =
      host.request({.request_type = 0x80, .request = spec::usb::kGetDescriptor, .value = 0x0200});
  ASSERT_TRUE(configuration);
  EXPECT_EQ(std::to_integer<size_t>((*configuration)[2]), configuration->size());
  // One descriptor follows the other up to the end.
  size_t at = 0;
  while (at < configuration->size()) {
    ASSERT_GE(std::to_integer<unsigned>((*configuration)[at]), 2u);
    at += std::to_integer<size_t>((*configuration)[at]);
  }
  EXPECT_EQ(at, configuration->size());
  EXPECT_TRUE(host.request({.request_type = 0xA1, .request = kGetMaximumUnit, .length = 1}));
  EXPECT_FALSE(host.request({.request_type = 0x80, .request = spec::usb::kGetDescriptor, .value = 0x2200}));
  EXPECT_FALSE(host.request({.request_type = 0x00, .request = spec::usb::kSetConfiguration, .value = 2}));
}

// The disk's thread ends with the device, and what it brings then is for nobody.
TEST_F(BulkOnlyTest, IsPulledOutWhileItsDiskFlushes) {
  std::atomic<bool> flushing = false, may_end = false;
  host.disk->on_flush = [&] {
    flushing = true;
    flushing.notify_one();
    may_end.wait(false);
  };
  HostTransfer transfer(kOut, command({kSynchronizeCache10, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0, false));
  host.submit(transfer);
  flushing.wait(false);
  std::thread ends([&] {
    may_end = true;
    may_end.notify_one();
  });
  host.pull_out();
  ends.join();
  EXPECT_EQ(transfer.status, Status::success);
}

TEST_F(BulkOnlyTest, CancelsWhatWaits) {
  HostTransfer waiting(kIn, Bytes(13));
  host.submit(waiting);
  EXPECT_TRUE(host.cancel(waiting));
  EXPECT_FALSE(waiting.status);
  EXPECT_EQ(send(command({kTestUnitReady, 0, 0, 0, 0, 0}, 0, false)), Status::success);
  EXPECT_EQ(status().status, kPassed);
}

}  // namespace
}  // namespace alcove::devices::mass_storage
