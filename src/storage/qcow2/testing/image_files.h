#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "storage/qcow2/check.h"
#include "storage/qcow2/create.h"
#include "storage/qcow2/image.h"

namespace alcove::storage::qcow2::testing {

using Bytes = std::vector<std::byte>;

inline Bytes random_bytes(size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  Bytes bytes(size);
  for (size_t at = 0; at < size; at += 8) {
    const uint64_t number = random();
    std::memcpy(&bytes[at], &number, std::min<size_t>(8, size - at));
  }
  return bytes;
}

inline IoResult write(Disk& disk, uint64_t offset, Bytes data) {
  const iovec buffer{data.data(), data.size()};
  return disk.write(offset, {&buffer, 1});
}

inline Bytes read(Disk& disk, uint64_t offset, size_t size) {
  Bytes data(size, std::byte{0xee});
  const iovec buffer{data.data(), data.size()};
  const IoResult done = disk.read(offset, {&buffer, 1});
  EXPECT_TRUE(done) << (done ? 0 : done.error());
  return data;
}

// Without waiting for the medium, which takes long where it is a disk.
inline constexpr ImageFileOptions kFast{.synchronization = DiskImageSynchronizationMode::none};
inline constexpr ImageFileOptions kReadOnly{.read_only = true};

// A folder of its own in the working directory, for images.
struct ImageFiles {
  std::string folder = [] {
    std::string name = "qcow2_test.XXXXXX";
    return std::string(mkdtemp(name.data()));
  }();
  ImageFiles() = default;
  ImageFiles(const ImageFiles&) = delete;
  ~ImageFiles() { std::filesystem::remove_all(folder); }

  std::string path(const std::string& name = "disk.qcow2") const { return folder + "/" + name; }
  static std::unique_ptr<ImageFile> file(const std::string& path, const ImageFileOptions& options = kFast) {
    UniqueFd fd(::open(path.c_str(), (options.read_only ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC, 0666));
    auto opened = ImageFile::create(std::move(fd), options, "path");
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message());
    return opened ? *std::move(opened) : nullptr;
  }
  static std::unique_ptr<Image> open(const std::string& path, std::unique_ptr<Disk> backing = nullptr,
                                     const ImageFileOptions& options = kFast) {
    auto opened = Image::create(file(path, options), std::move(backing), "path");
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message());
    return opened ? *std::move(opened) : nullptr;
  }
  static void create(const std::string& path, const CreateOptions& options) {
    const auto made = create_image(*file(path), options, "path");
    EXPECT_TRUE(made) << (made ? "" : made.error().message());
  }
};

inline CheckReport checked(const std::string& path, const CheckOptions& options = {}) {
  const auto file = ImageFiles::file(path);
  const auto header = read_header(*file, "path");
  EXPECT_TRUE(header) << (header ? "" : header.error().message());
  if (!header) return {.errors = 1};
  const auto report = check(*file, *header, options, "path");
  EXPECT_TRUE(report) << (report ? "" : report.error().message());
  return report ? *report : CheckReport{.errors = 1};
}

// Our check and qemu-img's, if there is one here, find nothing.
inline void expect_clean(const std::string& path) {
  const CheckReport report = checked(path);
  EXPECT_EQ(report.errors, 0u) << (report.messages.empty() ? "" : report.messages.front());
  EXPECT_EQ(report.leaks, 0u);
  if (std::system("command -v qemu-img >/dev/null") != 0) return;
  EXPECT_EQ(std::system(("qemu-img check -q -f qcow2 " + path).c_str()), 0);
}

inline bool run(const std::string& command) {
  return std::system((command + " >/dev/null").c_str()) == 0;
}

inline bool has_qemu_img() {
  return run("command -v qemu-img");
}

}  // namespace alcove::storage::qcow2::testing
