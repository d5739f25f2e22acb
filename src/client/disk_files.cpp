// Opening images, and what lies below them.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "client/host_files.h"
#include "client/image_lock.h"
#include "client/line_files.h"
#include "storage/stack.h"

namespace alcove::client {
namespace {

constexpr size_t kMostLayers = 64;

class StackOpener {
 public:
  StackOpener(const DiskImageStorageDeviceAttachment& image, const std::string& where)
      : image_(image), where_(where) {}

  Result<std::vector<UniqueFd>> open() {
    const std::string top = where_ + ".path";
    auto added = add(image_.path, image_.read_only, top);
    if (!added) return std::unexpected(std::move(added.error()));
    auto format = storage::format_of(opened_.back().get(), image_.format, top);
    if (!format) return std::unexpected(format.error());
    const auto& layers = image_.base_layers;
    for (size_t index = layers.size(); index-- > 0;) {
      const std::string where = fmt::format("{}.base_layers[{}].path", where_, index);
      added = layers[index].is_cache ? add_cache(layers[index].path, where)
                                     : add(layers[index].path, true, where);
      if (!added) return std::unexpected(std::move(added.error()));
    }
    if (layers.empty()) {
      added = add_backing_files(*format);
      if (!added) return std::unexpected(std::move(added.error()));
    }
    return std::move(opened_);
  }

 private:
  Result<> add_backing_files(DiskImageFormat format) {
    std::filesystem::path path = image_.path;
    while (true) {
      const std::string where = where_ + ".path";
      const auto backing = storage::backing_file_of(opened_.back().get(), format, where);
      if (!backing) return std::unexpected(backing.error());
      if (backing->name.empty()) return {};
      if (!image_.allow_backing_files) {
        return fail(
            ErrorCode::invalid_disk_image, where,
            fmt::format("{} lies on the image {}, which it names itself", path.string(), backing->name),
            "if you trust it, set allow_backing_files, or name the images below it in base_layers");
      }
      if (backing->name.starts_with("json:") || backing->name.find("://") != std::string::npos) {
        return fail(ErrorCode::not_supported, where,
                    fmt::format("{} lies on {}, which is no file", path.string(), backing->name));
      }
      path = path.parent_path() / backing->name;
      if (auto added = add(path, true, where); !added) return added;
      const auto next = storage::format_of(opened_.back().get(), backing->format, where);
      if (!next) return std::unexpected(next.error());
      format = *next;
    }
  }

  // Made if it is not there.
  Result<> add_cache(const std::filesystem::path& path, const std::string& where) {
    return keep(UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600)), path, false,
                where);
  }

  Result<> add(const std::filesystem::path& path, bool read_only, const std::string& where) {
    const int direct = image_.caching_mode == DiskImageCachingMode::uncached ? O_DIRECT : 0;
    return keep(
        UniqueFd(::open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | direct | O_CLOEXEC | O_NONBLOCK)),
        path, read_only, where);
  }

  // What was opened, if it was, as errno says otherwise.
  Result<> keep(UniqueFd descriptor, const std::filesystem::path& path, bool read_only,
                const std::string& where) {
    const int direct = image_.caching_mode == DiskImageCachingMode::uncached ? O_DIRECT : 0;
    if (!descriptor) {
      const char* hint = errno == EINVAL && direct != 0
                             ? "its file system has no uncached access: set caching_mode to cached"
                         : read_only                         ? ""
                         : errno == EROFS || errno == EACCES ? "set read_only if the guest need not write"
                                                             : "";
      return fail(ErrorCode::invalid_disk_image, where,
                  fmt::format("can't open {}: {}", path.string(), std::strerror(errno)), hint);
    }
    struct stat status{};
    if (::fstat(descriptor.get(), &status) != 0 || (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))) {
      return fail(ErrorCode::invalid_disk_image, where,
                  fmt::format("{} is neither a file nor a block device", path.string()));
    }
    if (!seen_.insert({status.st_dev, status.st_ino}).second) {
      return fail(ErrorCode::invalid_disk_image, where,
                  fmt::format("{} lies on itself, directly or by others", path.string()),
                  "name another backing file with qemu-img rebase -u");
    }
    if (seen_.size() > kMostLayers)
      return fail(ErrorCode::invalid_disk_image, where,
                  fmt::format("more than {} images lie on each other", kMostLayers));
    if (image_.locking_mode == DiskImageLockingMode::automatic) {
      if (auto locked = lock_image(descriptor.get(), !read_only, path); !locked) {
        locked.error().where = where;
        return locked;
      }
    }
    opened_.push_back(std::move(descriptor));
    return {};
  }

  const DiskImageStorageDeviceAttachment& image_;
  const std::string& where_;
  std::vector<UniqueFd> opened_;
  std::set<std::pair<dev_t, ino_t>> seen_;
};

}  // namespace

Result<std::vector<UniqueFd>> open_disk_image(const DiskImageStorageDeviceAttachment& image,
                                              const std::string& where) {
  return StackOpener(image, where).open();
}

Result<std::vector<UniqueFd>> open_attachment(const StorageDeviceAttachment& attachment,
                                              const std::string& where) {
  if (const auto* file = std::get_if<DiskImageStorageDeviceAttachment>(&attachment))
    return open_disk_image(*file, where);
  std::vector<UniqueFd> result;
  if (const auto* open = std::get_if<DiskBlockDeviceStorageDeviceAttachment>(&attachment)) {
    auto copy = duplicate(open->file_handle, where + ".file_handle");
    if (!copy) return std::unexpected(std::move(copy.error()));
    result.push_back(*std::move(copy));
  }
  return result;
}

}  // namespace alcove::client
