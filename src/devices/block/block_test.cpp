#include "devices/block/block.h"

#include <gtest/gtest.h>

#include <cstring>
#include <mutex>

#include "spec/virtio.h"
#include "virtio/testing/fake_driver.h"

namespace alcove::devices::block {
namespace {

using namespace spec::virtio;
using virtio::testing::Bytes;
using virtio::testing::bytes_of;
using virtio::testing::FakeGuest;
using virtio::testing::Request;

// A disk in memory that counts, and fails when told to.
struct FakeDisk final : storage::Disk {
  explicit FakeDisk(bool is_read_only = false) : read_only(is_read_only) {}
  uint64_t size() const override { return contents.size(); }
  bool is_read_only() const override { return read_only; }
  storage::IoResult read(uint64_t offset, std::span<const iovec> buffers) override {
    return each(offset, buffers,
                [](std::byte* disk, void* guest, size_t size) { std::memcpy(guest, disk, size); });
  }
  storage::IoResult write(uint64_t offset, std::span<const iovec> buffers) override {
    return each(offset, buffers,
                [](std::byte* disk, void* guest, size_t size) { std::memcpy(disk, guest, size); });
  }
  storage::IoResult flush() override {
    ++flushes;
    if (flush_error) return std::unexpected(flush_error.load());
    return result();
  }
  storage::IoResult discard(uint64_t offset, uint64_t size) override {
    std::fill_n(contents.begin() + offset, size, std::byte{0xdd});
    return result();
  }
  storage::IoResult write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) override {
    std::fill_n(contents.begin() + offset, size, std::byte{0});
    unmapped |= may_unmap;
    return result();
  }
  storage::IoResult result() const {
    return error ? storage::IoResult(std::unexpected(error.load())) : storage::IoResult();
  }
  template <class Copy>
  storage::IoResult each(uint64_t offset, std::span<const iovec> buffers, Copy copy) {
    std::lock_guard lock(mutex);
    if (error) return result();
    for (const iovec& buffer : buffers) {
      copy(&contents.at(offset), buffer.iov_base, buffer.iov_len);
      offset += buffer.iov_len;
    }
    return {};
  }
  bool read_only;
  std::mutex mutex;
  std::vector<std::byte> contents = std::vector<std::byte>(1 << 20, std::byte{0x11});
  std::atomic<int> flushes = 0;
  std::atomic<int> error = 0, flush_error = 0;
  bool unmapped = false;
};

struct BlockTest : ::testing::Test {
  FakeDisk* disk = nullptr;
  std::unique_ptr<Block> device;
  std::unique_ptr<FakeGuest> guest;

  void start(bool read_only = false, uint16_t queues = 1, uint64_t unwanted = 0) {
    auto owned = std::make_unique<FakeDisk>(read_only);
    disk = owned.get();
    device = std::make_unique<Block>(std::move(owned),
                                     BlockOptions{.identifier = "serial-1", .queue_count = queues});
    guest = std::make_unique<FakeGuest>();
    guest->activate(*device, device->features() & ~unwanted);
  }
  static Bytes header(uint32_t type, uint64_t sector) { return bytes_of(BlockHeader{type, 0, sector}); }
  // The status byte that the request ends with; 0xff if there was no answer.
  uint8_t status(Request request, unsigned queue = 0) {
    request.writable.push_back(1);
    reply = guest->queue(queue).request(request);
    return reply ? static_cast<uint8_t>(reply->writable.back()[0]) : 0xff;
  }
  bool breaks(const Request& request) {
    guest->queue(0).add(request);
    guest->queue(0).notify();
    return guest->interrupts().wait([&] { return guest->interrupts().needs_reset_count() == 1; });
  }
  std::optional<virtio::testing::FakeQueue::Reply> reply;
};

TEST_F(BlockTest, ReadsAndWrites) {
  start();
  EXPECT_EQ(
      status({.readable = {header(kBlockWrite, 5), Bytes(512, std::byte{1}), Bytes(1024, std::byte{2})}}),
      kBlockOk);
  EXPECT_EQ(reply->length, 1u);
  EXPECT_EQ(status({.readable = {header(kBlockRead, 5)}, .writable = {1000, 536}}), kBlockOk);
  EXPECT_EQ(reply->length, 1537u);
  Bytes all = reply->writable[0];
  all.insert(all.end(), reply->writable[1].begin(), reply->writable[1].end());
  Bytes expected(512, std::byte{1});
  expected.resize(1536, std::byte{2});
  EXPECT_EQ(all, expected);
  EXPECT_EQ(device->request_count(), 2u);
}

TEST_F(BlockTest, FramingIsFree) {
  start();
  // Header in three pieces, data across descriptors, status at the end of the last (section 2.7.4).
  const Bytes all = header(kBlockRead, 1);
  const Request request{
      .readable = {Bytes(all.begin(), all.begin() + 3), Bytes(all.begin() + 3, all.begin() + 15),
                   Bytes(all.begin() + 15, all.end())},
      .writable = {100, 413}};
  const auto answer = guest->queue(0).request(request);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->length, 513u);
  EXPECT_EQ(answer->writable[1].back(), std::byte{kBlockOk});
  EXPECT_EQ(answer->writable[1][411], std::byte{0x11});
}

TEST_F(BlockTest, FlushesAndTellsItsName) {
  start();
  EXPECT_EQ(status({.readable = {header(kBlockFlush, 0)}}), kBlockOk);
  EXPECT_EQ(disk->flushes, 1);
  EXPECT_EQ(status({.readable = {header(kBlockGetId, 0)}, .writable = {20}}), kBlockOk);
  Bytes name = bytes_of("serial-1");
  name.resize(20);
  EXPECT_EQ(reply->writable[0], name);
  EXPECT_EQ(status({.readable = {header(kBlockGetId, 0)}, .writable = {19}}), kBlockIoError);
}

TEST_F(BlockTest, DiscardsAndZeroes) {
  start();
  const auto segments = [](std::initializer_list<BlockSegment> list) {
    Bytes all;
    for (const BlockSegment& segment : list) {
      const Bytes bytes = bytes_of(segment);
      all.insert(all.end(), bytes.begin(), bytes.end());
    }
    return all;
  };
  EXPECT_EQ(status({.readable = {header(kBlockDiscard, 0), segments({{1, 2, 0}, {10, 1, 0}})}}), kBlockOk);
  EXPECT_EQ(disk->contents[512], std::byte{0xdd});
  EXPECT_EQ(disk->contents[1536], std::byte{0x11});
  EXPECT_EQ(disk->contents[5120], std::byte{0xdd});
  EXPECT_EQ(status({.readable = {header(kBlockWriteZeroes, 0), segments({{1, 1, kBlockUnmap}})}}), kBlockOk);
  EXPECT_EQ(disk->contents[512], std::byte{0});
  EXPECT_TRUE(disk->unmapped);
  EXPECT_EQ(status({.readable = {header(kBlockDiscard, 0), segments({{0, 1, kBlockUnmap}})}}),
            kBlockUnsupported);
  EXPECT_EQ(status({.readable = {header(kBlockWriteZeroes, 0), segments({{0, 1, 2}})}}), kBlockUnsupported);
  EXPECT_EQ(status({.readable = {header(kBlockDiscard, 0), segments({{2047, 2, 0}})}}), kBlockIoError);
  EXPECT_EQ(status({.readable = {header(kBlockDiscard, 0), segments({{~0ull, ~0u, 0}})}}), kBlockIoError);
  EXPECT_EQ(status({.readable = {header(kBlockDiscard, 0), Bytes(15)}}), kBlockIoError);
  EXPECT_EQ(status({.readable = {header(kBlockDiscard, 0)}}), kBlockIoError);
  EXPECT_EQ(status({.readable = {header(kBlockDiscard, 0), Bytes(16 * 17)}}), kBlockIoError);
}

TEST_F(BlockTest, FlushesWhatADriverThatCanNotFlushWrites) {
  start(false, 1, kBlockFeatureFlush);
  const Bytes segment = bytes_of(BlockSegment{0, 1, 0});
  EXPECT_EQ(status({.readable = {header(kBlockWrite, 0), Bytes(512)}}), kBlockOk);
  EXPECT_EQ(disk->flushes, 1);
  EXPECT_EQ(status({.readable = {header(kBlockWriteZeroes, 0), segment}}), kBlockOk);
  EXPECT_EQ(disk->flushes, 2);
  EXPECT_EQ(status({.readable = {header(kBlockRead, 0)}, .writable = {512}}), kBlockOk);
  EXPECT_EQ(status({.readable = {header(kBlockDiscard, 0), segment}}), kBlockOk);
  EXPECT_EQ(status({.readable = {header(kBlockWrite, 4096), Bytes(512)}}), kBlockIoError);
  EXPECT_EQ(disk->flushes, 2);
  disk->flush_error = EIO;
  EXPECT_EQ(status({.readable = {header(kBlockWrite, 0), Bytes(512)}}), kBlockIoError);
  EXPECT_EQ(device->last_error(), EIO);
}

TEST_F(BlockTest, DoesNotFlushWhatADriverFlushesItself) {
  start();
  EXPECT_EQ(status({.readable = {header(kBlockWrite, 0), Bytes(512)}}), kBlockOk);
  EXPECT_EQ(status({.readable = {header(kBlockWriteZeroes, 0), bytes_of(BlockSegment{0, 1, 0})}}), kBlockOk);
  EXPECT_EQ(disk->flushes, 0);
}

TEST_F(BlockTest, RequestsBeyondTheDiskFail) {
  start();
  for (uint64_t sector :
       {uint64_t{2048}, uint64_t{2047}, ~uint64_t{0}, uint64_t{1} << 55, (uint64_t{1} << 55) - 1}) {
    EXPECT_EQ(status({.readable = {header(kBlockRead, sector)}, .writable = {1024}}), kBlockIoError)
        << sector;
    EXPECT_EQ(status({.readable = {header(kBlockWrite, sector), Bytes(1024)}}), kBlockIoError) << sector;
  }
  EXPECT_EQ(status({.readable = {header(kBlockRead, 2047)}, .writable = {512}}), kBlockOk);
  EXPECT_EQ(status({.readable = {header(kBlockRead, 0)}, .writable = {511}}), kBlockIoError);
  EXPECT_EQ(status({.readable = {header(kBlockWrite, 0), Bytes(100)}}), kBlockIoError);
  EXPECT_EQ(status({.readable = {header(99, 0)}, .writable = {512}}), kBlockUnsupported);
  EXPECT_EQ(device->error_count(), 0u);  // The guest's mistakes, not the host's.
}

TEST_F(BlockTest, HostErrorsAreCountedAndTold) {
  start();
  disk->error = ENOSPC;
  EXPECT_EQ(status({.readable = {header(kBlockWrite, 0), Bytes(512)}}), kBlockIoError);
  EXPECT_EQ(status({.readable = {header(kBlockFlush, 0)}}), kBlockIoError);
  EXPECT_EQ(device->error_count(), 2u);
  EXPECT_EQ(device->last_error(), ENOSPC);
  disk->error = 0;
  EXPECT_EQ(status({.readable = {header(kBlockWrite, 0), Bytes(512)}}), kBlockOk);
}

TEST_F(BlockTest, ReadOnlyDisksStayAsTheyAre) {
  start(true);
  EXPECT_TRUE(device->features() & kBlockFeatureReadOnly);
  EXPECT_FALSE(device->features() & (kBlockFeatureDiscard | kBlockFeatureWriteZeroes));
  for (uint32_t type : {kBlockWrite, kBlockDiscard, kBlockWriteZeroes}) {
    EXPECT_EQ(status({.readable = {header(type, 0), Bytes(512)}}), kBlockIoError);
  }
  EXPECT_EQ(disk->contents[0], std::byte{0x11});
  EXPECT_EQ(status({.readable = {header(kBlockRead, 0)}, .writable = {512}}), kBlockOk);
}

TEST_F(BlockTest, RequestsWithoutHeaderBreakTheQueue) {
  start();
  EXPECT_TRUE(breaks({.readable = {Bytes(15)}, .writable = {1}}));
}

TEST_F(BlockTest, RequestsWithoutStatusBreakTheQueue) {
  start();
  EXPECT_TRUE(breaks({.readable = {header(kBlockFlush, 0)}}));
}

TEST_F(BlockTest, AllQueuesServe) {
  start(false, 4);
  EXPECT_TRUE(device->features() & kBlockFeatureMultiQueue);
  for (unsigned queue = 0; queue < 4; ++queue) {
    EXPECT_EQ(status({.readable = {header(kBlockRead, queue)}, .writable = {512}}, queue), kBlockOk);
  }
  BlockConfiguration configuration;
  device->read_config(0, std::as_writable_bytes(std::span(&configuration, 1)));
  EXPECT_EQ(configuration.num_queues, 4);
  EXPECT_EQ(configuration.capacity, 2048u);
}

TEST_F(BlockTest, AnotherSizeIsTold) {
  start();
  const auto capacity = [&] {
    BlockConfiguration configuration;
    device->read_config(0, std::as_writable_bytes(std::span(&configuration, 1)));
    return configuration.capacity;
  };
  EXPECT_EQ(capacity(), 2048u);
  EXPECT_EQ(status({.readable = {header(kBlockRead, 2048)}, .writable = {512}}), kBlockIoError);
  disk->contents.resize(2 << 20);
  device->size_changed();
  EXPECT_EQ(guest->interrupts().configuration_count(), 1u);
  EXPECT_EQ(capacity(), 4096u);
  EXPECT_EQ(status({.readable = {header(kBlockRead, 2048)}, .writable = {512}}), kBlockOk);
  guest->reset();
  device->size_changed();  // Nobody is there to be told.
  EXPECT_EQ(guest->interrupts().configuration_count(), 1u);
}

TEST_F(BlockTest, PauseAndResetDrain) {
  start();
  device->pause();
  guest->queue(0).add({.readable = {header(kBlockRead, 0)}, .writable = {512, 1}});
  guest->queue(0).notify();
  EXPECT_FALSE(guest->queue(0).wait(std::chrono::milliseconds(30)));
  device->resume();
  EXPECT_TRUE(guest->queue(0).wait());
  guest->reset();
  guest->activate(*device, device->features() & ~kBlockFeatureDiscard);
  EXPECT_EQ(status({.readable = {header(kBlockRead, 0)}, .writable = {512}}), kBlockOk);
  // What was not negotiated is not there.
  EXPECT_EQ(status({.readable = {header(kBlockDiscard, 0), bytes_of(BlockSegment{0, 1, 0})}}),
            kBlockUnsupported);
}

}  // namespace
}  // namespace alcove::devices::block
