#include <alcove/disk_image.h>
#include <alcove/virtual_machine_configuration.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "client/host_files.h"
#include "client/image_lock.h"
#include "storage/qcow2/check.h"
#include "storage/qcow2/create.h"
#include "storage/qcow2/image.h"
#include "storage/raw_image.h"
#include "storage/stack.h"

namespace alcove {

using client::lock_image;
using storage::ImageFile;

namespace {

std::unexpected<Error> failed(const std::filesystem::path& path, const char* action, int error) {
  return fail(error == ENOSPC ? ErrorCode::out_of_disk_space : ErrorCode::invalid_disk_image, path.string(),
              fmt::format("{}: {}", action, std::strerror(error)));
}

Result<UniqueFd> open_locked(const std::filesystem::path& path, bool read_only, bool locked = true) {
  UniqueFd fd(::open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return failed(path, "can't be opened", errno);
  if (!locked) return fd;
  if (auto done = lock_image(fd.get(), !read_only, path); !done) {
    done.error().where = path.string();
    return std::unexpected(std::move(done.error()));
  }
  return fd;
}

// A new file, or an old one emptied; it keeps no lock that outlives it.
Result<UniqueFd> make_file(const std::filesystem::path& path, bool overwrite) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | (overwrite ? 0 : O_EXCL), 0666));
  if (!fd && errno == EEXIST) {
    return fail(ErrorCode::invalid_disk_image, path.string(), "exists already",
                "say so if it is to be overwritten (--force)");
  }
  if (!fd) return failed(path, "can't be made", errno);
  if (auto done = lock_image(fd.get(), true, path); !done) {
    done.error().where = path.string();
    return std::unexpected(std::move(done.error()));
  }
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return failed(path, "can't be examined", errno);
  if (S_ISREG(status.st_mode) && ::ftruncate(fd.get(), 0) != 0)
    return failed(path, "can't be emptied", errno);
  return fd;
}

Result<std::unique_ptr<ImageFile>> file_of(UniqueFd fd, const std::filesystem::path& path,
                                           bool read_only = false) {
  return ImageFile::create(std::move(fd), {.read_only = read_only}, path.string());
}

Result<std::unique_ptr<storage::Disk>> open_disk(const DiskImageStorageDeviceAttachment& image) {
  auto files = client::open_disk_image(image, "");
  if (!files) {
    files.error().where = image.path.string();
    return std::unexpected(std::move(files.error()));
  }
  return storage::open_stack(storage::layers_of(image, *std::move(files)),
                             {.read_only = image.read_only, .caching = image.caching_mode},
                             image.path.string());
}

Result<std::unique_ptr<storage::Disk>> make_image(UniqueFd fd, const std::filesystem::path& path,
                                                  const DiskImageCreationOptions& options, bool zstd) {
  // Half an image is none, so nothing is waited for until it is whole (finish()).
  auto file = ImageFile::create(std::move(fd), {.synchronization = DiskImageSynchronizationMode::none},
                                path.string());
  if (!file) return std::unexpected(std::move(file.error()));
  if (options.format == DiskImageFormat::raw) {
    if (options.size == 0 || options.size % 512) {
      return fail(ErrorCode::invalid_disk_image, path.string(),
                  fmt::format("a disk can't have {} bytes", options.size), "a multiple of 512");
    }
    if (!(*file)->is_block_device()) {
      if (auto done = (*file)->resize(options.size); !done)
        return failed(path, "can't be made", done.error());
    }
    auto raw = storage::RawImage::create(*std::move(file), path.string());
    if (!raw) return std::unexpected(std::move(raw.error()));
    return *std::move(raw);
  }
  const auto backing_format =
      options.backing_file.empty() ? "" : std::string(to_string(options.backing_format));
  auto made = storage::qcow2::create_image(**file,
                                           {.size = options.size,
                                            .cluster_size = options.cluster_size,
                                            .zstd = zstd,
                                            .backing_file = options.backing_file.string(),
                                            .backing_format = backing_format},
                                           path.string());
  if (!made) return std::unexpected(std::move(made.error()));
  auto image = storage::qcow2::Image::create(*std::move(file), nullptr, path.string());
  if (!image) return std::unexpected(std::move(image.error()));
  return *std::move(image);
}

// Fills in what options leave open about the image below.
Result<DiskImageCreationOptions> with_backing(const std::filesystem::path& path,
                                              DiskImageCreationOptions options) {
  if (options.format == DiskImageFormat::automatic) options.format = DiskImageFormat::qcow2;
  if (options.backing_file.empty()) return options;
  if (options.format == DiskImageFormat::raw) {
    return fail(ErrorCode::invalid_disk_image, path.string(), "a raw image can't lie on another",
                "make a qcow2 image");
  }
  const auto backing =
      DiskImage::information(path.parent_path() / options.backing_file, options.backing_format);
  if (!backing) return std::unexpected(backing.error());
  options.backing_format = backing->format;
  if (options.size == 0) options.size = backing->size;
  return options;
}

// A new file that is removed again unless it is kept.
class NewFile {
 public:
  explicit NewFile(std::filesystem::path path) : path_(std::move(path)) {}
  ~NewFile() {
    std::error_code ignored;
    if (!is_kept_ && std::filesystem::is_regular_file(path_, ignored))
      std::filesystem::remove(path_, ignored);
  }
  // It is whole, and nobody has it open.
  Result<> finish() {
    const UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) return failed(path_, "can't be written", errno);
    is_kept_ = true;
    return {};
  }

 private:
  std::filesystem::path path_;
  bool is_kept_ = false;
};

}  // namespace

Result<> DiskImage::create(const std::filesystem::path& path, const DiskImageCreationOptions& wanted) {
  const auto options = with_backing(path, wanted);
  if (!options) return std::unexpected(options.error());
  auto fd = make_file(path, options->overwrite);
  if (!fd) return std::unexpected(std::move(fd.error()));
  NewFile file(path);
  auto made = make_image(*std::move(fd), path, *options, false);
  if (!made) return std::unexpected(std::move(made.error()));
  made->reset();
  return file.finish();
}

Result<DiskImageInformation> DiskImage::information(const std::filesystem::path& path,
                                                    DiskImageFormat format) {
  const std::string where = path.string();
  auto fd = open_locked(path, true, false);
  if (!fd) return std::unexpected(std::move(fd.error()));
  const auto found = storage::format_of(fd->get(), format, where);
  if (!found) return std::unexpected(found.error());
  struct stat status{};
  if (::fstat(fd->get(), &status) != 0) return failed(path, "can't be examined", errno);
  auto file = file_of(*std::move(fd), path, true);
  if (!file) return std::unexpected(std::move(file.error()));
  DiskImageInformation information{.format = *found,
                                   .allocated_size = static_cast<uint64_t>(status.st_blocks) * 512};
  if (*found == DiskImageFormat::raw) {
    const auto length = (*file)->length();
    if (!length) return failed(path, "can't be examined", length.error());
    information.size = *length;
    return information;
  }
  const auto header = storage::qcow2::read_header(**file, where);
  if (!header) return std::unexpected(header.error());
  information.size = header->size;
  information.version = header->version;
  information.cluster_size = header->cluster_size();
  information.compression = header->compression == spec::qcow2::kZstd ? "zstd" : "zlib";
  information.backing_file = header->backing_file;
  information.backing_format = from_string<DiskImageFormat>(header->backing_format);
  information.is_dirty = (header->incompatible_features & spec::qcow2::kDirty) != 0;
  information.is_damaged = (header->incompatible_features & spec::qcow2::kCorrupt) != 0;
  const auto snapshots = storage::qcow2::read_snapshots(**file, *header);
  if (!snapshots) return failed(path, "its snapshots can't be read", snapshots.error());
  for (const auto& snapshot : snapshots->snapshots) {
    information.snapshots.push_back({.id = snapshot.id,
                                     .name = snapshot.name,
                                     .seconds = snapshot.seconds,
                                     .vm_state_size = snapshot.vm_state_size,
                                     .disk_size = snapshot.disk_size});
  }
  return information;
}

Result<DiskImageCheck> DiskImage::check(const std::filesystem::path& path,
                                        const DiskImageCheckOptions& options,
                                        const DiskImageProgress& progress) {
  const std::string where = path.string();
  auto fd = open_locked(path, !options.repair);
  if (!fd) return std::unexpected(std::move(fd.error()));
  const auto format = storage::format_of(fd->get(), DiskImageFormat::automatic, where);
  if (!format) return std::unexpected(format.error());
  if (*format == DiskImageFormat::raw) {
    return fail(ErrorCode::not_supported, where, "is a raw image, in which there is nothing to check",
                "what is on it is the guest's file system's to check");
  }
  auto file = file_of(*std::move(fd), path, !options.repair);
  if (!file) return std::unexpected(std::move(file.error()));
  const auto header = storage::qcow2::read_header(**file, where);
  if (!header) return std::unexpected(header.error());
  const auto report = storage::qcow2::check(
      **file, *header,
      {.repair_leaks = options.repair, .repair_errors = options.repair, .progress = progress}, where);
  if (!report) return std::unexpected(report.error());
  return DiskImageCheck{.errors = report->errors,
                        .leaks = report->leaks,
                        .repaired_errors = report->repaired_errors,
                        .repaired_leaks = report->repaired_leaks,
                        .disk_clusters = report->disk_clusters,
                        .allocated_clusters = report->allocated_clusters,
                        .compressed_clusters = report->compressed_clusters,
                        .end = report->end,
                        .messages = report->messages};
}

namespace {

constexpr uint64_t kPiece = 2 << 20;  // The largest cluster.

bool is_zero(std::span<const std::byte> bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(&bytes[0], &bytes[1], bytes.size() - 1) == 0);
}

class Copier {
 public:
  Copier(storage::Disk& source, storage::Disk& destination, bool is_new, uint64_t compressed_cluster)
      : source_(source),
        destination_(destination),
        unit_(compressed_cluster ? compressed_cluster : 64 << 10),
        is_new_(is_new),
        is_compressed_(compressed_cluster != 0) {}

  // False: it was cancelled.
  std::expected<bool, int> run(const DiskImageProgress& progress) {
    const uint64_t size = source_.size();
    for (uint64_t at = 0; at < size;) {
      if (progress && !progress(static_cast<double>(at) / static_cast<double>(size))) return false;
      storage::DataExtent extent;
      const uint64_t piece = std::min(kPiece, size - at);
      if (auto done = source_.find_data(at, piece, extent); !done) return std::unexpected(done.error());
      uint64_t length = std::min(extent.length, piece);
      // Clusters are compressed whole.
      if (is_compressed_ && length % unit_ && at + length < size) {
        length = std::min((length + unit_ - 1) / unit_ * unit_, size - at);
        extent.has_data = true;
      }
      if (auto done = extent.has_data ? copy(at, length) : clear(at, length); !done)
        return std::unexpected(done.error());
      at += length;
    }
    if (auto done = destination_.flush(); !done) return std::unexpected(done.error());
    return true;
  }

 private:
  storage::IoResult clear(uint64_t at, uint64_t length) {
    return is_new_ ? storage::IoResult() : destination_.write_zeroes(at, length, true);
  }
  storage::IoResult copy(uint64_t at, uint64_t length) {
    buffer_.resize(kPiece);
    const iovec whole{buffer_.data(), length};
    if (auto done = source_.read(at, {&whole, 1}); !done) return done;
    for (uint64_t begin = 0; begin < length;) {
      const uint64_t end = std::min(begin + unit_, length);
      const bool zero = is_zero({&buffer_[begin], end - begin});
      uint64_t last = end;
      while (!zero && !is_compressed_ && last < length) {
        const uint64_t next = std::min(last + unit_, length);
        if (is_zero({&buffer_[last], next - last})) break;
        last = next;
      }
      storage::IoResult done;
      if (zero) {
        done = clear(at + begin, end - begin);
      } else if (is_compressed_) {
        std::vector<std::byte> cluster(&buffer_[begin], &buffer_[begin] + (end - begin));
        cluster.resize(unit_);  // The last one of the disk.
        done = static_cast<storage::qcow2::Image&>(destination_).write_compressed(at + begin, cluster);
      } else {
        const iovec piece{&buffer_[begin], last - begin};
        done = destination_.write(at + begin, {&piece, 1});
      }
      if (!done) return done;
      begin = last;
    }
    return {};
  }

  storage::Disk& source_;
  storage::Disk& destination_;
  const uint64_t unit_;
  const bool is_new_;  // Reads as zeroes.
  const bool is_compressed_;
  std::vector<std::byte> buffer_;
};

}  // namespace

Result<> DiskImage::convert(const DiskImageStorageDeviceAttachment& source,
                            const std::filesystem::path& destination,
                            const DiskImageConversionOptions& options, const DiskImageProgress& progress) {
  DiskImageStorageDeviceAttachment from = source;
  from.read_only = true;
  const auto source_disk = open_disk(from);
  if (!source_disk) return std::unexpected(source_disk.error());
  DiskImageCreationOptions wanted = options.destination;
  wanted.size = (*source_disk)->size();
  if (wanted.format == DiskImageFormat::automatic) wanted.format = DiskImageFormat::qcow2;
  if (options.compress && wanted.format == DiskImageFormat::raw) {
    return fail(ErrorCode::invalid_disk_image, destination.string(), "a raw image can't be compressed",
                "make a qcow2 image");
  }
  // The same file would be emptied before it is read.
  std::error_code ignored;
  if (std::filesystem::equivalent(source.path, destination, ignored)) {
    return fail(ErrorCode::invalid_disk_image, destination.string(), "is the image to convert");
  }
  auto fd = make_file(destination, wanted.overwrite);
  if (!fd) return std::unexpected(std::move(fd.error()));
  NewFile file(destination);
  auto made = make_image(*std::move(fd), destination, wanted, options.zstd);
  if (!made) return std::unexpected(std::move(made.error()));
  const bool is_new = std::filesystem::is_regular_file(destination, ignored);
  const auto done =
      Copier(**source_disk, **made, is_new, options.compress ? wanted.cluster_size : 0).run(progress);
  if (!done) return failed(destination, "can't be written", done.error());
  if (!*done)
    return fail(ErrorCode::operation_cancelled, destination.string(), "the conversion was cancelled");
  made->reset();
  return file.finish();
}

Result<> DiskImage::resize(const DiskImageStorageDeviceAttachment& image, uint64_t size,
                           bool allow_shrinking) {
  auto disk = open_disk(image);
  if (!disk) return std::unexpected(std::move(disk.error()));
  return (*disk)->resize(size, allow_shrinking, image.path.string());
}

}  // namespace alcove
