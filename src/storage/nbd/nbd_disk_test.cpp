// Against nbdkit, which is killed and started again under way.
#include "storage/nbd/nbd_disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "support/testing/temporary_folder.h"

namespace alcove::storage {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;

class Server {
 public:
  explicit Server(std::vector<std::string> arguments) : arguments_(std::move(arguments)) {}
  ~Server() { kill(); }
  static bool exists() { return std::system("command -v nbdkit >/dev/null") == 0; }
  void start() {
    std::filesystem::remove(socket());
    std::vector<char*> argv{const_cast<char*>("nbdkit"), const_cast<char*>("-f"), const_cast<char*>("-U")};
    std::string path = socket(), ready = file("ready");
    std::filesystem::remove(ready);
    argv.insert(argv.end(), {path.data(), const_cast<char*>("-P"), ready.data()});
    for (std::string& argument : arguments_) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      execvp("nbdkit", argv.data());
      _exit(127);
    }
    for (int i = 0; i < 1000 && !std::filesystem::exists(ready); ++i) usleep(5000);
  }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  std::string socket() const { return (folder_.path() / "socket").string(); }
  std::string file(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string url() const { return "nbd+unix:///?socket=" + socket(); }
  std::vector<std::string> arguments_;

 private:
  TemporaryFolder folder_;
  pid_t pid_ = -1;
};

IoResult write(Disk& disk, uint64_t offset, Bytes data) {
  const iovec buffers[] = {{data.data(), 100}, {data.data() + 100, data.size() - 100}};
  return disk.write(offset, buffers);
}

Bytes read(Disk& disk, uint64_t offset, size_t size) {
  Bytes data(size);
  const iovec buffers[] = {{data.data(), 100}, {data.data() + 100, size - 100}};
  EXPECT_TRUE(disk.read(offset, buffers));
  return data;
}

Bytes contents_of(const std::string& path, size_t size) {
  Bytes data(size);
  std::ifstream(path, std::ios::binary)
      .read(reinterpret_cast<char*>(data.data()), static_cast<std::streamsize>(size));
  return data;
}

constexpr const char* kWrite =
    "dd status=none of=cache conv=notrunc iflag=fullblock oflag=seek_bytes seek=$4 bs=$3 count=1";
constexpr const char* kRefuse = "echo ENOSPC full >&2; exit 1";

struct Nbd : ::testing::Test {
  Server server{{}};
  void SetUp() override {
    if (!Server::exists()) GTEST_SKIP() << "there is no nbdkit (package nbdkit)";
  }
  // Counts how often the disk has given up.
  Result<std::unique_ptr<NbdDisk>> connect_counting(std::atomic<int>& failures,
                                                    std::chrono::milliseconds timeout,
                                                    unsigned most_failures) {
    return NbdDisk::create({.url = server.url(),
                            .timeout = timeout,
                            .most_failures = most_failures,
                            .first_pause = 1ms,
                            .failed = [&](const Error&) { ++failures; }},
                           "attachment.url");
  }
  void serve_file(std::vector<std::string> more = {}) {
    const UniqueFd file(open(server.file("disk").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666));
    ASSERT_EQ(ftruncate(file.get(), 16 << 20), 0);
    server.arguments_ = {"file", server.file("disk")};
    server.arguments_.insert(server.arguments_.begin(), more.begin(), more.end());
    server.start();
  }
  // Which loses with the server what is not flushed.
  void serve_with_cache() {
    serve_file();
    server.kill();
    server.arguments_ = {"--filter=cache", "file", server.file("disk"), "cache=writeback"};
    server.start();
  }
  // 64 KiB, with files for the server's cache and its medium.
  void serve_scripts(std::map<std::string, std::string> scripts) {
    scripts.insert({{"get_size", "echo 65536"},
                    {"can_write", "exit 0"},
                    {"can_flush", "exit 0"},
                    {"pread", "dd status=none if=cache iflag=skip_bytes,count_bytes skip=$4 count=$3"},
                    {"pwrite", kWrite},
                    {"flush", "cp cache medium"}});
    server.arguments_ = {"eval"};
    for (const auto& [method, script] : scripts) {
      server.arguments_.push_back(method + "=cd " + server.file("") + "; " + script);
    }
    for (const char* name : {"cache", "medium"}) {
      const UniqueFd file(open(server.file(name).c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666));
      ASSERT_EQ(ftruncate(file.get(), 64 << 10), 0);
    }
    server.start();
  }
};

TEST_F(Nbd, IsADiskLikeAnyOther) {
  serve_file();
  auto disk = NbdDisk::create({.url = server.url()}, "attachment.url");
  ASSERT_TRUE(disk) << disk.error().message();
  EXPECT_EQ((*disk)->size(), 16u << 20);
  EXPECT_FALSE((*disk)->is_read_only());
  const Bytes data(9 << 20, std::byte{7});  // More than goes into one request.
  ASSERT_TRUE(write(**disk, 512, data));
  EXPECT_EQ(read(**disk, 512, data.size()), data);
  EXPECT_EQ(read(**disk, 10 << 20, 512), Bytes(512));
  ASSERT_TRUE((*disk)->flush());
  ASSERT_TRUE((*disk)->write_zeroes(1 << 20, 1 << 20, true));
  ASSERT_TRUE((*disk)->discard(3 << 20, 1 << 20));
  EXPECT_EQ(read(**disk, 1 << 20, 1 << 20), Bytes(1 << 20));
  EXPECT_EQ(read(**disk, 2 << 20, 1 << 20), Bytes(1 << 20, std::byte{7}));
}

TEST_F(Nbd, AServerThatDiesIsWaitedForAndRequestsAreMadeAgain) {
  serve_with_cache();
  std::atomic<int> connections = 0;
  auto disk = NbdDisk::create({.url = server.url(), .first_pause = 20ms, .connected = [&] { ++connections; }},
                              "attachment.url");
  ASSERT_TRUE(disk);
  std::atomic<uint64_t> done = 0;
  std::vector<std::jthread> threads;
  for (uint64_t number = 0; number < 3; ++number) {
    threads.emplace_back([&, number] {
      std::mt19937 random(static_cast<unsigned>(number));
      for (uint64_t round = 0; round < 400; ++round) {
        const uint64_t offset = (round % 100 * 3 + number) * 4096;
        ASSERT_TRUE(write(**disk, offset, Bytes(4096, static_cast<std::byte>(round + number))));
        ASSERT_EQ(read(**disk, offset, 4096), Bytes(4096, static_cast<std::byte>(round + number)));
        ++done;
        if (round % 50 == 0) {
          ASSERT_TRUE((*disk)->flush());
        }
      }
    });
  }
  int kills = 0;
  for (uint64_t before = 0; done < 1100 && kills < 8 && !HasFailure(); before = done) {
    while (done < before + 100 && done < 1100 && !HasFailure()) usleep(1000);
    server.kill();
    ++kills;
    usleep(20000);
    server.start();
  }
  threads.clear();
  EXPECT_EQ(done, 1200u);
  EXPECT_GE(connections, 1 + kills / 2);
  EXPECT_GT(kills, 2);
  server.kill();
  server.start();
  for (uint64_t round = 300; round < 400; ++round) {
    for (uint64_t number = 0; number < 3; ++number)
      EXPECT_EQ(read(**disk, (round % 100 * 3 + number) * 4096, 4096),
                Bytes(4096, static_cast<std::byte>(round + number)));
  }
}

TEST_F(Nbd, WhatAServerLosesThatDiesIsWrittenAgain) {
  serve_with_cache();
  auto disk = NbdDisk::create({.url = server.url(), .first_pause = 5ms}, "attachment.url");
  ASSERT_TRUE(disk) << disk.error().message();
  Bytes expected(1 << 20);
  std::mt19937 random(1);
  for (int round = 0; round < 6; ++round) {
    for (int number = 0; number < 300; ++number) {
      const uint64_t offset = random() % 2000 * 512, size = 512 * (1 + random() % 40);
      const auto from = expected.begin() + static_cast<ptrdiff_t>(offset);
      if (random() % 4 == 0) {
        ASSERT_TRUE((*disk)->write_zeroes(offset, size, random() % 2));
        std::fill_n(from, size, std::byte{0});
      } else {
        const Bytes data(size, static_cast<std::byte>(random()));
        ASSERT_TRUE(write(**disk, offset, data));
        std::ranges::copy(data, from);
      }
      if (random() % 150 == 0) {
        ASSERT_TRUE((*disk)->flush());
      }
    }
    server.kill();
    server.start();
    ASSERT_EQ(read(**disk, 0, expected.size()), expected) << round;
  }
  // Also those that were written again are safe only now.
  ASSERT_TRUE((*disk)->flush());
  server.kill();
  server.start();
  EXPECT_EQ(read(**disk, 0, expected.size()), expected);
  server.kill();
  EXPECT_EQ(contents_of(server.file("disk"), expected.size()), expected);
}

TEST_F(Nbd, FlushesByItselfBeforeItKeepsTooMuch) {
  serve_with_cache();
  auto disk = NbdDisk::create({.url = server.url(), .most_unflushed = 1 << 20}, "attachment.url");
  ASSERT_TRUE(disk) << disk.error().message();
  ASSERT_TRUE(write(**disk, 0, Bytes(512 << 10, std::byte{1})));
  EXPECT_EQ(contents_of(server.file("disk"), 512), Bytes(512));
  ASSERT_TRUE(write(**disk, 512 << 10, Bytes(512 << 10, std::byte{1})));
  server.kill();
  EXPECT_EQ(contents_of(server.file("disk"), 1 << 20), Bytes(1 << 20, std::byte{1}));
}

TEST_F(Nbd, RangesWithoutDataCountTowardsWhatIsKept) {
  serve_with_cache();
  auto disk = NbdDisk::create({.url = server.url(), .most_unflushed = 32 << 10}, "attachment.url");
  ASSERT_TRUE(disk) << disk.error().message();
  ASSERT_TRUE(write(**disk, 0, Bytes(4096, std::byte{1})));
  EXPECT_EQ(contents_of(server.file("disk"), 4096), Bytes(4096));
  ASSERT_TRUE((*disk)->write_zeroes(1 << 20, 12 << 20, true));
  EXPECT_EQ(contents_of(server.file("disk"), 4096), Bytes(4096, std::byte{1}));
}

// One after another, each in the time for one, all together not.
TEST_F(Nbd, WhatIsWrittenAgainNeedNotAllBeWrittenInTheTimeForOne) {
  serve_file();
  std::atomic<int> failures = 0;
  auto disk = connect_counting(failures, 1s, 2);
  ASSERT_TRUE(disk) << disk.error().message();
  for (uint64_t i = 0; i < 12; ++i) {
    ASSERT_TRUE(write(**disk, i << 20, Bytes(1 << 20, static_cast<std::byte>(i))));
  }
  server.kill();
  server.arguments_ = {"--filter=noparallel", "--filter=delay",     "file",
                       server.file("disk"),   "serialize=requests", "wdelay=150ms"};
  server.start();
  EXPECT_EQ(read(**disk, 11 << 20, 4096), Bytes(4096, std::byte{11}));
  EXPECT_EQ(failures, 0);
}

TEST_F(Nbd, RangesAreZeroedAgainOneAfterAnother) {
  server.arguments_ = {"null", "16G"};
  server.start();
  std::atomic<int> failures = 0;
  auto disk = connect_counting(failures, 1s, 2);
  ASSERT_TRUE(disk) << disk.error().message();
  ASSERT_TRUE((*disk)->write_zeroes(0, 12ULL << 30, true));
  server.kill();
  server.arguments_ = {"--filter=noparallel", "--filter=delay",  "null", "16G",
                       "serialize=requests",  "delay-zero=150ms"};
  server.start();
  EXPECT_EQ(read(**disk, 0, 4096), Bytes(4096));
  EXPECT_EQ(failures, 0);
}

TEST_F(Nbd, ConnectionsThatGetFurtherEachTimeAreNotFailuresInARow) {
  serve_scripts({});
  std::atomic<int> failures = 0;
  auto disk = NbdDisk::create({.url = server.url(),
                               .most_failures = 2,
                               .first_pause = 1ms,
                               .failed = [&](const Error&) { ++failures; }},
                              "attachment.url");
  ASSERT_TRUE(disk) << disk.error().message();
  for (uint64_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(write(**disk, i * 4096, Bytes(4096, static_cast<std::byte>(i + 1))));
  }
  server.kill();
  // Each connection takes one write more than the one before.
  serve_scripts({{"open", "echo >>opened; cp opened left$$; echo left$$"},
                 {"pwrite", std::string("[ -s $2 ] || { ") + kRefuse + "; }; truncate -s -1 $2; " + kWrite}});
  EXPECT_EQ(read(**disk, 4 * 4096, 4096), Bytes(4096, std::byte{5}));
  EXPECT_EQ(failures, 0);
}

// As Linux does: what can't be written to the medium is dropped, only one of those that wait for it hears of
// that, and the next time there is nothing to write.
constexpr const char* kFlushThatFailsOnce =
    "if [ -e failed ]; then cp cache medium; exit; fi;"
    "mkdir flushing 2>/dev/null || exit 0;"
    "sleep 0.3; cp medium cache; touch failed; echo ENOSPC full >&2; exit 1";

TEST_F(Nbd, WhatAFlushThatFailsLosesIsWrittenAgain) {
  serve_scripts({{"flush", kFlushThatFailsOnce}});
  auto disk = NbdDisk::create({.url = server.url(), .first_pause = 1ms}, "attachment.url");
  ASSERT_TRUE(disk) << disk.error().message();
  ASSERT_TRUE(write(**disk, 4096, Bytes(4096, std::byte{1})));
  if (!(*disk)->flush()) {
    EXPECT_FALSE((*disk)->flush()) << "without what the first one lost";
    return;
  }
  EXPECT_EQ(contents_of(server.file("medium"), 8192)[4096], std::byte{1});
}

TEST_F(Nbd, AFlushDoesNotSucceedBesideOneThatFails) {
  serve_scripts({{"thread_model", "echo parallel"}, {"flush", kFlushThatFailsOnce}});
  auto disk = NbdDisk::create({.url = server.url(), .first_pause = 1ms}, "attachment.url");
  ASSERT_TRUE(disk) << disk.error().message();
  ASSERT_TRUE(write(**disk, 4096, Bytes(4096, std::byte{1})));
  std::jthread other([&] { EXPECT_TRUE((*disk)->flush()); });
  EXPECT_TRUE((*disk)->flush());
  other.join();
  EXPECT_EQ(contents_of(server.file("medium"), 8192)[4096], std::byte{1});
}

TEST_F(Nbd, AServerThatCanNeverFlushIsGivenUp) {
  serve_scripts({{"flush", kRefuse}});
  std::atomic<int> failures = 0;
  auto disk = NbdDisk::create({.url = server.url(),
                               .most_failures = 3,
                               .first_pause = 1ms,
                               .failed = [&](const Error&) { ++failures; }},
                              "attachment.url");
  ASSERT_TRUE(disk) << disk.error().message();
  ASSERT_TRUE(write(**disk, 4096, Bytes(4096, std::byte{1})));
  EXPECT_FALSE((*disk)->flush());
  EXPECT_EQ(failures, 1);
  server.kill();
  serve_scripts({});
  EXPECT_FALSE((*disk)->flush()) << "what the first one covered is lost";
}

TEST_F(Nbd, WithoutSynchronizationNothingIsKept) {
  serve_with_cache();
  auto disk = NbdDisk::create({.url = server.url(),
                               .synchronization = DiskImageSynchronizationMode::none,
                               .first_pause = 5ms,
                               .most_unflushed = 512},
                              "attachment.url");
  ASSERT_TRUE(disk) << disk.error().message();
  ASSERT_TRUE(write(**disk, 0, Bytes(4096, std::byte{1})));
  ASSERT_TRUE((*disk)->flush());
  server.kill();
  server.start();
  EXPECT_EQ(read(**disk, 0, 4096), Bytes(4096));
}

TEST_F(Nbd, GivesUpAfterSomeTriesAndSaysSo) {
  serve_file();
  std::atomic<int> failures = 0;
  auto disk = NbdDisk::create({.url = server.url(),
                               .most_failures = 3,
                               .first_pause = 5ms,
                               .failed = [&](const Error&) { ++failures; }},
                              "attachment.url");
  ASSERT_TRUE(disk);
  server.kill();
  const IoResult done = write(**disk, 0, Bytes(4096));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error(), EIO);
  // From then on, too.
  server.start();
  EXPECT_FALSE(write(**disk, 0, Bytes(4096)));
  EXPECT_EQ(failures, 1);
}

TEST_F(Nbd, WhoeverEndsDoesNotWaitForAServerThatIsGone) {
  serve_file();
  std::atomic<int> failures = 0;
  auto disk = NbdDisk::create({.url = server.url(),
                               .most_failures = 1'000'000,  // Else for ever.
                               .failed = [&](const Error&) { ++failures; }},
                              "attachment.url");
  ASSERT_TRUE(disk);
  server.kill();
  std::jthread writer([&] { EXPECT_FALSE(write(**disk, 0, Bytes(4096))); });
  std::this_thread::sleep_for(300ms);
  (*disk)->abandon();
  writer.join();
  EXPECT_FALSE(write(**disk, 0, Bytes(4096)));
  EXPECT_EQ(failures, 0) << "which nobody needs to hear of";
}

TEST_F(Nbd, WhatAServerStillDoesCountsAtTheEnd) {
  serve_file();
  auto disk = NbdDisk::create({.url = server.url()}, "attachment.url");
  ASSERT_TRUE(disk);
  (*disk)->abandon();
  EXPECT_TRUE(write(**disk, 0, Bytes(4096, std::byte{3})));
  EXPECT_EQ(read(**disk, 0, 4096), Bytes(4096, std::byte{3}));
}

TEST_F(Nbd, AnErrorOfTheServersIsTriedAgainOnAnotherConnection) {
  serve_file();
  server.kill();
  server.arguments_ = {"--filter=error", "file", server.file("disk"), "error-pwrite-rate=30%", "error=EIO"};
  server.start();
  auto disk =
      NbdDisk::create({.url = server.url(), .most_failures = 50, .first_pause = 1ms}, "attachment.url");
  ASSERT_TRUE(disk) << disk.error().message();
  for (uint64_t i = 0; i < 50; ++i) ASSERT_TRUE(write(**disk, i * 4096, Bytes(4096, std::byte{1}))) << i;
}

TEST_F(Nbd, ARequestThatTakesTooLongIsMadeAgain) {
  serve_file();
  server.kill();
  server.arguments_ = {"--filter=delay", "file", server.file("disk"), "rdelay=500ms"};
  server.start();
  std::atomic<int> failures = 0;
  auto disk = connect_counting(failures, 150ms, 2);
  ASSERT_TRUE(disk) << disk.error().message();
  Bytes data(4096);
  const iovec buffer{data.data(), data.size()};
  EXPECT_FALSE((*disk)->read(0, {&buffer, 1}));
  EXPECT_EQ(failures, 1);
}

TEST_F(Nbd, ReadOnlyIsWhatTheServerOrTheCallerSays) {
  serve_file({"-r"});
  EXPECT_TRUE((*NbdDisk::create({.url = server.url()}, ""))->is_read_only());
  server.kill();
  serve_file();
  EXPECT_TRUE((*NbdDisk::create({.url = server.url(), .forced_read_only = true}, ""))->is_read_only());
}

TEST_F(Nbd, NobodyThereIsAnErrorThatNamesTheField) {
  const auto disk = NbdDisk::create({.url = "nbd+unix:///?socket=/nonexistent/socket"}, "attachment.url");
  ASSERT_FALSE(disk);
  EXPECT_EQ(disk.error().code, ErrorCode::network_error);
  EXPECT_EQ(disk.error().where, "attachment.url");
}

}  // namespace
}  // namespace alcove::storage
