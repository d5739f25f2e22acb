// A guest's FUSE client for tests: requests as a kernel makes them, and others.
#pragma once

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>

#include "devices/fs/file_system.h"
#include "support/testing/temporary_folder.h"
#include "virtio/testing/fake_driver.h"

namespace alcove::devices::fs::testing {

using virtio::testing::Bytes;
using virtio::testing::bytes_of;

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
// With its zero byte.
inline Bytes name(std::string_view text) {
  Bytes bytes = bytes_of(text);
  bytes.push_back({});
  return bytes;
}

struct Answer {
  int error = 0;  // errno
  Bytes payload;  // Without header.
  uint64_t unique = 0;
  template <class T>
  T as(size_t offset = 0) const {
    T value{};
    if (offset + sizeof value <= payload.size()) std::memcpy(&value, &payload[offset], sizeof value);
    return value;
  }
  std::string text() const { return {reinterpret_cast<const char*>(payload.data()), payload.size()}; }
};

class FuseGuest {
 public:
  static constexpr unsigned kUrgent = 0, kRequests = 1;

  // `memory`: whose window shows files.
  explicit FuseGuest(share::Share share, const share::ServerLimits& limits = {},
                     memory::GuestMemory* memory = nullptr) {
    device_ =
        std::make_unique<FileSystem>(share::Server::create(std::move(share), limits).value(),
                                     FileSystemOptions{.tag = "tag", .queue_count = 2, .memory = memory});
    guest_.activate(*device_, 0);
  }
  static share::Share single(const std::filesystem::path& path, SharedDirectory options = {}) {
    options.path = path;
    return {.is_single = true, .folders = {open_root("", options)}};
  }
  static std::shared_ptr<const share::Root> open_root(std::string name, const SharedDirectory& options) {
    return share::make_root(std::move(name), options,
                            UniqueFd(::open(options.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)));
  }

  FileSystem& device() { return *device_; }
  virtio::testing::FakeGuest& guest() { return guest_; }

  // Anything, as one request. Nothing: the device gave no reply.
  std::optional<Answer> raw(const Bytes& request, uint32_t room = 8192, unsigned queue = kRequests) {
    std::vector<uint32_t> writable;
    if (room > 0) writable.push_back(room);
    const auto reply = guest_.queue(queue).request({.readable = {request}, .writable = writable});
    if (!reply || reply->length < sizeof(fuse::OutHeader)) return {};
    fuse::OutHeader header;
    std::memcpy(&header, reply->writable[0].data(), sizeof header);
    if (header.length != reply->length) return {};
    return Answer{
        .error = -header.error,
        .payload = {reply->writable[0].begin() + sizeof header, reply->writable[0].begin() + header.length},
        .unique = header.unique};
  }
  Bytes request(fuse::Opcode opcode, uint64_t node, const Bytes& body) {
    const fuse::InHeader header{.length = static_cast<uint32_t>(sizeof header + body.size()),
                                .opcode = static_cast<uint32_t>(opcode),
                                .unique = ++unique_,
                                .node = node,
                                .user = caller.user,
                                .group = caller.group,
                                .process = 1,
                                .extension_length = 0,
                                .padding = 0};
    return bytes_of(header) + body;
  }
  Answer call(fuse::Opcode opcode, uint64_t node, const Bytes& body = {}, uint32_t room = 8192) {
    const auto answer = raw(request(opcode, node, body), room);
    if (!answer || answer->unique != unique_) return {.error = -1};
    return *answer;
  }

  fuse::InitializeOut initialize(uint64_t flags = ~uint64_t{0}, uint32_t minor = 38) {
    return call(fuse::Opcode::initialize, 0,
                bytes_of(fuse::InitializeIn{7, minor, 128 << 10, static_cast<uint32_t>(flags)}) +
                    bytes_of(fuse::InitializeInExtension{.flags2 = static_cast<uint32_t>(flags >> 32),
                                                         .unused = {}}))
        .as<fuse::InitializeOut>();
  }
  // 0 if it is not there.
  uint64_t look_up(uint64_t parent, std::string_view text) {
    return call(fuse::Opcode::lookup, parent, name(text)).as<fuse::EntryOut>().node;
  }
  Answer create(uint64_t parent, std::string_view text, uint32_t flags = O_RDWR, uint32_t mode = 0644) {
    return call(fuse::Opcode::create, parent, bytes_of(fuse::CreateIn{flags, mode, 022, 0}) + name(text));
  }
  Answer make_directory(uint64_t parent, std::string_view text, uint32_t mode = 0755) {
    return call(fuse::Opcode::make_directory, parent,
                bytes_of(fuse::MakeDirectoryIn{mode, 022}) + name(text));
  }
  Answer open(uint64_t node, uint32_t flags) {
    return call(fuse::Opcode::open, node, bytes_of(fuse::OpenIn{flags, 0}));
  }
  Answer read(uint64_t node, uint64_t handle, uint64_t offset, uint32_t size) {
    return call(fuse::Opcode::read, node, bytes_of(fuse::ReadIn{handle, offset, size, 0, 0, 0, 0}),
                size + 16);
  }
  Answer write(uint64_t node, uint64_t handle, uint64_t offset, std::string_view data, uint32_t flags = 0) {
    return call(fuse::Opcode::write, node,
                bytes_of(fuse::WriteIn{handle, offset, static_cast<uint32_t>(data.size()), 0, 0, flags, 0}) +
                    bytes_of(data));
  }
  fuse::Attributes attributes(uint64_t node) {
    return call(fuse::Opcode::get_attributes, node, bytes_of(fuse::GetAttributesIn{}))
        .as<fuse::AttributesOut>()
        .attributes;
  }
  Answer set_attributes(uint64_t node, const fuse::SetAttributesIn& wanted) {
    return call(fuse::Opcode::set_attributes, node, bytes_of(wanted));
  }

  share::Owner caller;

 private:
  std::unique_ptr<FileSystem> device_;
  virtio::testing::FakeGuest guest_;
  uint64_t unique_ = 100;
};

}  // namespace alcove::devices::fs::testing
