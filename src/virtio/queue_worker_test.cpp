#include "virtio/queue_worker.h"

#include <gtest/gtest.h>

#include "virtio/testing/fake_driver.h"

namespace alcove::virtio {
namespace {

using testing::Bytes;
using testing::FakeGuest;
using testing::FakeQueue;

struct QueueWorkerTest : ::testing::TestWithParam<bool> {
  FakeGuest guest;
  FakeQueue& driver = guest.add_queue(8);
  int doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  std::atomic<unsigned> served = 0;
  QueueWorker worker{"test"};

  void SetUp() override { driver.set_doorbell(doorbell); }
  void TearDown() override {
    worker.detach();
    close(doorbell);
  }
  void attach() {
    worker.attach(guest.device_queue(0, GetParam()), doorbell, guest.interrupts(),
                  [this](Queue& queue, const Chain& chain) {
                    ++served;
                    queue.push(chain, 0);
                    return chain.readable_size() != 13;
                  });
  }
};

TEST_P(QueueWorkerTest, ServesWhatIsThereBeforeAndAfter) {
  driver.add({.readable = {Bytes(1)}});
  attach();
  EXPECT_TRUE(driver.wait());
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(driver.request({.readable = {Bytes(1)}}));
  EXPECT_EQ(served, 1001u);
  EXPECT_GT(guest.interrupts().queue_count(0), 0u);
}

// The driver notifies only when asked to, as real ones do; nothing may get stuck.
TEST_P(QueueWorkerTest, NoNotificationIsLost) {
  attach();
  uint16_t added = 0;
  for (int round = 0; round < 1000; ++round) {
    const uint16_t old = added;
    const unsigned count = 1 + round % 4;
    for (unsigned i = 0; i < count; ++i, ++added) driver.add({.readable = {Bytes(1)}});
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const bool wanted = GetParam() ? static_cast<uint16_t>(added - driver.available_event() - 1) <
                                         static_cast<uint16_t>(added - old)
                                   : driver.used_flags() == 0;
    if (wanted) driver.notify();
    for (unsigned i = 0; i < count; ++i) ASSERT_TRUE(driver.wait(std::chrono::seconds(5))) << round;
  }
}

TEST_P(QueueWorkerTest, PauseHoldsRequestsBack) {
  attach();
  ASSERT_TRUE(driver.request({.readable = {Bytes(1)}}));
  worker.pause();
  driver.add({.readable = {Bytes(1)}});
  driver.notify();
  EXPECT_FALSE(driver.wait(std::chrono::milliseconds(50)));
  worker.resume();
  EXPECT_TRUE(driver.wait());
}

TEST_P(QueueWorkerTest, BrokenQueuesAreServedNoMore) {
  attach();
  driver.publish(8);  // No such descriptor.
  driver.notify();
  EXPECT_TRUE(guest.interrupts().wait([&] { return guest.interrupts().needs_reset_count() == 1; }));
  driver.notify();
  EXPECT_FALSE(driver.wait(std::chrono::milliseconds(20)));
  EXPECT_EQ(guest.interrupts().needs_reset_count(), 1u);
}

TEST_P(QueueWorkerTest, ProtocolErrorsOfTheDeviceBreakTheQueue) {
  attach();
  driver.request({.readable = {Bytes(13)}});
  EXPECT_TRUE(guest.interrupts().wait([&] { return guest.interrupts().needs_reset_count() == 1; }));
  driver.add({.readable = {Bytes(1)}});
  driver.notify();
  EXPECT_FALSE(driver.wait(std::chrono::milliseconds(20)));
}

INSTANTIATE_TEST_SUITE_P(Rings, QueueWorkerTest, ::testing::Bool(),
                         [](const auto& parameter) { return parameter.param ? "EventIndex" : "Flags"; });

}  // namespace
}  // namespace alcove::virtio
