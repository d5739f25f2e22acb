// A file server for one guest: the operations of FUSE on shared folders, as a Linux host can do them without
// rights.
//
// Arguments are the guest's, and nothing is believed of them but that names have no zero byte: numbers of
// nodes and handles may be any, sizes are limited where memory is taken. Failures are errnos, to be told to
// the guest.
#pragma once

#include <alcove/error.h>
#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "share/inode_table.h"
#include "share/ownership.h"
#include "spec/fuse.h"

namespace alcove::share {

namespace fuse = spec::fuse;

// What the guest mounts.
struct Share {
  bool is_single = false;  // The mount is the one folder; else it is a folder of folders.
  std::vector<std::shared_ptr<const Root>> folders;
};

// Opens what can be by its descriptor: `folder` is O_PATH.
std::shared_ptr<const Root> make_root(std::string name, SharedDirectory options, UniqueFd folder);

// What processes of the host are like is no file: by /proc a guest would reach this process's own memory.
bool may_be_shared(int folder);

// Whoever asks in the guest.
struct Caller {
  Owner owner;
  uint32_t process = 0;
  mode_t mask = 0;  // umask(2); with what makes files only.
};

using Bytes = std::vector<std::byte>;

// While something is made: the thread's umask(2) is the caller's, which Linux applies where the folder has no
// default access control list.
class WithMask {
 public:
  WithMask(const Inode& folder, const Caller& caller);
  ~WithMask();
  WithMask(const WithMask&) = delete;
  WithMask& operator=(const WithMask&) = delete;

 private:
  const mode_t mask_;
};

struct ServerLimits {
  size_t inodes = 4 << 20;  // That the guest knows.
  // Descriptors, and as many again for locks as for open files.
  size_t open_files = 8192;
  size_t paths = 2048;
};

// What depends on the guest's kernel.
struct Ways {
  bool writeback_cache = false;   // It may write later than its programs do, and knows files' sizes better.
  bool shared_locks = false;      // It asks for locks.
  bool access_lists = false;      // It goes by access control lists, and leaves umask(2) to the server.
  bool told_what_to_map = false;  // It maps the files that it is told to.
};

// Any thread; operations may be under way at once.
class Server {
 public:
  static Result<std::unique_ptr<Server>> create(Share share, const ServerLimits& limits = {});
  ~Server();

  // The guest mounts another share from now on. What it knows of the old one is stale; its open files are
  // closed.
  void replace(Share share);

  // What would be right for all folders of the share.
  Ways wanted_ways() const;
  // The guest knows nothing, has nothing open, and goes about it in these ways.
  void reset(const Ways& ways = {});

  Outcome<fuse::EntryOut> look_up(uint64_t parent, std::string_view name);
  void forget(uint64_t node, uint64_t count) { inodes_.forget(node, count); }

  Outcome<fuse::AttributesOut> attributes(uint64_t node, std::optional<uint64_t> handle);
  Outcome<fuse::AttributesOut> set_attributes(uint64_t node, const fuse::SetAttributesIn& wanted);
  Outcome<> access(uint64_t node, uint32_t mask);
  Outcome<fuse::FileSystemStatusOut> file_system_status(uint64_t node);

  Outcome<std::string> read_link(uint64_t node);
  Outcome<fuse::EntryOut> make_directory(uint64_t parent, std::string_view name, uint32_t mode,
                                         const Caller& caller);
  Outcome<fuse::EntryOut> make_node(uint64_t parent, std::string_view name, const fuse::MakeNodeIn& node,
                                    const Caller& caller);
  Outcome<fuse::EntryOut> make_symbolic_link(uint64_t parent, std::string_view name, std::string_view target,
                                             const Caller& caller);
  Outcome<fuse::EntryOut> link(uint64_t node, uint64_t parent, std::string_view name);
  Outcome<> unlink(uint64_t parent, std::string_view name, bool is_directory);
  Outcome<> rename(uint64_t parent, std::string_view name, uint64_t new_parent, std::string_view new_name,
                   uint32_t flags);

  struct Opened {
    fuse::EntryOut entry{};  // With create() only.
    fuse::OpenOut open{};
    bool is_changed = true;  // With open() only: perhaps, since it was opened last.
  };
  Outcome<Opened> open(uint64_t node, uint32_t flags, bool kill_privileges);
  Outcome<Opened> create(uint64_t parent, std::string_view name, const fuse::CreateIn& how,
                         const Caller& caller);
  Outcome<Opened> make_temporary(uint64_t parent, const fuse::CreateIn& how, const Caller& caller);
  Outcome<> release(uint64_t handle);
  // EAGAIN unless it `may_wait` and the host would have to.
  Outcome<size_t> read(uint64_t handle, uint64_t offset, std::span<const iovec> to, bool may_wait = true);
  Outcome<size_t> write(const fuse::WriteIn& where, std::span<const iovec> from);
  // A file for mmap(2), to be written if it `is_written`.
  Outcome<UniqueFd> open_to_map(uint64_t node, bool is_written);
  Outcome<> flush(uint64_t node, uint64_t handle, uint64_t lock_owner);
  Outcome<> sync(uint64_t handle, bool data_only);
  Outcome<> sync_file_system(uint64_t node);
  Outcome<> allocate(const fuse::AllocateIn& what);
  Outcome<uint64_t> seek(const fuse::SeekIn& to);
  Outcome<size_t> copy_range(const fuse::CopyRangeIn& what);

  // EAGAIN where somebody else has it; whoever waits tries again.
  Outcome<> set_lock(const fuse::LockIn& what);
  // The lock that is in the way; its type is F_UNLCK if none is.
  Outcome<fuse::FileLock> get_lock(const fuse::LockIn& what);

  Outcome<Opened> open_directory(uint64_t node);
  // Entries from `offset` on, at most `size` bytes; none at the end. `with_attributes`: of READDIRPLUS, each
  // of which the guest has been told of.
  Outcome<Bytes> read_directory(uint64_t node, uint64_t handle, uint64_t offset, uint32_t size,
                                bool with_attributes);
  Outcome<> sync_directory(uint64_t node, uint64_t handle, bool data_only);

  // `drop_set_group`: the new access control list takes away the bit that gives a file its group's rights.
  Outcome<> set_extended_attribute(uint64_t node, const std::string& name, std::span<const std::byte> value,
                                   uint32_t flags, bool drop_set_group = false);
  // Up to `size` bytes; where that is 0, how many there are.
  struct Extended {
    Bytes bytes;
    uint32_t size = 0;
  };
  Outcome<Extended> extended_attribute(uint64_t node, const std::string& name, uint32_t size);
  Outcome<Extended> extended_attributes(uint64_t node, uint32_t size);
  Outcome<> remove_extended_attribute(uint64_t node, const std::string& name);

  size_t known_inodes() { return inodes_.size(); }
  size_t open_files();
  size_t open_paths() { return inodes_.open_paths(); }

 private:
  using Node = std::shared_ptr<Inode>;
  using File = std::shared_ptr<OpenFile>;
  // A folder in which something is to be done, and its descriptor.
  struct Folder {
    Node inode;
    SharedFd path;
    int fd() const { return path->get(); }
  };
  explicit Server(const ServerLimits& limits) : limits_(limits), inodes_(limits.inodes, limits.paths) {}

  Outcome<Node> inode(uint64_t node);
  Outcome<Folder> folder(uint64_t node, std::string_view name, bool to_change);
  Outcome<File> file(uint64_t handle);
  Outcome<uint64_t> add_file(const File& file);
  fuse::OpenOut opened(const Inode& inode, uint64_t handle, bool is_changed);
  void forget_all();
  // "/proc/self/fd/N"
  static std::string proc_path(int fd);
  Outcome<UniqueFd> reopen(const Inode& inode, int path, uint32_t flags) const;

  fuse::Attributes describe(const Node& inode, const Status& status);
  fuse::Attributes describe_names() const;
  fuse::EntryOut entry(const Node& inode, const Status& status, const Inode* parent);
  fuse::AttributesOut with_validity(const Inode& inode, const fuse::Attributes& attributes) const;
  Outcome<fuse::EntryOut> look_up_share(const Node& names, std::string_view name);
  // What was made as `name` gets its owner and mode, and the guest is told of it.
  Outcome<fuse::EntryOut> introduce(const Folder& folder, const std::string& name, mode_t mode,
                                    uint32_t device, const Caller& caller);
  static Outcome<Owner> host_owner(const Inode& folder, const Caller& caller);
  Outcome<> give(const Folder& folder, int path, mode_t mode, uint32_t device, const Caller& caller);
  Outcome<File> file_to_lock(uint64_t handle);
  Outcome<SharedFd> lock_file(const File& opened, uint64_t owner);
  void drop_locks(uint64_t node, uint64_t owner);
  Outcome<> set_owner(const Inode& inode, int path, const fuse::SetAttributesIn& wanted);
  Outcome<> set_mode(const Inode& inode, int path, const fuse::SetAttributesIn& wanted);
  // Virtual ownership. `path` is proc_path()'s.
  static Outcome<> set_override(const Inode& inode, const std::string& path, const Override& override);
  static Outcome<> drop_set_ids(const Inode& inode, int fd);
  // Access control lists: chmod(2) has been called; what a new file gets from the folder's.
  static Outcome<> change_access_list(const std::string& path, mode_t mode);
  static Outcome<mode_t> inherit_access_lists(const std::string& folder, const std::string& path, mode_t mode,
                                              mode_t mask);
  // The extended attribute that keeps what the guest calls `name`; nothing where the share has none such.
  Outcome<std::string> kept_as(const Inode& inode, const std::string& name) const;
  Outcome<> set_access_list(const Inode& inode, int descriptor, const std::string& name,
                            std::span<const std::byte> value, bool drop_set_group);
  Outcome<Bytes> access_list(const Inode& inode, const std::string& path, const std::string& name) const;
  Outcome<> set_size(const Inode& inode, int path, const fuse::SetAttributesIn& wanted);
  static Outcome<> set_times(int path, const fuse::SetAttributesIn& wanted);
  Outcome<Bytes> read_names(const Node& names, uint64_t offset, uint32_t size, bool with_attributes);

  const ServerLimits limits_;
  UniqueFd proc_fds_;
  std::atomic<bool> writeback_cache_ = false;
  std::atomic<bool> shared_locks_ = false;
  std::atomic<bool> access_lists_ = false;
  std::atomic<bool> tells_what_to_map_ = false;
  InodeTable inodes_;

  mutable std::mutex mutex_;  // Guards what follows.
  Share share_;
  std::unordered_map<uint64_t, File> files_;
  uint64_t next_handle_ = 1;
  std::map<std::pair<uint64_t, uint64_t>, SharedFd> lock_files_;  // By node and owner.
};

}  // namespace alcove::share
