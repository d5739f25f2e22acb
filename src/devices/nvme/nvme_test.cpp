#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <thread>

#include "devices/nvme/controller.h"

namespace alcove::devices::nvme {
namespace {

using namespace spec::nvme;

// A disk in memory that counts, and fails when told to.
struct FakeDisk final : storage::Disk {
  uint64_t size() const override { return contents.size(); }
  bool is_read_only() const override { return read_only; }
  template <class Copy>
  storage::IoResult each(uint64_t offset, std::span<const iovec> buffers, Copy copy) {
    const std::lock_guard lock(mutex);
    if (error) return std::unexpected(error.load());
    for (const iovec& buffer : buffers) {
      copy(&contents.at(offset), buffer.iov_base, buffer.iov_len);
      offset += buffer.iov_len;
    }
    return {};
  }
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
    return error ? storage::IoResult(std::unexpected(error.load())) : storage::IoResult();
  }
  storage::IoResult discard(uint64_t offset, uint64_t size) override {
    std::fill_n(contents.begin() + static_cast<ptrdiff_t>(offset), size, std::byte{0xdd});
    return {};
  }
  storage::IoResult write_zeroes(uint64_t offset, uint64_t size, bool may_unmap) override {
    std::fill_n(contents.begin() + static_cast<ptrdiff_t>(offset), size, std::byte{0});
    unmapped |= may_unmap;
    return {};
  }
  bool read_only = false;
  std::mutex mutex;
  std::vector<std::byte> contents = std::vector<std::byte>(4 << 20, std::byte{0x11});
  std::atomic<int> flushes = 0;
  std::atomic<int> error = 0;
  bool unmapped = false;
};

struct Messages final : bus::MessageSink {
  void send(const bus::Message& message) override { counts[message.data % 32].fetch_add(1); }
  std::array<std::atomic<unsigned>, 32> counts{};
};

bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return true;
}

// A guest's driver.
class NvmeTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kMemory = 64 << 20;
  struct Queue {
    uint64_t submissions, completions;
    uint16_t size;
    uint16_t tail = 0, head = 0;
    bool phase = true;
  };

  NvmeTest() {
    const memory::RegionSpec regions[] = {{.guest_address = 0, .size = kMemory},
                                          {.guest_address = kMemory, .size = 1 << 20, .read_only = true}};
    memory.emplace(memory::GuestMemory::create(regions).value());
  }
  ~NvmeTest() override { controller.reset(); }

  void make(bool read_only = false, uint16_t pairs = 4) {
    auto owned = std::make_unique<FakeDisk>();
    disk = owned.get();
    disk->read_only = read_only;
    controller = std::make_unique<Controller>(
        std::move(owned), Options{.serial = "S1", .identifier = {0xab, 1, 2}, .queue_pairs = pairs}, *memory,
        messages);
    controller->reset();
  }
  void start(bool read_only = false, uint16_t pairs = 4) {
    make(read_only, pairs);
    enable();
  }
  void write(uint64_t offset, uint32_t value) {
    EXPECT_EQ(controller->write_bar(0, offset, std::as_bytes(std::span(&value, 1))), bus::Access::done);
  }
  uint32_t read(uint64_t offset) {
    uint32_t value = 0;
    EXPECT_EQ(controller->read_bar(0, offset, std::as_writable_bytes(std::span(&value, 1))),
              bus::Access::done);
    return value;
  }
  void use_messages() {
    const uint16_t enable_messages = 0x8000;
    controller->write_configuration(0x42, std::as_bytes(std::span(&enable_messages, 1)));
    for (uint32_t vector = 0; vector < 5; ++vector) {
      write(Controller::kTableOffset + 16 * vector, 0xfee00000);
      write(Controller::kTableOffset + 16 * vector + 8, vector);
      write(Controller::kTableOffset + 16 * vector + 12, 0);
    }
  }
  void enable(uint16_t size = 32) {
    admin = {.submissions = 0x10000, .completions = 0x20000, .size = size};
    write(kAdminQueueAttributes, (size - 1u) | (size - 1u) << 16);
    write(kAdminSubmissionQueue, static_cast<uint32_t>(admin.submissions));
    write(kAdminSubmissionQueue + 4, 0);
    write(kAdminCompletionQueue, static_cast<uint32_t>(admin.completions));
    write(kAdminCompletionQueue + 4, 0);
    clear(admin);
    write(kConfiguration, 0x460001);
    ASSERT_EQ(read(kStatus), kStatusReady);
  }
  void clear(const Queue& queue) {
    std::memset(memory->host_range(queue.completions, 16 * queue.size), 0, size_t{16} * queue.size);
  }
  void add(Queue& queue, Command command) {
    command.id = next_id++;
    ASSERT_TRUE(memory->store(queue.submissions + 64 * queue.tail, command));
    queue.tail = (queue.tail + 1) % queue.size;
  }
  void ring(const Queue& queue) { write(kDoorbells + 8 * index_of(queue), queue.tail); }
  static uint64_t index_of(const Queue& queue) { return (queue.submissions - 0x10000) / 0x1000000; }
  // The next completion; status 0xffff if there is none in time.
  Completion take(Queue& queue, bool tell = true) {
    Completion completion{.status = 0xffff};
    const bool came = eventually([&] {
      completion = *memory->load<Completion>(queue.completions + 16 * queue.head);
      return (completion.status & 1) == queue.phase;
    });
    if (!came) return {.status = 0xffff};
    if (++queue.head == queue.size) queue.head = 0, queue.phase = !queue.phase;
    if (tell) write(kDoorbells + 8 * index_of(queue) + 4, queue.head);
    completion.status >>= 1;
    return completion;
  }
  Completion execute(Queue& queue, const Command& command) {
    add(queue, command);
    ring(queue);
    const Completion completion = take(queue);
    EXPECT_EQ(completion.id, static_cast<uint16_t>(next_id - 1));
    return completion;
  }
  uint16_t admin_status(const Command& command) { return execute(admin, command).status; }
  uint16_t create_completions(uint16_t id, uint16_t size, uint64_t address, uint32_t flags = 3) {
    return admin_status({.opcode = kCreateCompletionQueue,
                         .prp1 = address,
                         .dword10 = id | (size - 1u) << 16,
                         .dword11 = flags | uint32_t{id} << 16});
  }
  uint16_t create_submissions(uint16_t id, uint16_t size, uint64_t address, uint32_t completions) {
    return admin_status({.opcode = kCreateSubmissionQueue,
                         .prp1 = address,
                         .dword10 = id | (size - 1u) << 16,
                         .dword11 = 1 | completions << 16});
  }
  Queue create(uint16_t id, uint16_t size = 16) {
    Queue queue{
        .submissions = 0x10000 + 0x1000000ull * id, .completions = 0x20000 + 0x1000000ull * id, .size = size};
    clear(queue);
    EXPECT_EQ(create_completions(id, size, queue.completions), kSuccess);
    EXPECT_EQ(create_submissions(id, size, queue.submissions, id), kSuccess);
    return queue;
  }
  static Command transfer(uint8_t opcode, uint64_t block, uint32_t count, uint64_t prp1, uint64_t prp2 = 0) {
    return {.opcode = opcode,
            .namespace_id = 1,
            .prp1 = prp1,
            .prp2 = prp2,
            .dword10 = static_cast<uint32_t>(block),
            .dword11 = static_cast<uint32_t>(block >> 32),
            .dword12 = count - 1};
  }
  std::byte* at(uint64_t address) { return memory->host_range(address, 1); }

  std::optional<memory::GuestMemory> memory;
  Messages messages;
  FakeDisk* disk = nullptr;
  std::unique_ptr<Controller> controller;
  Queue admin{};
  uint16_t next_id = 0;
};

constexpr uint64_t kData = 0x100000;

TEST_F(NvmeTest, TellsWhatItIs) {
  make();
  EXPECT_EQ(read(kCapabilities), 1023u | 1 << 16 | 20 << 24);
  EXPECT_EQ(read(kCapabilities + 4), 1u << 5);
  EXPECT_EQ(read(kVersion), 0x10400u);
  EXPECT_EQ(read(kStatus), 0u);
  enable();
  ASSERT_EQ(admin_status({.opcode = kIdentify, .prp1 = kData, .dword10 = kIdentifyController}), kSuccess);
  const auto identity = *memory->load<ControllerIdentity>(kData);
  EXPECT_EQ(std::string(identity.serial, 4), "S1  ");
  EXPECT_EQ(identity.namespace_count, 1u);
  EXPECT_EQ(memory->load<uint32_t>(kData + 536), 0u);  // SGLS: no scatter-gather lists.
  EXPECT_STREQ(identity.qualified_name,
               "nqn.2014-08.org.nvmexpress:uuid:ab010200-0000-0000-0000-000000000000");
  ASSERT_EQ(
      admin_status({.opcode = kIdentify, .namespace_id = 1, .prp1 = kData, .dword10 = kIdentifyNamespace}),
      kSuccess);
  const auto name_space = *memory->load<NamespaceIdentity>(kData);
  EXPECT_EQ(name_space.size, disk->size() / 512);
  EXPECT_EQ(name_space.formats[0], 9u << 16);
  EXPECT_EQ(name_space.attributes, 0);
  ASSERT_EQ(admin_status({.opcode = kIdentify, .prp1 = kData, .dword10 = kIdentifyActiveNamespaces}),
            kSuccess);
  EXPECT_EQ(*memory->load<uint64_t>(kData), 1u);
  ASSERT_EQ(
      admin_status({.opcode = kIdentify, .namespace_id = 1, .prp1 = kData, .dword10 = kIdentifyDescriptors}),
      kSuccess);
  EXPECT_EQ(*memory->load<uint16_t>(kData), 0x1003);
  for (uint32_t id : {0u, 2u, ~0u}) {
    EXPECT_EQ(
        admin_status({.opcode = kIdentify, .namespace_id = id, .prp1 = kData, .dword10 = kIdentifyNamespace}),
        kInvalidNamespace);
  }
  EXPECT_EQ(admin_status({.opcode = kIdentify, .prp1 = kData, .dword10 = 0x44}), kInvalidField);
  EXPECT_EQ(admin_status({.opcode = 0x55}), kInvalidOpcode);
}

TEST_F(NvmeTest, WritesAndReads) {
  start();
  Queue queue = create(1);
  std::memset(at(kData), 0x5a, 512 * 8);
  EXPECT_EQ(execute(queue, transfer(kWrite, 7, 8, kData)).status, kSuccess);
  EXPECT_EQ(disk->contents[7 * 512 - 1], std::byte{0x11});
  EXPECT_EQ(disk->contents[7 * 512], std::byte{0x5a});
  EXPECT_EQ(disk->contents[15 * 512 - 1], std::byte{0x5a});
  EXPECT_EQ(disk->contents[15 * 512], std::byte{0x11});
  // Two pages, of which the first begins in its middle.
  EXPECT_EQ(execute(queue, transfer(kRead, 6, 8, kData + 0x10800, kData + 0x30000)).status, kSuccess);
  EXPECT_EQ(*at(kData + 0x10800), std::byte{0x11});
  EXPECT_EQ(*at(kData + 0x10a00), std::byte{0x5a});
  EXPECT_EQ(*at(kData + 0x30000), std::byte{0x5a});
  EXPECT_EQ(*at(kData + 0x30800), std::byte{0});
  EXPECT_EQ(controller->statistics().reads, 1u);
}

TEST_F(NvmeTest, FollowsLists) {
  start();
  Queue queue = create(1);
  for (size_t i = 0; i < disk->contents.size(); ++i) disk->contents[i] = std::byte(i / 4096);
  // 1 MiB in scattered pages; the list begins three entries before its page's end and goes on in another.
  constexpr uint32_t kPages = 256;
  const uint64_t pages = 0x400000, list = 0x300000;
  uint64_t entry = list + 4096 - 3 * 8;
  for (uint32_t page = 1; page < kPages; ++page) {
    if (entry == list + 4096 - 8) {
      ASSERT_TRUE(memory->store(entry, list + 8192));
      entry = list + 8192;
    }
    ASSERT_TRUE(memory->store(entry, pages + uint64_t{kPages - page} * 8192));
    entry += 8;
  }
  EXPECT_EQ(execute(queue, transfer(kRead, 0, 2048, pages + 8192 * 1000, list + 4096 - 3 * 8)).status,
            kSuccess);
  EXPECT_EQ(*at(pages + 8192 * 1000 + 4095), std::byte{0});
  for (uint32_t page = 1; page < kPages; ++page)
    ASSERT_EQ(*at(pages + uint64_t{kPages - page} * 8192 + 17), std::byte(page)) << page;
}

TEST_F(NvmeTest, RefusesWrongPlaces) {
  start();
  Queue queue = create(1);
  const auto status = [&](uint8_t opcode, uint32_t count, uint64_t prp1, uint64_t prp2 = 0) {
    return execute(queue, transfer(opcode, 0, count, prp1, prp2)).status;
  };
  EXPECT_EQ(status(kRead, 1, kData + 2), kInvalidPrpOffset);
  EXPECT_EQ(status(kRead, 16, kData, kData + 0x1004), kInvalidPrpOffset);
  EXPECT_EQ(status(kRead, 32, kData, kData + 4), kInvalidPrpOffset);
  EXPECT_EQ(status(kRead, 1, 1ull << 40), kDataTransferError);
  EXPECT_EQ(status(kRead, 16, kData, ~0xfffull), kDataTransferError);
  EXPECT_EQ(status(kRead, 32, kData, 1ull << 40), kDataTransferError);
  ASSERT_TRUE(memory->store(kData + 0x8000, uint64_t{kData + 1}));
  EXPECT_EQ(status(kRead, 32, kData, kData + 0x8000), kInvalidPrpOffset);
  EXPECT_EQ(status(kRead, 1, kMemory), kDataTransferError);  // Read-only memory,
  EXPECT_EQ(status(kWrite, 1, kMemory), kSuccess);           // which may be written from.
  EXPECT_EQ(status(kRead, 2049, kData), kInvalidField);
}

TEST_F(NvmeTest, RefusesWrongCommands) {
  start();
  Queue queue = create(1);
  const uint64_t blocks = disk->size() / 512;
  for (const uint64_t block : {blocks, blocks - 1, ~uint64_t{0}, ~uint64_t{0} >> 9}) {
    for (const uint8_t opcode : {kRead, kWrite, kWriteZeroes, kCompare})
      EXPECT_EQ(execute(queue, transfer(opcode, block, 2, kData)).status, kBlockOutOfRange) << block;
  }
  EXPECT_EQ(execute(queue, transfer(kRead, blocks - 1, 1, kData)).status, kSuccess);
  Command command = transfer(kRead, 0, 1, kData);
  command.namespace_id = 2;
  EXPECT_EQ(execute(queue, command).status, kInvalidNamespace);
  command.namespace_id = kAllNamespaces;
  EXPECT_EQ(execute(queue, command).status, kInvalidNamespace);
  command = transfer(kRead, 0, 1, kData);
  command.flags = 0x40;
  EXPECT_EQ(execute(queue, command).status, kInvalidField);
  command.flags = 1;
  EXPECT_EQ(execute(queue, command).status, kInvalidField);
  EXPECT_EQ(execute(queue, transfer(0x7f, 0, 1, kData)).status, kInvalidOpcode);
}

TEST_F(NvmeTest, FlushesWhenAsked) {
  start();
  Queue queue = create(1);
  EXPECT_EQ(execute(queue, transfer(kWrite, 0, 1, kData)).status, kSuccess);
  EXPECT_EQ(disk->flushes, 0);
  EXPECT_EQ(execute(queue, {.opcode = kFlush, .namespace_id = 1}).status, kSuccess);
  EXPECT_EQ(execute(queue, {.opcode = kFlush, .namespace_id = kAllNamespaces}).status, kSuccess);
  EXPECT_EQ(disk->flushes, 2);
  Command command = transfer(kWrite, 0, 1, kData);
  command.dword12 |= kForceUnitAccess;
  EXPECT_EQ(execute(queue, command).status, kSuccess);
  EXPECT_EQ(disk->flushes, 3);
  // Without a write cache every write is one.
  EXPECT_EQ(execute(admin, {.opcode = kGetFeatures, .dword10 = kFeatureWriteCache}).dword0, 1u);
  EXPECT_EQ(admin_status({.opcode = kSetFeatures, .dword10 = kFeatureWriteCache, .dword11 = 0}), kSuccess);
  EXPECT_EQ(execute(queue, transfer(kWrite, 0, 1, kData)).status, kSuccess);
  EXPECT_EQ(disk->flushes, 4);
  write(kConfiguration, 0x460001 | 1 << 14);
  EXPECT_TRUE(eventually([&] { return (read(kStatus) & 0xc) == kStatusShutdownComplete; }));
  EXPECT_EQ(disk->flushes, 5);
}

TEST_F(NvmeTest, ZeroesDeallocatesAndCompares) {
  start();
  Queue queue = create(1);
  Command zeroes = transfer(kWriteZeroes, 8, 8, 0);
  zeroes.dword12 |= kDeallocate;
  EXPECT_EQ(execute(queue, zeroes).status, kSuccess);
  EXPECT_EQ(disk->contents[8 * 512], std::byte{0});
  EXPECT_TRUE(disk->unmapped);
  const DatasetRange ranges[] = {{0, 8, 16}, {0, 0, 0}, {0, 1, 100}};
  ASSERT_TRUE(memory->write(kData, std::as_bytes(std::span(ranges))));
  Command trim{.opcode = kDatasetManagement, .namespace_id = 1, .prp1 = kData, .dword10 = 2, .dword11 = 0};
  EXPECT_EQ(execute(queue, trim).status, kSuccess);
  EXPECT_EQ(disk->contents[16 * 512], std::byte{0x11});  // A hint only.
  trim.dword11 = kRangesDeallocate;
  EXPECT_EQ(execute(queue, trim).status, kSuccess);
  EXPECT_EQ(disk->contents[16 * 512], std::byte{0xdd});
  EXPECT_EQ(disk->contents[100 * 512], std::byte{0xdd});
  EXPECT_EQ(disk->contents[101 * 512], std::byte{0x11});
  const DatasetRange wrong{0, 2, disk->size() / 512 - 1};
  ASSERT_TRUE(memory->store(kData + 16, wrong));
  EXPECT_EQ(execute(queue, trim).status, kBlockOutOfRange);
  std::memset(at(kData), 0x11, 1024);
  EXPECT_EQ(execute(queue, transfer(kCompare, 200, 2, kData)).status, kSuccess);
  *at(kData + 1023) = std::byte{1};
  EXPECT_EQ(execute(queue, transfer(kCompare, 200, 2, kData)).status, kCompareFailure);
}

TEST_F(NvmeTest, ReadOnlyDisksStayAsTheyAre) {
  start(true);
  Queue queue = create(1);
  for (const uint8_t opcode : {kWrite, kWriteZeroes})
    EXPECT_EQ(execute(queue, transfer(opcode, 0, 1, kData)).status, kWriteProtected);
  EXPECT_EQ(
      execute(queue, {.opcode = kDatasetManagement, .namespace_id = 1, .prp1 = kData, .dword11 = 4}).status,
      kWriteProtected);
  EXPECT_EQ(disk->contents[0], std::byte{0x11});
  EXPECT_EQ(execute(queue, transfer(kRead, 0, 1, kData)).status, kSuccess);
  ASSERT_EQ(admin_status({.opcode = kIdentify, .namespace_id = 1, .prp1 = kData, .dword10 = 0}), kSuccess);
  EXPECT_EQ(memory->load<NamespaceIdentity>(kData)->attributes, 1);
}

TEST_F(NvmeTest, HostErrorsAreTold) {
  start();
  Queue queue = create(1);
  disk->error = EIO;
  EXPECT_EQ(execute(queue, transfer(kRead, 0, 1, kData)).status, kUnrecoveredReadError);
  EXPECT_EQ(execute(queue, transfer(kWrite, 0, 1, kData)).status, kWriteFault);
  EXPECT_EQ(execute(queue, {.opcode = kFlush, .namespace_id = 1}).status, kWriteFault);
  disk->error = ENOSPC;
  EXPECT_EQ(execute(queue, transfer(kWrite, 0, 1, kData)).status, kCapacityExceeded);
  disk->error = 0;
  EXPECT_EQ(execute(queue, transfer(kRead, 0, 1, kData)).status, kSuccess);
  EXPECT_EQ(controller->statistics().errors, 4u);
  ASSERT_EQ(admin_status({.opcode = kGetLogPage,
                          .namespace_id = kAllNamespaces,
                          .prp1 = kData,
                          .dword10 = kLogHealth | 127 << 16}),
            kSuccess);
  EXPECT_EQ(memory->load<HealthLog>(kData)->media_errors[0], 4u);
}

TEST_F(NvmeTest, QueuesFillAndWrap) {
  start();
  Queue queue = create(2, 4);
  // More commands than the completion queue has room for, and nobody takes them at first.
  for (int round = 0; round < 5; ++round) {
    for (uint32_t i = 0; i < 3; ++i) add(queue, transfer(kRead, i, 1, kData));
    ring(queue);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(take(queue, false).status, kSuccess);
    for (uint32_t i = 0; i < 3; ++i) add(queue, transfer(kRead, i, 1, kData));
    ring(queue);  // No room: nothing may be overwritten.
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    EXPECT_NE(memory->load<Completion>(queue.completions + 16 * queue.head)->status & 1, queue.phase);
    write(kDoorbells + 8 * 2 + 4, queue.head);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(take(queue).status, kSuccess);
  }
}

TEST_F(NvmeTest, SeveralQueuesCompleteInOne) {
  start();
  Queue first = create(1, 8);
  EXPECT_EQ(create_submissions(3, 8, 0x3010000, 1), kSuccess);
  Queue third{.submissions = 0x3010000, .completions = 0, .size = 8};
  add(first, transfer(kRead, 0, 1, kData));
  add(third, transfer(kRead, 0, 1, kData));
  ring(first);
  ring(third);
  std::vector<uint16_t> queues = {take(first).submission_queue, take(first).submission_queue};
  EXPECT_THAT(queues, ::testing::UnorderedElementsAre(1, 3));
  EXPECT_EQ(admin_status({.opcode = kDeleteCompletionQueue, .dword10 = 1}), kInvalidQueueDeletion);
  EXPECT_EQ(admin_status({.opcode = kDeleteSubmissionQueue, .dword10 = 1}), kSuccess);
  EXPECT_EQ(admin_status({.opcode = kDeleteSubmissionQueue, .dword10 = 1}), kInvalidQueueId);
  EXPECT_EQ(admin_status({.opcode = kDeleteSubmissionQueue, .dword10 = 3}), kSuccess);
  EXPECT_EQ(admin_status({.opcode = kDeleteCompletionQueue, .dword10 = 1}), kSuccess);
  EXPECT_EQ(admin_status({.opcode = kDeleteCompletionQueue, .dword10 = 1}), kInvalidQueueId);
}

TEST_F(NvmeTest, RefusesWrongQueues) {
  start();
  const uint64_t place = 0x1020000;
  EXPECT_EQ(create_completions(0, 16, place), kInvalidQueueId);
  EXPECT_EQ(create_completions(5, 16, place), kInvalidQueueId);
  EXPECT_EQ(create_completions(1, 1, place), kInvalidQueueSize);
  EXPECT_EQ(create_completions(1, 1025, place), kInvalidQueueSize);
  EXPECT_EQ(create_completions(1, 16, place, 2), kInvalidField);
  EXPECT_EQ(create_completions(1, 16, place + 64), kInvalidPrpOffset);
  EXPECT_EQ(create_completions(1, 1024, kMemory - 4096), kInvalidField);
  EXPECT_EQ(create_completions(1, 16, ~0xfffull), kInvalidField);
  EXPECT_EQ(
      admin_status(
          {.opcode = kCreateCompletionQueue, .prp1 = place, .dword10 = 1 | 15 << 16, .dword11 = 3 | 5 << 16}),
      kInvalidInterruptVector);
  EXPECT_EQ(create_submissions(1, 16, place, 1), kCompletionQueueInvalid);
  EXPECT_EQ(create_submissions(1, 16, place, 0), kCompletionQueueInvalid);
  EXPECT_EQ(create_submissions(1, 16, place, 77), kInvalidQueueId);
  EXPECT_EQ(create_completions(1, 16, place), kSuccess);
  EXPECT_EQ(create_completions(1, 16, place), kInvalidQueueId);
  EXPECT_EQ(
      execute(admin, {.opcode = kSetFeatures, .dword10 = kFeatureQueueCount, .dword11 = 0x70007}).status,
      kCommandSequenceError);
}

TEST_F(NvmeTest, Features) {
  start();
  EXPECT_EQ(
      execute(admin, {.opcode = kSetFeatures, .dword10 = kFeatureQueueCount, .dword11 = 0x10007}).dword0,
      0x10003u);
  EXPECT_EQ(admin_status({.opcode = kSetFeatures, .dword10 = kFeatureQueueCount, .dword11 = 0xffff}),
            kInvalidField);
  EXPECT_EQ(admin_status({.opcode = kSetFeatures, .dword10 = kFeatureArbitration, .dword11 = 0x1234}),
            kSuccess);
  EXPECT_EQ(execute(admin, {.opcode = kGetFeatures, .dword10 = kFeatureArbitration}).dword0, 0x1234u);
  EXPECT_EQ(execute(admin, {.opcode = kGetFeatures, .dword10 = kFeatureTemperature}).dword0, 343u);
  EXPECT_EQ(admin_status({.opcode = kSetFeatures, .dword10 = kFeaturePower, .dword11 = 1}), kInvalidField);
  EXPECT_EQ(admin_status({.opcode = kSetFeatures, .dword10 = kFeatureArbitration | 1u << 31}), kInvalidField);
  EXPECT_EQ(admin_status({.opcode = kGetFeatures, .dword10 = 0xc0}), kInvalidField);
  EXPECT_EQ(admin_status({.opcode = kSetFeatures, .dword10 = 0}), kInvalidField);
}

TEST_F(NvmeTest, LogPages) {
  start();
  for (const uint8_t page : {kLogErrors, kLogHealth, kLogFirmware, kLogEffects}) {
    EXPECT_EQ(
        admin_status(
            {.opcode = kGetLogPage, .prp1 = kData, .prp2 = kData + 4096, .dword10 = page | 0x3ffu << 16}),
        kSuccess);
  }
  EXPECT_EQ(admin_status({.opcode = kGetLogPage, .prp1 = kData, .dword10 = kLogEffects, .dword12 = 1024 + 4}),
            kSuccess);
  EXPECT_EQ(*memory->load<uint32_t>(kData), 3u);  // Write changes contents.
  EXPECT_EQ(admin_status({.opcode = kGetLogPage, .prp1 = kData, .dword10 = kLogHealth, .dword12 = 516}),
            kInvalidField);
  EXPECT_EQ(admin_status({.opcode = kGetLogPage, .prp1 = kData, .dword10 = kLogHealth, .dword13 = 1}),
            kInvalidField);
  EXPECT_EQ(admin_status({.opcode = kGetLogPage, .prp1 = kData, .dword10 = 0x70}), kInvalidLogPage);
}

TEST_F(NvmeTest, EventsAreToldOnRequest) {
  start();
  Queue queue = create(1);
  for (int i = 0; i < 4; ++i) add(admin, {.opcode = kAsynchronousEventRequest});
  ring(admin);
  EXPECT_EQ(admin_status({.opcode = kAsynchronousEventRequest}), kTooManyEventRequests);
  write(kDoorbells + 8, 16);  // Beyond the queue.
  Completion event = take(admin);
  EXPECT_EQ(event.status, kSuccess);
  EXPECT_EQ(event.dword0, 0x10100u);
  write(kDoorbells + 8 * 3, 0);  // Of no queue; masked until the log has been read.
  EXPECT_EQ(execute(queue, transfer(kRead, 0, 1, kData)).status, kSuccess);
  EXPECT_EQ(admin_status({.opcode = kGetLogPage, .prp1 = kData, .dword10 = kLogErrors}), kSuccess);
  write(kDoorbells + 8 * 3, 0);
  EXPECT_EQ(take(admin).dword0, 0x10000u);
  EXPECT_EQ(execute(admin, {.opcode = kAbort, .dword10 = 1}).dword0, 1u);
}

TEST_F(NvmeTest, AnotherSizeIsTold) {
  start();
  const auto log = [&](uint32_t flags) {
    EXPECT_EQ(
        admin_status(
            {.opcode = kGetLogPage, .prp1 = kData, .dword10 = kLogChangedNamespaces | 1u << 16 | flags}),
        kSuccess);
    return *memory->load<uint32_t>(kData);
  };
  add(admin, {.opcode = kAsynchronousEventRequest});
  ring(admin);
  disk->contents.resize(5 << 20);
  controller->size_changed();  // Not asked for yet.
  EXPECT_EQ(admin_status({.opcode = kSetFeatures, .dword10 = kFeatureEvents, .dword11 = kEventsOfNamespaces}),
            kSuccess);
  EXPECT_EQ(log(0), 1u);
  EXPECT_EQ(log(0), 0u);
  disk->contents.resize(8 << 20);
  controller->size_changed();
  EXPECT_EQ(take(admin).dword0, 0x40002u);
  EXPECT_EQ(
      admin_status({.opcode = kIdentify, .namespace_id = 1, .prp1 = kData, .dword10 = kIdentifyNamespace}),
      kSuccess);
  EXPECT_EQ(*memory->load<uint64_t>(kData), (uint64_t{8} << 20) / 512);
  Queue queue = create(1);
  EXPECT_EQ(execute(queue, transfer(kRead, (6 << 20) / 512, 1, kData)).status, kSuccess);

  // Once, until the log page has been read and not kept.
  add(admin, {.opcode = kAsynchronousEventRequest});
  ring(admin);
  controller->size_changed();
  EXPECT_EQ(log(1 << 15), 1u);
  EXPECT_EQ(log(0), 1u);
  controller->size_changed();
  EXPECT_EQ(take(admin).dword0, 0x40002u);
}

TEST_F(NvmeTest, DoorbellsMayLieInMemory) {
  start();
  const uint64_t shadow = 0x80000, events = 0x90000;
  EXPECT_EQ(admin_status({.opcode = kDoorbellBufferConfig, .prp1 = shadow + 4, .prp2 = events}),
            kInvalidPrpOffset);
  EXPECT_EQ(admin_status({.opcode = kDoorbellBufferConfig, .prp1 = shadow, .prp2 = kMemory}), kInvalidField);
  EXPECT_EQ(admin_status({.opcode = kDoorbellBufferConfig, .prp1 = shadow, .prp2 = events}), kSuccess);
  Queue queue = create(1, 8);
  const auto tail_event = [&] { return *memory->load<uint32_t>(events + 8); };
  for (unsigned i = 0; i < 40; ++i) {
    const uint16_t before = queue.tail;
    add(queue, transfer(kRead, i, 1, kData));
    ASSERT_TRUE(memory->store(shadow + 8, uint32_t{queue.tail}));
    std::atomic_thread_fence(std::memory_order_seq_cst);
    // As drivers decide whether the register needs writing.
    if (static_cast<uint16_t>(queue.tail - tail_event() - 1) < static_cast<uint16_t>(queue.tail - before) ||
        queue.tail < before) {
      ring(queue);
    }
    EXPECT_EQ(take(queue, false).status, kSuccess) << i;
    ASSERT_TRUE(memory->store(shadow + 12, uint32_t{queue.head}));
  }
  EXPECT_TRUE(eventually([&] { return tail_event() == queue.tail; }));
  // Nonsense ends the queue, and nothing else.
  ASSERT_TRUE(memory->store(shadow + 8, uint32_t{8}));
  write(kDoorbells + 8, 0);
  EXPECT_EQ(admin_status({.opcode = kDeleteSubmissionQueue, .dword10 = 1}), kSuccess);
}

TEST_F(NvmeTest, InterruptsByMessageOrPin) {
  struct Line final : bus::InterruptLine {
    void set(bool asserted) override { up = asserted; }
    std::atomic<bool> up = false;
  } line;
  start();
  controller->connect_interrupt(&line, 5);
  EXPECT_EQ(admin_status({.opcode = kIdentify, .prp1 = kData, .dword10 = kIdentifyController}), kSuccess);
  EXPECT_TRUE(eventually([&] { return !line.up; }));
  add(admin, {.opcode = kIdentify, .prp1 = kData, .dword10 = kIdentifyController});
  ring(admin);
  EXPECT_TRUE(eventually([&] { return line.up.load(); }));
  write(kInterruptMaskSet, 1);
  EXPECT_FALSE(line.up);
  write(kInterruptMaskClear, 1);
  EXPECT_TRUE(line.up);
  EXPECT_EQ(take(admin).status, kSuccess);
  EXPECT_FALSE(line.up);
  use_messages();
  Queue queue = create(2);
  EXPECT_TRUE(eventually([&] { return messages.counts[0] >= 2; }));
  EXPECT_EQ(execute(queue, transfer(kRead, 0, 1, kData)).status, kSuccess);
  EXPECT_TRUE(eventually([&] { return messages.counts[2] == 1; }));
}

TEST_F(NvmeTest, RefusesToStartWithNonsense) {
  make();
  const auto starts = [&](uint32_t configuration, uint32_t attributes, uint32_t submissions,
                          uint32_t completions) {
    write(kConfiguration, 0);
    write(kAdminQueueAttributes, attributes);
    write(kAdminSubmissionQueue, submissions);
    write(kAdminCompletionQueue, completions);
    write(kConfiguration, configuration);
    return read(kStatus);
  };
  constexpr uint32_t kFits = 0x1f001f;
  EXPECT_EQ(starts(0x460001, kFits, 0x10000, 0x20000), kStatusReady);
  EXPECT_EQ(starts(0x460001 | 1 << 7, kFits, 0x10000, 0x20000), kStatusFatal);
  EXPECT_EQ(starts(0x460001 | 1 << 4, kFits, 0x10000, 0x20000), kStatusFatal);
  EXPECT_EQ(starts(0x470001, kFits, 0x10000, 0x20000), kStatusFatal);
  EXPECT_EQ(starts(0x560001, kFits, 0x10000, 0x20000), kStatusFatal);
  EXPECT_EQ(starts(0x460001, 0x1f0000, 0x10000, 0x20000), kStatusFatal);
  EXPECT_EQ(starts(0x460001, 0x00001f, 0x10000, 0x20000), kStatusFatal);
  EXPECT_EQ(starts(0x460001, kFits, 0xfffff000, 0x20000), kStatusFatal);
  EXPECT_EQ(starts(0x460001, kFits, 0x10000, kMemory), kStatusFatal);
  write(kDoorbells, 1);
  write(kDoorbells + 4, 1);
  write(kDoorbells + 8, 1);
  std::byte byte{};
  EXPECT_EQ(controller->write_bar(0, kConfiguration, std::span(&byte, 1)), bus::Access::bad_size);
  EXPECT_EQ(controller->read_bar(0, kConfiguration + 2, std::span(&byte, 1)), bus::Access::done);
  EXPECT_EQ(byte, std::byte{0x46});
}

TEST_F(NvmeTest, PauseAndResetDrain) {
  start();
  Queue queue = create(1);
  controller->pause();
  add(queue, transfer(kRead, 0, 1, kData));
  ring(queue);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(memory->load<Completion>(queue.completions)->status & 1, 0);
  controller->resume();
  EXPECT_EQ(take(queue).status, kSuccess);
  for (int round = 0; round < 3; ++round) {
    for (uint32_t i = 0; i < 10; ++i) add(queue, transfer(kWrite, i, 1, kData));
    ring(queue);
    round == 1 ? write(kConfiguration, 0) : controller->reset();
    EXPECT_EQ(read(kStatus), 0u);
    const int flushes = disk->flushes;
    enable();
    queue = create(1);
    EXPECT_EQ(execute(queue, transfer(kWrite, 0, 1, kData)).status, kSuccess);
    EXPECT_EQ(disk->flushes, flushes);
  }
}

}  // namespace
}  // namespace alcove::devices::nvme
