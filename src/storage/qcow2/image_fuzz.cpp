// An image whose tables say anything: a sound one with some of its bytes changed, as the input says.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "storage/qcow2/check.h"
#include "storage/qcow2/create.h"
#include "storage/qcow2/image.h"

namespace {

using namespace alcove;
using namespace alcove::storage;

constexpr uint64_t kDiskSize = 96 << 10;

std::unique_ptr<ImageFile> file_of(int fd) {
  return *ImageFile::create(UniqueFd(dup(fd)), {.synchronization = DiskImageSynchronizationMode::none}, "");
}

std::vector<std::byte> make_image() {
  const UniqueFd fd(memfd_create("image", 0));
  const auto made = qcow2::create_image(*file_of(fd.get()), {.size = kDiskSize, .cluster_size = 512}, "");
  if (!made) __builtin_trap();
  {
    auto image = *qcow2::Image::create(file_of(fd.get()), nullptr, "");
    std::vector<std::byte> data(2048, std::byte{7});
    const iovec buffer{data.data(), data.size()};
    if (!image->write(1024, {&buffer, 1}) || !image->write(48 << 10, {&buffer, 1})) __builtin_trap();
    if (!image->write_compressed(8192, std::span(data).first(512))) __builtin_trap();
    if (!image->write_zeroes(512, 512, true)) __builtin_trap();
  }
  std::vector<std::byte> bytes(static_cast<size_t>(lseek(fd.get(), 0, SEEK_END)));
  if (pread(fd.get(), bytes.data(), bytes.size(), 0) < 0) __builtin_trap();
  return bytes;
}

void use(qcow2::Image& image) {
  const uint64_t size = std::min(image.size(), kDiskSize);
  std::vector<std::byte> data(size, std::byte{1});
  const iovec all{data.data(), data.size()}, sector{data.data(), 512};
  (void)image.read(0, {&all, 1});
  (void)image.try_read(0, {&sector, 1});
  for (const uint64_t offset :
       {uint64_t{0}, uint64_t{1536}, uint64_t{8192}, uint64_t{60 << 10}, size - 512}) {
    if (offset + 512 > size) continue;
    (void)image.write(offset, {&sector, 1});
  }
  (void)image.discard(size / 2 / 512 * 512, size / 4 / 512 * 512);
  (void)image.write_zeroes(0, size / 4 / 512 * 512, true);
  (void)image.flush();
  (void)image.resize(image.size() + (64 << 10), false, "");
  (void)image.write(0, {&all, 1});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<std::byte> sound = make_image();
  constexpr size_t kPatch = 10;  // 2 bytes of where, 8 of what.
  std::vector<std::byte> bytes = sound;
  for (; size >= kPatch; data += kPatch, size -= kPatch) {
    uint16_t at = 0;
    std::memcpy(&at, data, sizeof at);
    // The beginning of a file is read first, and so most worth changing.
    const size_t where = at & 1 ? at / 2 % 112 : at / 2 % (bytes.size() - 8);
    std::memcpy(&bytes[where], data + 2, 8);
  }
  const UniqueFd fd(memfd_create("image", 0));
  if (pwrite(fd.get(), bytes.data(), bytes.size(), 0) < 0) return 0;
  const auto header = qcow2::read_header(*file_of(fd.get()), "");
  if (!header) return 0;
  (void)qcow2::make_header(*header, "");
  (void)qcow2::check(*file_of(fd.get()), *header, {}, "");
  if (auto image = qcow2::Image::create(file_of(fd.get()), nullptr, "")) use(**image);
  const auto after = qcow2::read_header(*file_of(fd.get()), "");
  if (!after) return 0;
  (void)qcow2::check(*file_of(fd.get()), *after, {.repair_leaks = true, .repair_errors = true}, "");
  return 0;
}
