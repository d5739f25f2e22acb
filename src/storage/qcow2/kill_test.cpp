// A process that writes an image is killed at any moment: the image is sound, but for clusters that are
// counted and not used, and all that was written is there; where the image is synchronized, all that was
// flushed, and of what was written since any part. ALCOVE_QCOW2_KILLS says how often, for long runs.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <cstring>

#include "storage/qcow2/testing/image_files.h"

namespace alcove::storage::qcow2 {
namespace {

using namespace testing;

constexpr uint64_t kDiskSize = 12 << 20;

// The same requests each time, as told by their number.
struct Request {
  explicit Request(uint64_t number) {
    std::mt19937_64 random(number);
    kind = random() % 8;
    offset = random() % (kDiskSize / 512) * 512;
    size = std::min((1 + random() % 300) * 512, kDiskSize - offset);
    seed = static_cast<unsigned>(random());
  }
  IoResult perform(Disk& disk) const {
    if (kind == 0) return disk.write_zeroes(offset, size, true);
    if (kind == 1) return disk.flush();
    return write(disk, offset, data());
  }
  Bytes data() const { return kind == 0 ? Bytes(size) : random_bytes(size, seed); }
  void perform(Bytes& contents) const {
    if (kind != 1) std::ranges::copy(data(), contents.begin() + static_cast<ptrdiff_t>(offset));
  }
  bool covers(uint64_t at) const { return kind != 1 && at >= offset && at < offset + size; }
  uint64_t kind, offset, size;
  unsigned seed;
};

struct Qcow2Kill : ::testing::TestWithParam<DiskImageSynchronizationMode> {};

TEST_P(Qcow2Kill, LeavesASoundImageWithAllThatWasWritten) {
  ImageFiles files;
  const std::string path = files.path();
  auto* done = static_cast<std::atomic<uint64_t>*>(mmap(
      nullptr, sizeof(std::atomic<uint64_t>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(done, MAP_FAILED);
  const char* wanted = std::getenv("ALCOVE_QCOW2_KILLS");
  const int kills = wanted ? std::atoi(wanted) : 8;
  std::mt19937 random(static_cast<unsigned>(kills));
  ImageFiles::create(path, {.size = kDiskSize, .cluster_size = 4096});
  Bytes contents(kDiskSize);
  const bool is_synchronized = GetParam() != DiskImageSynchronizationMode::none;
  uint64_t applied = 0;
  uint64_t leaks = 0;
  for (int i = 0; i < kills; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      const auto image = ImageFiles::open(path, nullptr, {.synchronization = GetParam()});
      for (uint64_t number = done->load();; ++number) {
        if (!Request(number).perform(*image)) _exit(1);
        done->store(number + 1);
      }
    }
    usleep(2000 + random() % 60000);
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it failed before it was killed";
    const CheckReport report = checked(path);
    ASSERT_EQ(report.errors, 0u) << report.messages.front();
    leaks += report.leaks;
    if (has_qemu_img()) {
      const int result = std::system(("qemu-img check -q -f qcow2 " + path + " >/dev/null 2>&1").c_str());
      ASSERT_TRUE(WEXITSTATUS(result) == 0 || WEXITSTATUS(result) == 3) << result;  // 3: leaks.
    }
    // What may be lost, or be there in part: the request that was under way, and if the image is
    // synchronized those since the last flush.
    Bytes before = contents;
    std::vector<Request> unsure;
    for (; applied < done->load(); ++applied) {
      const Request request(applied);
      request.perform(contents);
      if (!is_synchronized || request.kind == 1) {
        unsure.clear();
        before = contents;
      } else {
        unsure.push_back(request);
      }
    }
    unsure.emplace_back(applied);
    std::vector<Bytes> data;
    for (const Request& request : unsure) data.push_back(request.data());
    const Bytes found = read(*ImageFiles::open(path), 0, kDiskSize);
    for (uint64_t at = 0; at < kDiskSize; at += 512) {
      bool is_right = std::memcmp(&found[at], &before[at], 512) == 0;
      for (size_t n = 0; n < unsure.size() && !is_right; ++n)
        is_right = unsure[n].covers(at) && std::memcmp(&found[at], &data[n][at - unsure[n].offset], 512) == 0;
      ASSERT_TRUE(is_right) << "at " << at << " after " << applied;
    }
    contents = found;
  }
  EXPECT_GT(applied, 0u);
  RecordProperty("requests", static_cast<int>(applied));
  RecordProperty("leaks", static_cast<int>(leaks));
  checked(path, {.repair_leaks = true});
  expect_clean(path);
}

INSTANTIATE_TEST_SUITE_P(Modes, Qcow2Kill,
                         ::testing::Values(DiskImageSynchronizationMode::none,
                                           DiskImageSynchronizationMode::fsync),
                         [](const auto& param) {
                           return param.param == DiskImageSynchronizationMode::none ? "None" : "Fsync";
                         });

}  // namespace
}  // namespace alcove::storage::qcow2
