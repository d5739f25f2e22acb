#include "storage/stack.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "storage/cache_layer.h"
#include "storage/guarded_disk.h"
#include "storage/identity.h"
#include "storage/qcow2/image.h"
#include "storage/raw_image.h"
#include "storage/transfer.h"

namespace alcove::storage {

namespace {

constexpr size_t kBlock = 4096;  // What any O_DIRECT descriptor takes.

}  // namespace

std::expected<DiskImageFormat, int> detect_format(int fd) {
  const AlignedBuffer start = allocate_aligned(kBlock, kBlock);
  if (!start) return std::unexpected(ENOMEM);
  ssize_t count = 0;
  do {
    count = pread(fd, start.get(), kBlock, 0);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return std::unexpected(errno);
  return qcow2::has_magic({start.get(), static_cast<size_t>(count)}) ? DiskImageFormat::qcow2
                                                                     : DiskImageFormat::raw;
}

Result<DiskImageFormat> format_of(int fd, DiskImageFormat stated, const std::string& where) {
  if (stated != DiskImageFormat::automatic) return stated;
  const auto found = detect_format(fd);
  if (found) return *found;
  return fail(ErrorCode::invalid_disk_image, where,
              fmt::format("can't be read: {}", std::strerror(found.error())));
}

Result<BackingFile> backing_file_of(int fd, DiskImageFormat format, const std::string& where) {
  if (format != DiskImageFormat::qcow2) return BackingFile{};
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  const bool is_direct = (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
  auto file = ImageFile::create(
      std::move(copy),
      {.read_only = true,
       .caching = is_direct ? DiskImageCachingMode::uncached : DiskImageCachingMode::automatic},
      where);
  if (!file) return std::unexpected(std::move(file.error()));
  const auto header = qcow2::read_header(**file, where);
  if (!header) return std::unexpected(header.error());
  BackingFile backing{.name = header->backing_file};
  if (header->backing_format == "raw") backing.format = DiskImageFormat::raw;
  if (header->backing_format == "qcow2") backing.format = DiskImageFormat::qcow2;
  if (!backing.name.empty() && !header->backing_format.empty() &&
      backing.format == DiskImageFormat::automatic) {
    return fail(ErrorCode::not_supported, where,
                fmt::format("lies on an image in the format {}", header->backing_format),
                "convert that to raw or qcow2, and name it with qemu-img rebase");
  }
  return backing;
}

std::vector<StackLayer> layers_of(const DiskImageStorageDeviceAttachment& image,
                                  std::vector<UniqueFd> files) {
  std::vector<StackLayer> layers;
  // The configuration has them from the lowest up.
  const size_t count = image.base_layers.size();
  UniqueFd cache;
  for (size_t index = 0; index < files.size(); ++index) {
    const DiskImageLayer* const base =
        index > 0 && index <= count ? &image.base_layers[count - index] : nullptr;
    if (base && base->is_cache) {
      cache = std::move(files[index]);
      continue;
    }
    layers.push_back({.fd = std::move(files[index]),
                      .format = base         ? base->format
                                : index == 0 ? image.format
                                             : DiskImageFormat::automatic,
                      .cache = std::exchange(cache, UniqueFd())});
  }
  return layers;
}

Result<std::unique_ptr<Disk>> open_stack(std::vector<StackLayer> layers, const ImageFileOptions& options,
                                         const std::string& where) {
  // From the top down, as images know the formats of those below them.
  const bool is_guarded = layers.front().format == DiskImageFormat::automatic && !options.read_only;
  for (size_t index = 0; index < layers.size(); ++index) {
    const auto format = format_of(layers[index].fd.get(), layers[index].format, where);
    if (!format) return std::unexpected(format.error());
    layers[index].format = *format;
    if (index + 1 == layers.size()) break;
    if (*format == DiskImageFormat::raw) {
      return fail(ErrorCode::invalid_disk_image, where, "a raw image lies on another",
                  "only the lowest layer can be raw");
    }
    if (layers[index + 1].format != DiskImageFormat::automatic) continue;
    const auto backing = backing_file_of(layers[index].fd.get(), *format, where);
    if (!backing) return std::unexpected(backing.error());
    layers[index + 1].format = backing->format;
  }
  std::unique_ptr<Disk> disk;
  Identity identity;
  while (!layers.empty()) {
    StackLayer layer = std::move(layers.back());
    layers.pop_back();
    struct stat status{};
    (void)::fstat(layer.fd.get(), &status);
    identity.add(status);
    ImageFileOptions here = options;
    here.read_only = options.read_only || !layers.empty();
    if (layer.format == DiskImageFormat::raw) {
      auto raw = RawImage::create(std::move(layer.fd), here, where);
      if (!raw) return std::unexpected(std::move(raw.error()));
      disk = *std::move(raw);
    } else {
      auto file = ImageFile::create(std::move(layer.fd), here, where);
      if (!file) return std::unexpected(std::move(file.error()));
      auto image = qcow2::Image::create(*std::move(file), std::move(disk), where);
      if (!image) return std::unexpected(std::move(image.error()));
      disk = *std::move(image);
    }
    if (!layer.cache) continue;
    auto cache = CacheLayer::create(std::move(layer.cache), std::move(disk), identity.value(), where);
    if (!cache) return std::unexpected(std::move(cache.error()));
    disk = *std::move(cache);
  }
  if (is_guarded) {
    // A qcow2 image stays one, whatever the guest writes to its disk.
    if (dynamic_cast<RawImage*>(disk.get())) disk = std::make_unique<GuardedDisk>(std::move(disk));
  }
  return disk;
}

}  // namespace alcove::storage
