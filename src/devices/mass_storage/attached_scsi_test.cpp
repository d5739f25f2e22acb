#include "devices/mass_storage/attached_scsi.h"

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <thread>

#include "devices/mass_storage/testing/host.h"

namespace alcove::devices::mass_storage {
namespace {

using namespace spec::scsi;
using namespace spec::usb_storage;
using testing::Host;
using testing::HostTransfer;
using Status = usb::Transfer::Status;

std::array<uint8_t, 2> number(uint16_t value) {
  return {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
}

template <class T>
Bytes bytes_of(const T& unit) {
  const auto bytes = std::as_bytes(std::span(&unit, 1));
  return {bytes.begin(), bytes.end()};
}

Bytes pattern(size_t size, unsigned factor) {
  Bytes bytes(size);
  for (size_t index = 0; index < size; ++index)
    bytes[index] = static_cast<std::byte>(index * factor + factor);
  return bytes;
}

struct AttachedScsiTest : ::testing::Test {
  AttachedScsiTest() {
    EXPECT_TRUE(host.request({.request_type = 0x01, .request = spec::usb::kSetInterface, .value = 1}));
  }
  static Bytes command(uint16_t tag, std::initializer_list<uint8_t> cdb) {
    CommandUnit unit{.tag = number(tag)};
    std::copy(cdb.begin(), cdb.end(), unit.command.begin());
    return bytes_of(unit);
  }
  static Bytes manage(uint16_t tag, uint8_t function, uint16_t managed = 0) {
    return bytes_of(
        TaskManagementUnit{.tag = number(tag), .function = function, .managed_tag = number(managed)});
  }
  Status send(Bytes unit) {
    HostTransfer transfer(AttachedScsi::kCommand, std::move(unit));
    host.submit(transfer);
    host.settle();
    return transfer.status.value_or(Status::gone);
  }
  // The sense unit's status, and the sense data's additional code.
  static std::pair<int, int> sense_of(const HostTransfer& transfer) {
    EXPECT_EQ(transfer.bytes[0], std::byte{kUnitSense});
    const size_t size = std::to_integer<size_t>(transfer.bytes[15]);
    EXPECT_EQ(transfer.transferred, sizeof(SenseUnit) + size);
    return {std::to_integer<int>(transfer.bytes[6]),
            size == 0 ? 0 : std::to_integer<int>(transfer.bytes[sizeof(SenseUnit) + 12])};
  }
  static int response_of(const HostTransfer& transfer) {
    EXPECT_EQ(transfer.bytes[0], std::byte{kUnitResponse});
    return std::to_integer<int>(transfer.bytes[7]);
  }
  struct StatusTransfer : HostTransfer {
    explicit StatusTransfer(uint16_t tag) : HostTransfer(AttachedScsi::kStatus, Bytes(112), tag) {}
  };
  std::pair<int, int> do_without_data(uint16_t tag, std::initializer_list<uint8_t> cdb) {
    StatusTransfer status(tag);
    host.submit(status);
    EXPECT_EQ(send(command(tag, cdb)), Status::success);
    EXPECT_EQ(status.status, Status::success);
    return sense_of(status);
  }
  void stop_in_flush() {
    host.disk->on_flush = [this] {
      flushing = true;
      flushing.notify_one();
      may_end.wait(false);
    };
  }
  void end_flush() {
    may_end = true;
    may_end.notify_all();
    host.settle();
  }

  std::atomic<bool> flushing = false, may_end = false;
  Host host{MassStorageOptions{.has_attached_scsi = true}};
};

TEST_F(AttachedScsiTest, ReadsAtOnceWhatTheHostHas) {
  host.disk->holds_all = true;
  std::ranges::copy(pattern(1024, 3), host.disk->contents.begin() + 512);
  HostTransfer unit(AttachedScsi::kCommand, command(7, {kRead10, 0, 0, 0, 0, 1, 0, 0, 2, 0}));
  HostTransfer first(AttachedScsi::kIn, Bytes(512), 7), second(AttachedScsi::kIn, Bytes(512), 7);
  StatusTransfer status(7);
  for (HostTransfer* transfer : {static_cast<HostTransfer*>(&status), &first, &unit, &second})
    host.submit(*transfer);
  EXPECT_EQ(status.status, Status::success);
  EXPECT_EQ(sense_of(status).first, kStatusGood);
  Bytes all = first.bytes;
  all.insert(all.end(), second.bytes.begin(), second.bytes.end());
  EXPECT_EQ(all, pattern(1024, 3));
}

TEST_F(AttachedScsiTest, ReadsAndWritesManyAtOnceInAnyOrder) {
  constexpr uint16_t kCount = 8;
  std::deque<HostTransfer> data, statuses;
  // Data are there before their commands are, and commands before their data.
  for (uint16_t tag = 1; tag <= kCount; ++tag) {
    data.emplace_back(AttachedScsi::kOut, pattern(1024, tag), tag);
    statuses.emplace_back(AttachedScsi::kStatus, Bytes(112), tag);
    if (tag % 2) host.submit(data.back());
    host.submit(statuses.back());
  }
  for (uint16_t tag = kCount; tag >= 1; --tag) {
    ASSERT_EQ(send(command(tag, {kWrite10, 0, 0, 0, 0, static_cast<uint8_t>(2 * tag), 0, 0, 2, 0})),
              Status::success);
  }
  for (uint16_t tag = 2; tag <= kCount; tag += 2) {
    EXPECT_FALSE(statuses[tag - 1].status);
    host.submit(data[tag - 1]);
  }
  host.settle();
  for (uint16_t tag = 1; tag <= kCount; ++tag) {
    EXPECT_EQ(data[tag - 1].transferred, 1024u);
    EXPECT_EQ(sense_of(statuses[tag - 1]).first, kStatusGood);
    const Bytes wanted = pattern(1024, tag);
    EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), host.disk->contents.begin() + 1024 * tag));
  }
  // One read in two transfers.
  HostTransfer first(AttachedScsi::kIn, Bytes(512), 32), second(AttachedScsi::kIn, Bytes(1024), 32);
  StatusTransfer status(32);
  host.submit(first);
  host.submit(status);
  send(command(32, {kRead10, 0, 0, 0, 0, 6, 0, 0, 3, 0}));
  EXPECT_FALSE(status.status);
  host.submit(second);
  host.settle();
  EXPECT_EQ(first.transferred, 512u);
  EXPECT_EQ(second.transferred, 1024u);
  EXPECT_EQ(sense_of(status).first, kStatusGood);
  EXPECT_TRUE(std::equal(first.bytes.begin(), first.bytes.end(), host.disk->contents.begin() + 3072));
  EXPECT_TRUE(std::equal(second.bytes.begin(), second.bytes.end(), host.disk->contents.begin() + 3584));
}

TEST_F(AttachedScsiTest, AnswersFlushesAndUnmaps) {
  HostTransfer answer(AttachedScsi::kIn, Bytes(100), 3);
  StatusTransfer status(3);
  host.submit(answer);
  host.submit(status);
  send(command(3, {kInquiry, 0, 0, 0, 36, 0}));
  EXPECT_EQ(answer.transferred, 36u);
  EXPECT_EQ(sense_of(status).first, kStatusGood);
  EXPECT_EQ(do_without_data(3, {kSynchronizeCache10, 0, 0, 0, 0, 0, 0, 0, 0, 0}).first, kStatusGood);
  EXPECT_EQ(host.disk->flushes, 1u);

  host.disk->contents[1024] = std::byte{1};
  Bytes list(24);
  list[1] = std::byte{22};
  list[3] = std::byte{16};
  list[15] = std::byte{2};
  list[19] = std::byte{1};
  HostTransfer parameters(AttachedScsi::kOut, std::move(list), 4);
  host.submit(parameters);
  EXPECT_EQ(do_without_data(4, {kUnmap, 0, 0, 0, 0, 0, 0, 0, 24, 0}).first, kStatusGood);
  EXPECT_EQ(host.disk->contents[1024], std::byte{0});
}

TEST_F(AttachedScsiTest, TellsWhatIsWrongWithTheStatus) {
  EXPECT_EQ(do_without_data(1, {kRead10, 0, 0, 1, 0, 0, 0, 0, 1, 0}), std::pair(2, 0x21));
  EXPECT_EQ(do_without_data(1, {0xFF}), std::pair(2, 0x20));
  HostTransfer odd(AttachedScsi::kOut, Bytes(100), 1);
  host.submit(odd);
  EXPECT_EQ(do_without_data(1, {kWrite10, 0, 0, 0, 0, 0, 0, 0, 1, 0}), std::pair(2, 0x4B));
  host.disk->error = EIO;
  HostTransfer data(AttachedScsi::kIn, Bytes(512), 1);
  host.submit(data);
  EXPECT_EQ(do_without_data(1, {kRead10, 0, 0, 0, 0, 0, 0, 0, 1, 0}), std::pair(2, 0x11));
  EXPECT_EQ(data.transferred, 0u);
  EXPECT_EQ(do_without_data(1, {kSynchronizeCache10, 0, 0, 0, 0, 0, 0, 0, 0, 0}), std::pair(2, 0x0C));

  CommandUnit elsewhere{.tag = number(1), .logical_unit = {0, 1}};
  StatusTransfer status(1);
  host.submit(status);
  send(bytes_of(elsewhere));
  EXPECT_EQ(sense_of(status), std::pair(2, 0x25));
}

TEST_F(AttachedScsiTest, ACommandThatFailsEndsItsTransfers) {
  HostTransfer read(AttachedScsi::kIn, Bytes(512), 1), other(AttachedScsi::kIn, Bytes(512), 2);
  host.submit(read);
  host.submit(other);
  EXPECT_EQ(do_without_data(1, {kRead10, 0, 0, 1, 0, 0, 0, 0, 1, 0}), std::pair(2, 0x21));
  EXPECT_EQ(read.status, Status::success);
  EXPECT_EQ(read.transferred, 0u);
  EXPECT_FALSE(other.status);
  EXPECT_TRUE(host.cancel(other));
  HostTransfer write(AttachedScsi::kOut, Bytes(512, std::byte{1}), 1);
  host.submit(write);
  EXPECT_EQ(do_without_data(1, {kWrite10, 0, 0, 1, 0, 0, 0, 0, 1, 0}), std::pair(2, 0x21));
  EXPECT_EQ(write.status, Status::success);
  EXPECT_EQ(std::ranges::count(host.disk->contents, std::byte{1}), 0);
}

TEST_F(AttachedScsiTest, AnswersWaitForTheirTransfers) {
  EXPECT_EQ(send(command(9, {kTestUnitReady, 0, 0, 0, 0, 0})), Status::success);
  StatusTransfer other(8), status(9);
  host.submit(other);
  host.submit(status);
  EXPECT_FALSE(other.status);
  EXPECT_EQ(sense_of(status).first, kStatusGood);
  EXPECT_TRUE(host.cancel(other));
}

TEST_F(AttachedScsiTest, UnitsThatAreNone) {
  const auto refused = [&](Bytes unit) {
    const bool stalled = send(std::move(unit)) == Status::stall;
    // Halted until that is cleared.
    const bool halted = send(command(1, {kTestUnitReady})) == Status::stall;
    host.request(
        {.request_type = 0x02, .request = spec::usb::kClearFeature, .index = AttachedScsi::kCommand});
    return stalled && halted;
  };
  EXPECT_TRUE(refused(Bytes()));
  EXPECT_TRUE(refused(Bytes(32)));
  EXPECT_TRUE(refused(Bytes(31, std::byte{kUnitCommand})));
  EXPECT_TRUE(refused(Bytes(15, std::byte{kUnitTaskManagement})));
  EXPECT_TRUE(refused(command(0, {kTestUnitReady})));
  EXPECT_TRUE(refused(command(AttachedScsi::kMostTags + 1, {kTestUnitReady})));
  EXPECT_EQ(do_without_data(1, {kTestUnitReady}).first, kStatusGood);
  // Streams where there are none, and none where they are.
  HostTransfer with(AttachedScsi::kCommand, command(1, {kTestUnitReady}), 1),
      without(AttachedScsi::kStatus, Bytes(112));
  host.submit(with);
  host.submit(without);
  EXPECT_EQ(with.status, Status::stall);
  EXPECT_EQ(without.status, Status::stall);
}

TEST_F(AttachedScsiTest, ATagThatIsInUseEndsBoth) {
  send(command(5, {kRead10, 0, 0, 0, 0, 0, 0, 0, 1, 0}));  // Waits for its transfer.
  StatusTransfer status(5);
  host.submit(status);
  send(command(5, {kTestUnitReady}));
  EXPECT_EQ(response_of(status), kOverlappedTag);
  HostTransfer data(AttachedScsi::kIn, Bytes(512), 5);
  host.submit(data);
  host.settle();
  EXPECT_FALSE(data.status);
  EXPECT_TRUE(host.cancel(data));
}

TEST_F(AttachedScsiTest, AbortsWhatWaitsForItsDataAtOnce) {
  send(command(5, {kRead10, 0, 0, 0, 0, 0, 0, 0, 1, 0}));
  StatusTransfer known(6), aborted(7), unknown(8), later(9);
  for (HostTransfer* transfer : {&known, &aborted, &unknown, &later}) host.submit(*transfer);
  send(manage(6, kQueryTask, 5));
  EXPECT_EQ(response_of(known), kFunctionSucceeded);
  send(manage(7, kAbortTask, 5));
  EXPECT_EQ(response_of(aborted), kFunctionComplete);
  send(manage(8, kQueryTask, 5));
  EXPECT_EQ(response_of(unknown), kFunctionComplete);
  send(manage(9, 0x40));
  EXPECT_EQ(response_of(later), kFunctionNotSupported);
  HostTransfer data(AttachedScsi::kIn, Bytes(512), 5);
  host.submit(data);
  host.settle();
  EXPECT_FALSE(data.status);
  EXPECT_TRUE(host.cancel(data));
}

TEST_F(AttachedScsiTest, AResetOfTheUnitWaitsForTheDisk) {
  stop_in_flush();
  HostTransfer flush(AttachedScsi::kCommand, command(1, {kSynchronizeCache10, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  HostTransfer reset(AttachedScsi::kCommand, manage(2, kResetUnit));
  StatusTransfer flushed(1), done(2);
  for (HostTransfer* transfer :
       {&static_cast<HostTransfer&>(flushed), &static_cast<HostTransfer&>(done), &flush})
    host.submit(*transfer);
  flushing.wait(false);
  host.submit(reset);
  EXPECT_EQ(reset.status, Status::success);
  EXPECT_FALSE(done.status);
  end_flush();
  EXPECT_EQ(response_of(done), kFunctionComplete);
  EXPECT_FALSE(flushed.status);
  EXPECT_TRUE(host.cancel(flushed));
  EXPECT_EQ(do_without_data(1, {kTestUnitReady}).first, kStatusGood);
}

// Else the disk's thread would have more and more to do.
TEST_F(AttachedScsiTest, AHostThatAbortsWhatItBeginsOverAndOverWaitsForTheDisk) {
  stop_in_flush();
  std::deque<HostTransfer> units;
  bool waits = false;
  for (int round = 0; round < 100 && !waits; ++round) {
    units.emplace_back(AttachedScsi::kCommand, command(1, {kSynchronizeCache10, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
    host.submit(units.back());
    waits = !units.back().status;
    if (waits) break;
    units.emplace_back(AttachedScsi::kCommand, manage(2, kAbortTask, 1));
    host.submit(units.back());
    waits = !units.back().status;
  }
  EXPECT_TRUE(waits);
  end_flush();
  EXPECT_EQ(units.back().status, Status::success);
}

TEST_F(AttachedScsiTest, AResetOfTheBusForgetsAll) {
  stop_in_flush();
  HostTransfer flush(AttachedScsi::kCommand, command(1, {kSynchronizeCache10, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  HostTransfer write(AttachedScsi::kCommand, command(2, {kWrite10, 0, 0, 0, 0, 0, 0, 0, 1, 0}));
  HostTransfer data(AttachedScsi::kOut, Bytes(512), 2);
  StatusTransfer flushed(1), written(2);
  for (HostTransfer* transfer :
       {static_cast<HostTransfer*>(&flushed), static_cast<HostTransfer*>(&written), &flush})
    host.submit(*transfer);
  flushing.wait(false);
  host.submit(data);
  host.submit(write);
  host.reset();
  EXPECT_EQ(flushed.status, Status::gone);
  EXPECT_EQ(written.status, Status::gone);
  EXPECT_FALSE(data.status);  // With the disk's thread.
  EXPECT_FALSE(host.cancel(data));
  end_flush();
  EXPECT_EQ(data.status, Status::gone);
}

TEST_F(AttachedScsiTest, IsPulledOutWhileItsDiskFlushes) {
  stop_in_flush();
  HostTransfer flush(AttachedScsi::kCommand, command(1, {kSynchronizeCache10, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  StatusTransfer status(1);
  host.submit(status);
  host.submit(flush);
  flushing.wait(false);
  std::thread ends([&] {
    may_end = true;
    may_end.notify_one();
  });
  host.pull_out();
  ends.join();
  EXPECT_FALSE(status.status);
}

TEST_F(AttachedScsiTest, BothTransportsTakeTurns) {
  const auto choose = [&](uint16_t alternate) {
    return host.request({.request_type = 0x01, .request = spec::usb::kSetInterface, .value = alternate})
        .has_value();
  };
  EXPECT_FALSE(host.request({.request_type = 0xA1, .request = kGetMaximumUnit, .length = 1}));
  ASSERT_TRUE(choose(0));
  EXPECT_TRUE(host.request({.request_type = 0xA1, .request = kGetMaximumUnit, .length = 1}));
  HostTransfer status(BulkOnly::kIn, Bytes(13));
  host.submit(status);
  EXPECT_FALSE(status.status);
  ASSERT_TRUE(choose(1));
  EXPECT_EQ(status.status, Status::gone);
  EXPECT_EQ(do_without_data(1, {kTestUnitReady}).first, kStatusGood);
  EXPECT_FALSE(choose(2));

  Host without;
  EXPECT_FALSE(without.request({.request_type = 0x01, .request = spec::usb::kSetInterface, .value = 1}));
}

TEST_F(AttachedScsiTest, Descriptors) {
  const auto bytes =
      host.request({.request_type = 0x80, .request = spec::usb::kGetDescriptor, .value = 0x0200});
  ASSERT_TRUE(bytes);
  std::vector<unsigned> pipes;
  unsigned interfaces = 0;
  for (size_t at = 0; at < bytes->size(); at += std::to_integer<size_t>((*bytes)[at])) {
    ASSERT_GE(std::to_integer<unsigned>((*bytes)[at]), 2u);
    const auto type = std::to_integer<unsigned>((*bytes)[at + 1]);
    if (type == 4) ++interfaces;
    if (type == 0x24) pipes.push_back(std::to_integer<unsigned>((*bytes)[at + 2]));
  }
  EXPECT_EQ(interfaces, 2u);
  EXPECT_EQ(pipes, (std::vector<unsigned>{1, 2, 3, 4}));
}

}  // namespace
}  // namespace alcove::devices::mass_storage
