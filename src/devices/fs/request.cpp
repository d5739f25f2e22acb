#include "devices/fs/request.h"

#include <algorithm>
#include <cerrno>
#include <optional>

namespace alcove::devices::fs {

namespace {

using fuse::Opcode;

// Longest request apart from what is written to files: the value of an extended attribute, or a page full of
// nodes to forget.
constexpr uint64_t kLongestRequest = (64 << 10) + 4096;

enum class Tail { none, value, data };

// What follows the header: fixed arguments, names, and perhaps more.
struct Shape {
  size_t arguments = 0;
  unsigned names = 0;
  Tail tail = Tail::none;
};

std::optional<Shape> shape_of(Opcode opcode, Dialect dialect) {
  switch (opcode) {
    case Opcode::lookup:
    case Opcode::unlink:
    case Opcode::remove_directory:
    case Opcode::remove_extended_attribute:
      return Shape{.names = 1};
    case Opcode::make_symbolic_link:
      return Shape{.names = 2};
    case Opcode::read_link:
    case Opcode::file_system_status:
    case Opcode::destroy:
      return Shape{};
    case Opcode::forget:
      return Shape{sizeof(fuse::ForgetIn)};
    case Opcode::batch_forget:
      return Shape{sizeof(fuse::BatchForgetIn), 0, Tail::value};
    case Opcode::get_attributes:
      return Shape{sizeof(fuse::GetAttributesIn)};
    case Opcode::set_attributes:
      return Shape{sizeof(fuse::SetAttributesIn)};
    case Opcode::make_node:
      return Shape{sizeof(fuse::MakeNodeIn), 1};
    case Opcode::make_directory:
      return Shape{sizeof(fuse::MakeDirectoryIn), 1};
    case Opcode::rename:
      return Shape{sizeof(fuse::RenameIn), 2};
    case Opcode::rename_with_flags:
      return Shape{sizeof(fuse::RenameWithFlagsIn), 2};
    case Opcode::link:
      return Shape{sizeof(fuse::LinkIn), 1};
    case Opcode::open:
    case Opcode::open_directory:
      return Shape{sizeof(fuse::OpenIn)};
    case Opcode::create:
    case Opcode::temporary_file:
      return Shape{sizeof(fuse::CreateIn), 1};
    case Opcode::read:
    case Opcode::read_directory:
    case Opcode::read_directory_plus:
      return Shape{sizeof(fuse::ReadIn)};
    case Opcode::write:
      return Shape{sizeof(fuse::WriteIn), 0, Tail::data};
    case Opcode::release:
    case Opcode::release_directory:
      return Shape{sizeof(fuse::ReleaseIn)};
    case Opcode::flush:
      return Shape{sizeof(fuse::FlushIn)};
    case Opcode::sync:
    case Opcode::sync_directory:
      return Shape{sizeof(fuse::SyncIn)};
    case Opcode::set_extended_attribute:
      return Shape{sizeof(fuse::SetExtendedAttributeIn) +
                       (dialect.extended_set_attribute ? sizeof(fuse::SetExtendedAttributeInExtension) : 0),
                   1, Tail::value};
    case Opcode::get_extended_attribute:
      return Shape{sizeof(fuse::GetExtendedAttributeIn), 1};
    case Opcode::list_extended_attributes:
      return Shape{sizeof(fuse::GetExtendedAttributeIn)};
    case Opcode::initialize:
      return Shape{sizeof(fuse::InitializeIn), 0, Tail::value};
    case Opcode::get_lock:
    case Opcode::set_lock:
    case Opcode::set_lock_wait:
      return Shape{sizeof(fuse::LockIn)};
    case Opcode::access:
      return Shape{sizeof(fuse::AccessIn)};
    case Opcode::interrupt:
      return Shape{sizeof(fuse::InterruptIn)};
    case Opcode::ioctl:
      return Shape{sizeof(fuse::IoctlIn), 0, Tail::value};
    case Opcode::allocate:
      return Shape{sizeof(fuse::AllocateIn)};
    case Opcode::seek:
      return Shape{sizeof(fuse::SeekIn)};
    case Opcode::copy_range:
      return Shape{sizeof(fuse::CopyRangeIn)};
    case Opcode::sync_file_system:
      return Shape{sizeof(fuse::SyncFileSystemIn)};
    case Opcode::set_up_mapping:
      return Shape{sizeof(fuse::SetUpMappingIn)};
    case Opcode::remove_mapping:
      return Shape{sizeof(fuse::RemoveMappingIn), 0, Tail::value};
    case Opcode::block_map:
    case Opcode::poll:
      break;
  }
  return {};
}

}  // namespace

std::variant<Request, Refused> parse(virtio::Chain chain, Dialect dialect) {
  Request request;
  const size_t had = chain.read(0, std::as_writable_bytes(std::span(&request.header, 1)));
  const auto refuse = [&](int error) {
    return Refused{.unique = request.header.unique, .error = error, .chain = std::move(chain)};
  };
  if (had < sizeof request.header) {
    request.header.unique = 0;
    return refuse(EINVAL);
  }
  request.opcode = static_cast<Opcode>(request.header.opcode);
  const auto shape = shape_of(request.opcode, dialect);
  if (!shape) return refuse(ENOSYS);
  // Extensions come only where they were agreed upon, and none is.
  if (request.header.length != chain.readable_size() || request.header.extension_length != 0)
    return refuse(EINVAL);
  uint64_t rest = chain.readable_size() - sizeof request.header;
  if (rest < shape->arguments) return refuse(EINVAL);
  if (shape->tail == Tail::data) {
    rest = shape->arguments;
  } else if (rest > kLongestRequest) {
    return refuse(E2BIG);
  }

  std::vector<std::byte> bytes(rest);
  chain.read(sizeof request.header, bytes);
  size_t at = shape->arguments;
  for (unsigned index = 0; index < shape->names; ++index) {
    const auto end = std::find(bytes.begin() + static_cast<ptrdiff_t>(at), bytes.end(), std::byte{0});
    if (end == bytes.end()) return refuse(EINVAL);
    const auto size = static_cast<size_t>(end - bytes.begin()) - at;
    request.names[index].assign(reinterpret_cast<const char*>(bytes.data()) + at, size);
    at += size + 1;
  }
  if (shape->tail == Tail::value) {
    request.value.assign(bytes.begin() + static_cast<ptrdiff_t>(at), bytes.end());
  } else if (at != bytes.size()) {
    return refuse(EINVAL);
  }
  bytes.resize(shape->arguments);
  request.arguments = std::move(bytes);
  request.chain = std::move(chain);
  return request;
}

void finish(uint64_t unique, const Reply& reply, virtio::Chain chain, virtio::Queue& queue) {
  fuse::OutHeader header{.length = sizeof header, .error = -reply.error, .unique = unique};
  if (reply.is_none || chain.writable_size() < sizeof header) return queue.push(chain, 0);
  if (reply.error == 0) {
    const uint64_t size = reply.payload.size() + reply.in_place;
    if (sizeof header + size > chain.writable_size()) {
      header.error = -EOVERFLOW;  // The guest left no room for what it asked for.
    } else {
      header.length += static_cast<uint32_t>(size);
      chain.write(sizeof header, reply.payload);
    }
  }
  chain.write(0, std::as_bytes(std::span(&header, 1)));
  queue.push(chain, header.length);
}

}  // namespace alcove::devices::fs
