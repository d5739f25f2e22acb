#include "virtio/queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "virtio/testing/fake_driver.h"

namespace alcove::virtio {
namespace {

using spec::virtio::kDescriptorIndirect;
using spec::virtio::kDescriptorNext;
using spec::virtio::kDescriptorWrite;
using testing::Bytes;
using testing::bytes_of;
using testing::FakeGuest;
using testing::FakeQueue;

struct QueueTest : ::testing::Test {
  FakeGuest guest;
  FakeQueue& driver = guest.add_queue(8);
  std::unique_ptr<Queue> queue = guest.device_queue(0);

  QueueError error_of_pop() {
    auto result = queue->pop();
    if (result) {
      ADD_FAILURE() << "the chain was taken";
      return {};
    }
    EXPECT_EQ(queue->pop().error(), result.error());  // It stays broken.
    return result.error();
  }
};

TEST_F(QueueTest, CarriesDataBothWays) {
  const auto placed = driver.add({.readable = {bytes_of("hello "), bytes_of("world")}, .writable = {3, 5}});
  auto chain = queue->pop().value().value();
  EXPECT_EQ(chain.readable_size(), 11u);
  EXPECT_EQ(chain.writable_size(), 8u);
  Bytes text(20);
  EXPECT_EQ(chain.read(4, text), 7u);
  text.resize(7);
  EXPECT_EQ(text, bytes_of("o world"));
  EXPECT_EQ(chain.write(1, bytes_of("abcdefghij")), 7u);
  queue->push(chain, 8);
  const auto used = driver.poll().value();
  EXPECT_EQ(used.id, placed.head);
  EXPECT_EQ(used.length, 8u);
  EXPECT_EQ(driver.bytes(placed.writable[0] + 1, 2), bytes_of("ab"));
  EXPECT_EQ(driver.bytes(placed.writable[1], 5), bytes_of("cdefg"));
  EXPECT_FALSE(queue->pop().value());
}

TEST_F(QueueTest, VectorsCoverTheRangeAsked) {
  driver.add({.readable = {Bytes(10), Bytes(10)}, .writable = {4, 4}});
  auto chain = queue->pop().value().value();
  const auto readable = chain.readable_vectors(5, 10);
  ASSERT_EQ(readable.size(), 2u);
  EXPECT_EQ(readable[0].iov_len, 5u);
  EXPECT_EQ(readable[1].iov_len, 5u);
  EXPECT_EQ(chain.writable_vectors(6, 100).at(0).iov_len, 2u);
  EXPECT_TRUE(chain.writable_vectors(8, 1).empty());
}

TEST_F(QueueTest, IndirectChainsAreRead) {
  const auto placed =
      driver.add({.readable = {bytes_of("ab"), bytes_of("cd")}, .writable = {1}, .indirect = true});
  auto chain = queue->pop().value().value();
  Bytes text(4);
  EXPECT_EQ(chain.read(0, text), 4u);
  EXPECT_EQ(text, bytes_of("abcd"));
  EXPECT_EQ(chain.writable_size(), 1u);
  EXPECT_EQ(chain.head(), placed.head);
}

TEST_F(QueueTest, DirectDescriptorsMayLeadToAnIndirectTable) {
  const uint64_t table = driver.allocate(32);
  driver.set_descriptor_at(table, 0, {0x1000, 4, kDescriptorWrite, 0});
  driver.set_descriptor(0, {0x2000, 4, kDescriptorNext, 1});
  driver.set_descriptor(1, {table, 16, kDescriptorIndirect, 0});
  driver.publish(0);
  auto chain = queue->pop().value().value();
  EXPECT_EQ(chain.readable_size(), 4u);
  EXPECT_EQ(chain.writable_size(), 4u);
}

TEST_F(QueueTest, IndicesWrap) {
  for (unsigned i = 0; i < 70000; ++i) {
    driver.set_descriptor(i % 8, {0x1000, 1, 0, 0});
    driver.publish(i % 8);
    auto chain = queue->pop().value().value();
    ASSERT_EQ(chain.head(), i % 8);
    queue->push(chain, 0);
    ASSERT_EQ(driver.poll().value().id, i % 8);
  }
}

TEST_F(QueueTest, RefusesRingsThatAreNotMemory) {
  auto create = [&](uint16_t size, QueueAddresses addresses) {
    return Queue::create(guest.memory(), size, addresses, false, 0, guest.interrupts()).has_value();
  };
  const QueueAddresses good = driver.addresses();
  EXPECT_TRUE(create(8, good));
  EXPECT_FALSE(create(0, good));
  EXPECT_FALSE(create(7, good));
  EXPECT_FALSE(create(8, {good.descriptors + 8, good.driver, good.device}));
  EXPECT_FALSE(create(8, {good.descriptors, good.driver + 1, good.device}));
  EXPECT_FALSE(create(8, {good.descriptors, good.driver, good.device + 2}));
  EXPECT_FALSE(create(8, {FakeGuest::kMemorySize - 16, good.driver, good.device}));
  EXPECT_FALSE(create(8, {good.descriptors, ~uint64_t{1}, good.device}));
  EXPECT_FALSE(create(8, {good.descriptors, good.driver, FakeGuest::kMemorySize - 8}));
}

// Hostile drivers.

TEST_F(QueueTest, LoopInTheDescriptorTable) {
  driver.set_descriptor(0, {0x1000, 1, kDescriptorNext, 1});
  driver.set_descriptor(1, {0x1000, 1, kDescriptorNext, 0});
  driver.publish(0);
  EXPECT_EQ(error_of_pop(), QueueError::descriptor_loop);
}

TEST_F(QueueTest, LoopInAnIndirectTable) {
  const uint64_t table = driver.allocate(64);
  for (uint16_t i = 0; i < 4; ++i) driver.set_descriptor_at(table, i, {0x1000, 1, kDescriptorNext, 2});
  driver.set_descriptor(0, {table, 64, kDescriptorIndirect, 0});
  driver.publish(0);
  EXPECT_EQ(error_of_pop(), QueueError::descriptor_loop);
}

TEST_F(QueueTest, BufferOutsideMemory) {
  for (auto [address, length] : {std::pair<uint64_t, uint32_t>{FakeGuest::kMemorySize, 1},
                                 {FakeGuest::kMemorySize - 4, 5},
                                 {~uint64_t{0}, 2},
                                 {~uint64_t{0} - 0xfff, 0x1000}}) {
    queue = guest.device_queue(0);
    driver.set_available_index(0);
    driver.set_descriptor(3, {address, length, 0, 0});
    driver.publish(3);
    EXPECT_EQ(error_of_pop(), QueueError::address) << address;
  }
}

TEST_F(QueueTest, HeadOutsideTheTable) {
  driver.publish(8);
  EXPECT_EQ(error_of_pop(), QueueError::head_index);
}

TEST_F(QueueTest, NextOutsideTheTable) {
  driver.set_descriptor(0, {0x1000, 1, kDescriptorNext, 8});
  driver.publish(0);
  EXPECT_EQ(error_of_pop(), QueueError::descriptor_index);
}

TEST_F(QueueTest, IndirectWithinIndirect) {
  const uint64_t table = driver.allocate(64);
  driver.set_descriptor_at(table, 0, {table, 16, kDescriptorIndirect, 0});
  driver.set_descriptor(0, {table, 64, kDescriptorIndirect, 0});
  driver.publish(0);
  EXPECT_EQ(error_of_pop(), QueueError::descriptor_flags);
}

TEST_F(QueueTest, IndirectWithNext) {
  driver.set_descriptor(0, {0x1000, 16, kDescriptorIndirect | kDescriptorNext, 1});
  driver.publish(0);
  EXPECT_EQ(error_of_pop(), QueueError::descriptor_flags);
}

TEST_F(QueueTest, IndirectTableOfBadSizeOrPlace) {
  for (auto [address, length] : {std::pair<uint64_t, uint32_t>{0x1000, 0},
                                 {0x1000, 15},
                                 {0x1000, 17},
                                 {0x1000, 16 * (kMaximumChainLength + 1)},
                                 {FakeGuest::kMemorySize - 16, 32},
                                 {~uint64_t{0} - 15, 16}}) {
    queue = guest.device_queue(0);
    driver.set_available_index(0);
    driver.set_descriptor(0, {address, length, kDescriptorIndirect, 0});
    driver.publish(0);
    EXPECT_EQ(error_of_pop(), QueueError::indirect_table) << address << "+" << length;
  }
}

TEST_F(QueueTest, WritableBeforeReadable) {
  driver.set_descriptor(0, {0x1000, 1, kDescriptorNext | kDescriptorWrite, 1});
  driver.set_descriptor(1, {0x2000, 1, 0, 0});
  driver.publish(0);
  EXPECT_EQ(error_of_pop(), QueueError::descriptor_flags);
}

TEST_F(QueueTest, MoreThanFourGigabytes) {
  for (uint16_t i = 0; i < 8; ++i)
    driver.set_descriptor(i, {0, 0x0800'0000, kDescriptorNext, uint16_t(i + 1)});
  driver.set_descriptor(7, {0, 0x0800'0000, 0, 0});
  driver.publish(0);
  EXPECT_TRUE(queue->pop().value());  // 1 GiB over and over is odd, but legal.
  const uint64_t table = driver.allocate(16 * 64);
  for (uint16_t i = 0; i < 64; ++i) {
    driver.set_descriptor_at(table, i, {0, 0x0800'0000, kDescriptorNext, uint16_t(i + 1)});
  }
  driver.set_descriptor(0, {table, 16 * 64, kDescriptorIndirect, 0});
  driver.publish(0);
  EXPECT_EQ(error_of_pop(), QueueError::length);
}

TEST_F(QueueTest, AvailableIndexJumps) {
  driver.set_available_index(9);
  EXPECT_EQ(error_of_pop(), QueueError::available_index);
  queue = guest.device_queue(0);
  driver.set_available_index(0xffff);  // Backwards.
  EXPECT_EQ(error_of_pop(), QueueError::available_index);
}

TEST_F(QueueTest, NoMoreInFlightThanTheQueueHolds) {
  driver.set_descriptor(0, {0x1000, 1, 0, 0});
  std::vector<Chain> taken;
  for (int i = 0; i < 8; ++i) {
    driver.publish(0);
    taken.push_back(queue->pop().value().value());
  }
  driver.publish(0);
  EXPECT_EQ(error_of_pop(), QueueError::available_index);
}

TEST_F(QueueTest, ZeroLengthBuffersAreHarmless) {
  driver.set_descriptor(0, {~uint64_t{0}, 0, kDescriptorNext, 1});
  driver.set_descriptor(1, {0x1000, 0, kDescriptorWrite, 0});
  driver.publish(0);
  auto chain = queue->pop().value().value();
  EXPECT_EQ(chain.readable_size() + chain.writable_size(), 0u);
  EXPECT_TRUE(chain.readable().empty() && chain.writable().empty());
}

TEST_F(QueueTest, BuffersAreNotWritableInReadOnlyMemory) {
  const memory::RegionSpec regions[] = {{.guest_address = 0, .size = 0x10000},
                                        {.guest_address = 0x10000, .size = 0x1000, .read_only = true}};
  auto memory = memory::GuestMemory::create(regions).value();
  uint64_t next_free = 0x1000;
  testing::RecordingInterrupts interrupts;
  FakeQueue other(memory, next_free, 8, interrupts);
  auto device = Queue::create(memory, 8, other.addresses(), false, 0, interrupts).value();
  other.set_descriptor(0, {0xfff0, 0x20, 0, 0});
  other.publish(0);
  EXPECT_EQ(device->pop().value().value().readable().size(), 2u);  // Reading may run across regions.
  other.set_descriptor(1, {0xfff0, 0x20, kDescriptorWrite, 0});
  other.publish(1);
  EXPECT_EQ(device->pop().error(), QueueError::address);
  const QueueAddresses& good = other.addresses();
  EXPECT_FALSE(Queue::create(memory, 8, {good.descriptors, good.driver, 0x10000}, false, 0, interrupts));
}

// Another virtual CPU rewrites the chain all the while; whatever comes out must be sound.
TEST_F(QueueTest, ChainsThatChangeWhileRead) {
  std::atomic<bool> stop = false;
  std::thread other([&] {
    for (uint32_t i = 0; !stop; ++i) {
      driver.set_descriptor(
          0, {i % 3 ? 0x1000 : ~uint64_t{i}, i * 977, static_cast<uint16_t>(i * 31), uint16_t(i % 9)});
      driver.set_descriptor(1, {0x1000, i % 64, static_cast<uint16_t>(i), uint16_t(i % 5)});
    }
  });
  driver.set_available_index(0);
  unsigned sound = 0;
  // On a busy host the other thread may not run for long, and leave a chain that never was sound.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (int i = 0; i < 20000 || (sound == 0 && std::chrono::steady_clock::now() < deadline); ++i) {
    queue = guest.device_queue(0);
    driver.set_available_entry(0, i % 2);
    driver.set_available_index(1);
    auto result = queue->pop();
    if (!result) continue;
    ASSERT_TRUE(*result);
    ++sound;
    uint64_t total = 0;
    for (auto part : {(*result)->readable(), (*result)->writable()}) {
      for (const Slice& slice : part) {
        total += slice.size;
        ASSERT_EQ(guest.memory().host_range(slice.guest_address, slice.size), slice.host);
      }
    }
    ASSERT_EQ(total, (*result)->readable_size() + (*result)->writable_size());
  }
  stop = true;
  other.join();
  EXPECT_GT(sound, 0u);
}

// Notifications.

TEST_F(QueueTest, FlagsSuppressInterruptsAndNotifications) {
  driver.add({.readable = {Bytes(1)}});
  queue->push(queue->pop().value().value(), 0);
  queue->notify();
  EXPECT_EQ(guest.interrupts().queue_count(0), 1u);
  queue->notify();  // Nothing new.
  EXPECT_EQ(guest.interrupts().queue_count(0), 1u);
  driver.set_available_flags(spec::virtio::kAvailableNoInterrupt);
  driver.add({.readable = {Bytes(1)}});
  queue->push(queue->pop().value().value(), 0);
  queue->notify();
  EXPECT_EQ(guest.interrupts().queue_count(0), 1u);
  queue->set_wants_notifications(false);
  EXPECT_EQ(driver.used_flags(), spec::virtio::kUsedNoNotify);
  queue->set_wants_notifications(true);
  EXPECT_EQ(driver.used_flags(), 0);
}

TEST_F(QueueTest, EventIndexDecidesAboutInterrupts) {
  queue = guest.device_queue(0, true);
  auto serve = [&] {
    driver.add({.readable = {Bytes(1)}});
    queue->push(queue->pop().value().value(), 0);
    driver.poll();
  };
  driver.set_used_event(2);  // Interrupt when the third is used.
  serve();
  queue->notify();
  serve();
  queue->notify();
  EXPECT_EQ(guest.interrupts().queue_count(0), 0u);
  serve();
  queue->notify();
  EXPECT_EQ(guest.interrupts().queue_count(0), 1u);
  driver.set_used_event(4);
  for (int i = 0; i < 5; ++i) serve();  // A batch that passes the event counts as well.
  queue->notify();
  EXPECT_EQ(guest.interrupts().queue_count(0), 2u);
}

TEST_F(QueueTest, EventIndexFollowsWhenTheRingIsEmpty) {
  queue = guest.device_queue(0, true);
  for (uint16_t i = 1; i < 5; ++i) {
    driver.add({.readable = {Bytes(1)}});
    queue->push(queue->pop().value().value(), 0);
    driver.poll();
    EXPECT_FALSE(queue->pop().value());
    EXPECT_EQ(driver.available_event(), i);
  }
  queue->set_wants_notifications(false);
  driver.add({.readable = {Bytes(1)}});
  queue->push(queue->pop().value().value(), 0);
  EXPECT_FALSE(queue->pop().value());
  EXPECT_EQ(driver.available_event(), 4);
  queue->set_wants_notifications(true);
  EXPECT_EQ(driver.available_event(), 5);
}

TEST_F(QueueTest, WhatWasWrittenIsReported) {
  struct Observer : memory::WriteObserver {
    std::vector<std::pair<uint64_t, uint64_t>> seen;
    void on_host_write(uint64_t address, uint64_t size) override { seen.emplace_back(address, size); }
  } observer;
  const auto placed = driver.add({.writable = {100, 100}});
  guest.memory().set_write_observer(&observer);
  auto chain = queue->pop().value().value();
  queue->push(chain, 150);
  guest.memory().set_write_observer(nullptr);
  EXPECT_EQ(std::ranges::count(observer.seen, std::pair(placed.writable[0], uint64_t{100})), 1);
  EXPECT_EQ(std::ranges::count(observer.seen, std::pair(placed.writable[1], uint64_t{50})), 1);
}

}  // namespace
}  // namespace alcove::virtio
