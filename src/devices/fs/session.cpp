#include "devices/fs/session.h"

#include <algorithm>
#include <cerrno>

namespace alcove::devices::fs {

namespace {

using fuse::Opcode;

template <class T>
Reply answer(const share::Outcome<T>& outcome) {
  if (!outcome) return {.error = outcome.error()};
  if constexpr (std::is_void_v<T>) {
    return {};
  } else {
    return reply_of(*outcome);
  }
}

Reply answer(const share::Outcome<std::string>& text) {
  if (!text) return {.error = text.error()};
  const auto bytes = std::as_bytes(std::span(*text));
  return {.payload = {bytes.begin(), bytes.end()}};
}

Reply answer(share::Outcome<share::Bytes> bytes) {
  if (!bytes) return {.error = bytes.error()};
  return {.payload = *std::move(bytes)};
}

// The entry, where one was made, and how it was opened.
Reply answer(const share::Outcome<share::Server::Opened>& opened, bool with_entry) {
  if (!opened) return {.error = opened.error()};
  Reply reply = with_entry ? reply_of(opened->entry) : Reply{};
  const auto how = reply_of(opened->open);
  reply.payload.insert(reply.payload.end(), how.payload.begin(), how.payload.end());
  return reply;
}

Reply answer(const share::Outcome<share::Server::Extended>& extended, uint32_t wanted) {
  if (!extended) return {.error = extended.error()};
  if (wanted == 0) return reply_of(fuse::GetExtendedAttributeOut{.size = extended->size, .padding = 0});
  return {.payload = extended->bytes};
}

share::Caller caller_of(const Request& request, uint32_t mask = 0) {
  return {.owner = {request.header.user, request.header.group},
          .process = request.header.process,
          .mask = mask & 0777};
}

// A reply counts 32 bits.
Reply count(const share::Outcome<size_t>& size) {
  if (!size) return {.error = size.error()};
  return reply_of(fuse::WriteOut{.size = static_cast<uint32_t>(*size), .padding = 0});
}

}  // namespace

void Session::reset() {
  is_initialized_ = false;
  extended_set_attribute_ = false;
  server_.reset();
  if (window_) window_->clear();
}

Reply Session::initialize(const Request& request) {
  const auto in = request.as<fuse::InitializeIn>();
  fuse::InitializeOut out{};
  out.major = fuse::kMajorVersion;
  out.minor = fuse::kMinorVersion;
  if (in.major > fuse::kMajorVersion) return reply_of(out);  // It asks again, with ours.
  if (in.major < fuse::kMajorVersion || in.minor < fuse::kOldestMinorVersion) return {.error = EPROTO};
  uint64_t offered = in.flags;
  if (fuse::InitializeInExtension more{};
      offered & fuse::kExtendedInitialize && request.value.size() >= sizeof more) {
    std::memcpy(&more, request.value.data(), sizeof more);
    offered |= uint64_t{more.flags2} << 32;
  }
  uint64_t wanted = fuse::kAsyncRead | fuse::kAtomicTruncate | fuse::kBigWrites | fuse::kAutoInvalidateData |
                    fuse::kReadDirectoryPlus | fuse::kReadDirectoryPlusAuto | fuse::kAsyncDirectIo |
                    fuse::kParallelDirectoryOperations | fuse::kMaximumPages | fuse::kCacheSymbolicLinks |
                    fuse::kSubmounts | fuse::kHandleKillPrivilegesV2 | fuse::kExtendedSetAttribute;
  const auto ways = server_.wanted_ways();
  if (ways.writeback_cache) wanted |= fuse::kWritebackCache;
  if (ways.shared_locks) wanted |= fuse::kPosixLocks | fuse::kFlockLocks;
  // Default lists take the place of umask(2), so that who knows of them must apply it.
  constexpr uint64_t kAccessLists = fuse::kPosixAcl | fuse::kDontMask;
  const bool has_access_lists = ways.access_lists && (offered & kAccessLists) == kAccessLists;
  if (has_access_lists) wanted |= kAccessLists;
  if (window_) wanted |= fuse::kMapAlignment | fuse::kInodeDax;
  uint64_t agreed = offered & wanted;
  if (agreed >> 32) agreed |= fuse::kExtendedInitialize;
  extended_set_attribute_ = agreed & fuse::kExtendedSetAttribute;
  out.minor = std::min(in.minor, fuse::kMinorVersion);
  out.flags = static_cast<uint32_t>(agreed);
  out.flags2 = static_cast<uint32_t>(agreed >> 32);
  if (agreed & fuse::kMapAlignment) out.mapping_alignment = DaxWindow::kAlignment;
  out.maximum_readahead = in.maximum_readahead;
  out.maximum_background = 64;
  out.congestion_threshold = 48;
  out.maximum_write = kMaximumTransfer;
  out.time_granularity = 1;
  out.maximum_pages = kMaximumTransfer / 4096;
  server_.reset({.writeback_cache = (agreed & fuse::kWritebackCache) != 0,
                 .shared_locks = (agreed & fuse::kPosixLocks) != 0,
                 .access_lists = has_access_lists,
                 .told_what_to_map = (agreed & fuse::kInodeDax) != 0});
  if (window_) window_->clear();
  is_initialized_ = true;
  return reply_of(out);
}

Reply Session::process(Request& request, bool may_wait) {
  Reply reply = dispatch(request, may_wait);
  if (window_) window_->mend();
  return reply;
}

Reply Session::dispatch(Request& request, bool may_wait) {
  if (request.opcode == Opcode::initialize) return initialize(request);
  if (!is_initialized_) return {.error = EIO};
  switch (request.opcode) {
    case Opcode::destroy:
      reset();
      return {};
    case Opcode::forget:
    case Opcode::batch_forget:
      forget(request);
      return {.is_none = true};
    case Opcode::interrupt:
      return {.is_none = true};
    case Opcode::get_attributes:
    case Opcode::set_attributes:
    case Opcode::access:
    case Opcode::file_system_status:
      return process_attributes(request);
    case Opcode::lookup:
    case Opcode::read_link:
    case Opcode::make_symbolic_link:
    case Opcode::make_node:
    case Opcode::make_directory:
    case Opcode::unlink:
    case Opcode::remove_directory:
    case Opcode::rename:
    case Opcode::rename_with_flags:
    case Opcode::link:
      return process_names(request);
    case Opcode::open_directory:
    case Opcode::read_directory:
    case Opcode::read_directory_plus:
    case Opcode::release_directory:
    case Opcode::sync_directory:
      return process_directories(request);
    case Opcode::set_extended_attribute:
    case Opcode::get_extended_attribute:
    case Opcode::list_extended_attributes:
    case Opcode::remove_extended_attribute:
      return process_extended_attributes(request);
    case Opcode::set_up_mapping:
    case Opcode::remove_mapping:
      return process_mappings(request);
    case Opcode::ioctl:
      return {.error = ENOTTY};
    default:
      return process_files(request, may_wait);
  }
}

void Session::forget(const Request& request) {
  if (request.opcode == Opcode::forget)
    return server_.forget(request.header.node, request.as<fuse::ForgetIn>().count);
  size_t left = request.as<fuse::BatchForgetIn>().count;
  for (size_t at = 0; left > 0 && at + sizeof(fuse::ForgetOne) <= request.value.size(); --left) {
    fuse::ForgetOne one;
    std::memcpy(&one, &request.value[at], sizeof one);
    server_.forget(one.node, one.count);
    at += sizeof one;
  }
}

Reply Session::process_attributes(const Request& request) {
  const uint64_t node = request.header.node;
  switch (request.opcode) {
    case Opcode::get_attributes: {
      const auto in = request.as<fuse::GetAttributesIn>();
      return answer(server_.attributes(
          node, in.flags & fuse::kGetAttributesHandle ? std::optional(in.handle) : std::nullopt));
    }
    case Opcode::set_attributes:
      return answer(server_.set_attributes(node, request.as<fuse::SetAttributesIn>()));
    case Opcode::access:
      return answer(server_.access(node, request.as<fuse::AccessIn>().mask));
    default:
      return answer(server_.file_system_status(node));
  }
}

Reply Session::process_names(const Request& request) {
  const uint64_t node = request.header.node;
  const std::string& name = request.names[0];
  switch (request.opcode) {
    case Opcode::lookup:
      return answer(server_.look_up(node, name));
    case Opcode::read_link:
      return answer(server_.read_link(node));
    case Opcode::make_symbolic_link:
      return answer(server_.make_symbolic_link(node, name, request.names[1], caller_of(request)));
    case Opcode::make_node: {
      const auto in = request.as<fuse::MakeNodeIn>();
      return answer(server_.make_node(node, name, in, caller_of(request, in.umask)));
    }
    case Opcode::make_directory: {
      const auto in = request.as<fuse::MakeDirectoryIn>();
      return answer(server_.make_directory(node, name, in.mode, caller_of(request, in.umask)));
    }
    case Opcode::unlink:
      return answer(server_.unlink(node, name, false));
    case Opcode::remove_directory:
      return answer(server_.unlink(node, name, true));
    case Opcode::rename:
      return answer(server_.rename(node, name, request.as<fuse::RenameIn>().new_parent, request.names[1], 0));
    case Opcode::rename_with_flags: {
      const auto in = request.as<fuse::RenameWithFlagsIn>();
      return answer(server_.rename(node, name, in.new_parent, request.names[1], in.flags));
    }
    default:
      return answer(server_.link(request.as<fuse::LinkIn>().old_node, node, name));
  }
}

Reply Session::process_files(Request& request, bool may_wait) {
  const uint64_t node = request.header.node;
  switch (request.opcode) {
    case Opcode::open:
      return open(request);
    case Opcode::create: {
      const auto in = request.as<fuse::CreateIn>();
      return answer(server_.create(node, request.names[0], in, caller_of(request, in.umask)), true);
    }
    case Opcode::temporary_file: {
      const auto in = request.as<fuse::CreateIn>();
      return answer(server_.make_temporary(node, in, caller_of(request, in.umask)), true);
    }
    case Opcode::read:
      return read(request, may_wait);
    case Opcode::write:
      return write(request);
    case Opcode::release:
      return answer(server_.release(request.as<fuse::ReleaseIn>().handle));
    case Opcode::flush: {
      const auto in = request.as<fuse::FlushIn>();
      return answer(server_.flush(node, in.handle, in.lock_owner));
    }
    case Opcode::sync: {
      const auto in = request.as<fuse::SyncIn>();
      return answer(server_.sync(in.handle, in.flags & fuse::kSyncDataOnly));
    }
    case Opcode::sync_file_system:
      return answer(server_.sync_file_system(node));
    case Opcode::allocate:
      return answer(server_.allocate(request.as<fuse::AllocateIn>()));
    case Opcode::seek: {
      const auto found = server_.seek(request.as<fuse::SeekIn>());
      if (!found) return {.error = found.error()};
      return reply_of(fuse::SeekOut{*found});
    }
    case Opcode::get_lock: {
      const auto found = server_.get_lock(request.as<fuse::LockIn>());
      if (!found) return {.error = found.error()};
      return reply_of(fuse::LockOut{*found});
    }
    case Opcode::set_lock:
    case Opcode::set_lock_wait:
      return answer(server_.set_lock(request.as<fuse::LockIn>()));
    case Opcode::copy_range:
      return count(server_.copy_range(request.as<fuse::CopyRangeIn>()));
    default:
      return {.error = ENOSYS};
  }
}

Reply Session::open(const Request& request) {
  const auto in = request.as<fuse::OpenIn>();
  const uint64_t node = request.header.node;
  const auto opened = server_.open(node, in.flags, in.open_flags & fuse::kOpenKillPrivileges);
  // Programs are opened before they run.
  if (window_ && opened && opened->is_changed) window_->forget_code(node);
  return answer(opened, false);
}

Reply Session::process_mappings(const Request& request) {
  if (!window_) return {.error = ENOSYS};
  if (request.opcode == Opcode::set_up_mapping)
    return answer(window_->set_up(request.header.node, request.as<fuse::SetUpMappingIn>()));
  const size_t count = request.as<fuse::RemoveMappingIn>().count;
  if (request.value.size() != count * sizeof(fuse::RemoveMappingOne)) return {.error = EINVAL};
  std::vector<fuse::RemoveMappingOne> which(count);
  std::ranges::copy(request.value, std::as_writable_bytes(std::span(which)).begin());
  return answer(window_->remove(which));
}

// From the file to the guest's memory, without a copy between.
Reply Session::read(Request& request, bool may_wait) {
  const auto in = request.as<fuse::ReadIn>();
  if (in.size > kMaximumTransfer) return {.error = EINVAL};
  const auto to = request.chain.writable_vectors(sizeof(fuse::OutHeader), in.size);
  const auto size = server_.read(in.handle, in.offset, to, may_wait);
  if (!size) return {.error = size.error()};
  return {.in_place = static_cast<uint32_t>(*size)};
}

Reply Session::write(const Request& request) {
  const auto in = request.as<fuse::WriteIn>();
  if (in.size > kMaximumTransfer || request.chain.readable_size() != kWriteDataOffset + in.size)
    return {.error = EINVAL};
  return count(server_.write(in, request.chain.readable_vectors(kWriteDataOffset, in.size)));
}

Reply Session::process_directories(const Request& request) {
  const uint64_t node = request.header.node;
  switch (request.opcode) {
    case Opcode::open_directory:
      return answer(server_.open_directory(node), false);
    case Opcode::release_directory:
      return answer(server_.release(request.as<fuse::ReleaseIn>().handle));
    case Opcode::sync_directory: {
      const auto in = request.as<fuse::SyncIn>();
      return answer(server_.sync_directory(node, in.handle, in.flags & fuse::kSyncDataOnly));
    }
    default: {
      const auto in = request.as<fuse::ReadIn>();
      // What has no room is not to be looked up, or the guest would never forget it.
      const uint64_t room = request.chain.writable_size() -
                            std::min(request.chain.writable_size(), uint64_t{sizeof(fuse::OutHeader)});
      const auto size = static_cast<uint32_t>(std::min<uint64_t>({in.size, kMaximumTransfer, room}));
      return answer(server_.read_directory(node, in.handle, in.offset, size,
                                           request.opcode == Opcode::read_directory_plus));
    }
  }
}

Reply Session::process_extended_attributes(const Request& request) {
  const uint64_t node = request.header.node;
  const std::string& name = request.names[0];
  switch (request.opcode) {
    case Opcode::set_extended_attribute: {
      const auto in = request.as<fuse::SetExtendedAttributeIn>();
      if (in.size != request.value.size()) return {.error = EINVAL};
      const auto more = request.as<fuse::SetExtendedAttributeInExtension>(sizeof in);  // Or zeroes.
      return answer(server_.set_extended_attribute(node, name, request.value, in.flags,
                                                   more.set_flags & fuse::kSetAclKillSetGroup));
    }
    case Opcode::get_extended_attribute: {
      const auto in = request.as<fuse::GetExtendedAttributeIn>();
      return answer(server_.extended_attribute(node, name, in.size), in.size);
    }
    case Opcode::list_extended_attributes: {
      const auto in = request.as<fuse::GetExtendedAttributeIn>();
      return answer(server_.extended_attributes(node, in.size), in.size);
    }
    default:
      return answer(server_.remove_extended_attribute(node, name));
  }
}

}  // namespace alcove::devices::fs
