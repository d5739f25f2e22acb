// Wire facts of the FUSE protocol, version 7.38, as Linux speaks it (include/uapi/linux/fuse.h): requests are
// an InHeader, fixed arguments and names that end with a zero byte, replies an OutHeader and a payload. No
// behaviour.
#pragma once

#include <bit>
#include <cstdint>

namespace alcove::spec::fuse {

static_assert(std::endian::native == std::endian::little, "fields are read and written as they stand");

inline constexpr uint32_t kMajorVersion = 7;
inline constexpr uint32_t kMinorVersion = 38;
// The first that a virtio driver spoke; all structures below have had their sizes since.
inline constexpr uint32_t kOldestMinorVersion = 31;

inline constexpr uint64_t kRootNode = 1;

enum class Opcode : uint32_t {
  lookup = 1,
  forget = 2,  // No reply.
  get_attributes = 3,
  set_attributes = 4,
  read_link = 5,
  make_symbolic_link = 6,
  make_node = 8,
  make_directory = 9,
  unlink = 10,
  remove_directory = 11,
  rename = 12,
  link = 13,
  open = 14,
  read = 15,
  write = 16,
  file_system_status = 17,
  release = 18,
  sync = 20,
  set_extended_attribute = 21,
  get_extended_attribute = 22,
  list_extended_attributes = 23,
  remove_extended_attribute = 24,
  flush = 25,
  initialize = 26,
  open_directory = 27,
  read_directory = 28,
  release_directory = 29,
  sync_directory = 30,
  get_lock = 31,
  set_lock = 32,
  set_lock_wait = 33,
  access = 34,
  create = 35,
  interrupt = 36,  // No reply of its own.
  block_map = 37,
  destroy = 38,
  ioctl = 39,
  poll = 40,
  batch_forget = 42,  // No reply.
  allocate = 43,
  read_directory_plus = 44,
  rename_with_flags = 45,
  seek = 46,
  copy_range = 47,
  set_up_mapping = 48,
  remove_mapping = 49,
  sync_file_system = 50,
  temporary_file = 51,
};

struct InHeader {
  uint32_t length;  // Of the whole request.
  uint32_t opcode;
  uint64_t unique;
  uint64_t node;
  uint32_t user;
  uint32_t group;
  uint32_t process;
  uint16_t extension_length;  // At the request's end, in units of 8 bytes.
  uint16_t padding;
};
static_assert(sizeof(InHeader) == 40);

struct OutHeader {
  uint32_t length;  // Of the whole reply.
  int32_t error;    // 0, or an errno, negated.
  uint64_t unique;
};
static_assert(sizeof(OutHeader) == 16);

// Flags of InitializeIn and InitializeOut; the upper half is in flags2.
inline constexpr uint64_t kAsyncRead = uint64_t{1} << 0;
inline constexpr uint64_t kPosixLocks = uint64_t{1} << 1;
inline constexpr uint64_t kAtomicTruncate = uint64_t{1} << 3;  // OPEN handles O_TRUNC.
inline constexpr uint64_t kBigWrites = uint64_t{1} << 5;
inline constexpr uint64_t kDontMask = uint64_t{1} << 6;  // The server applies the umask.
inline constexpr uint64_t kFlockLocks = uint64_t{1} << 10;
inline constexpr uint64_t kAutoInvalidateData = uint64_t{1} << 12;
inline constexpr uint64_t kReadDirectoryPlus = uint64_t{1} << 13;
inline constexpr uint64_t kReadDirectoryPlusAuto = uint64_t{1} << 14;
inline constexpr uint64_t kAsyncDirectIo = uint64_t{1} << 15;
inline constexpr uint64_t kWritebackCache = uint64_t{1} << 16;
inline constexpr uint64_t kParallelDirectoryOperations = uint64_t{1} << 18;
inline constexpr uint64_t kPosixAcl = uint64_t{1} << 20;
inline constexpr uint64_t kMaximumPages = uint64_t{1} << 22;
inline constexpr uint64_t kCacheSymbolicLinks = uint64_t{1} << 23;
inline constexpr uint64_t kMapAlignment = uint64_t{1} << 26;  // mapping_alignment is valid.
inline constexpr uint64_t kSubmounts = uint64_t{1} << 27;
inline constexpr uint64_t kHandleKillPrivilegesV2 = uint64_t{1} << 28;
inline constexpr uint64_t kExtendedSetAttribute = uint64_t{1} << 29;
inline constexpr uint64_t kExtendedInitialize = uint64_t{1} << 30;  // flags2 is valid.
inline constexpr uint64_t kInodeDax = uint64_t{1} << 33;  // kAttributesDax says which files are mapped.

struct InitializeIn {
  uint32_t major;
  uint32_t minor;
  uint32_t maximum_readahead;
  uint32_t flags;
};
static_assert(sizeof(InitializeIn) == 16);
struct InitializeInExtension {  // With kExtendedInitialize.
  uint32_t flags2;
  uint32_t unused[11];
};

struct InitializeOut {
  uint32_t major;
  uint32_t minor;
  uint32_t maximum_readahead;
  uint32_t flags;
  uint16_t maximum_background;
  uint16_t congestion_threshold;
  uint32_t maximum_write;
  uint32_t time_granularity;  // In nanoseconds.
  uint16_t maximum_pages;
  uint16_t mapping_alignment;  // The logarithm of it.
  uint32_t flags2;
  uint32_t unused[7];
};
static_assert(sizeof(InitializeOut) == 64);

inline constexpr uint32_t kAttributesSubmount = 1 << 0;  // Attributes::flags
inline constexpr uint32_t kAttributesDax = 1 << 1;
struct Attributes {
  uint64_t inode;
  uint64_t size;
  uint64_t blocks;  // Of 512 bytes.
  uint64_t access_time;
  uint64_t modification_time;
  uint64_t change_time;
  uint32_t access_nanoseconds;
  uint32_t modification_nanoseconds;
  uint32_t change_nanoseconds;
  uint32_t mode;
  uint32_t link_count;
  uint32_t user;
  uint32_t group;
  uint32_t device;  // Minor in bits 0-7 and 20-31, major in 8-19.
  uint32_t block_size;
  uint32_t flags;
};
static_assert(sizeof(Attributes) == 88);

struct EntryOut {
  uint64_t node;  // 0 in READDIRPLUS: the entry was not looked up.
  uint64_t generation;
  uint64_t entry_valid;  // Seconds that the name may be cached, and nanoseconds below.
  uint64_t attributes_valid;
  uint32_t entry_valid_nanoseconds;
  uint32_t attributes_valid_nanoseconds;
  Attributes attributes;
};
static_assert(sizeof(EntryOut) == 128);

struct ForgetIn {
  uint64_t count;
};
struct BatchForgetIn {  // Followed by so many ForgetOne.
  uint32_t count;
  uint32_t padding;
};
struct ForgetOne {
  uint64_t node;
  uint64_t count;
};

inline constexpr uint32_t kGetAttributesHandle = 1 << 0;  // `handle` is valid.
struct GetAttributesIn {
  uint32_t flags;
  uint32_t padding;
  uint64_t handle;
};
struct AttributesOut {
  uint64_t valid;
  uint32_t valid_nanoseconds;
  uint32_t padding;
  Attributes attributes;
};
static_assert(sizeof(AttributesOut) == 104);

// SetAttributesIn::valid
inline constexpr uint32_t kSetMode = 1 << 0;
inline constexpr uint32_t kSetUser = 1 << 1;
inline constexpr uint32_t kSetGroup = 1 << 2;
inline constexpr uint32_t kSetSize = 1 << 3;
inline constexpr uint32_t kSetAccessTime = 1 << 4;
inline constexpr uint32_t kSetModificationTime = 1 << 5;
inline constexpr uint32_t kSetHandle = 1 << 6;  // `handle` is valid.
inline constexpr uint32_t kSetAccessTimeNow = 1 << 7;
inline constexpr uint32_t kSetModificationTimeNow = 1 << 8;
inline constexpr uint32_t kSetKillPrivileges = 1 << 11;
struct SetAttributesIn {
  uint32_t valid;
  uint32_t padding;
  uint64_t handle;
  uint64_t size;
  uint64_t lock_owner;
  uint64_t access_time;
  uint64_t modification_time;
  uint64_t change_time;
  uint32_t access_nanoseconds;
  uint32_t modification_nanoseconds;
  uint32_t change_nanoseconds;
  uint32_t mode;
  uint32_t unused4;
  uint32_t user;
  uint32_t group;
  uint32_t unused5;
};
static_assert(sizeof(SetAttributesIn) == 88);

struct MakeNodeIn {  // A name follows.
  uint32_t mode;
  uint32_t device;
  uint32_t umask;
  uint32_t padding;
};
struct MakeDirectoryIn {  // A name follows.
  uint32_t mode;
  uint32_t umask;
};
struct RenameIn {  // The old name and the new follow.
  uint64_t new_parent;
};
struct RenameWithFlagsIn {  // The old name and the new follow.
  uint64_t new_parent;
  uint32_t flags;  // Those of renameat2(2).
  uint32_t padding;
};
struct LinkIn {  // The new name follows; the header's node is its parent.
  uint64_t old_node;
};

inline constexpr uint32_t kOpenKillPrivileges = 1 << 0;  // OpenIn::open_flags
struct OpenIn {
  uint32_t flags;  // Those of open(2), for the guest's architecture.
  uint32_t open_flags;
};
struct CreateIn {  // A name follows.
  uint32_t flags;
  uint32_t mode;
  uint32_t umask;
  uint32_t open_flags;
};
static_assert(sizeof(CreateIn) == 16);

inline constexpr uint32_t kOpenedDirectIo = 1 << 0;  // OpenOut::open_flags
inline constexpr uint32_t kOpenedKeepCache = 1 << 1;
inline constexpr uint32_t kOpenedCacheDirectory = 1 << 3;
inline constexpr uint32_t kOpenedParallelDirectWrites = 1 << 6;
struct OpenOut {
  uint64_t handle;
  uint32_t open_flags;
  uint32_t padding;
};

inline constexpr uint32_t kReleaseFlockUnlock = 1 << 1;  // ReleaseIn::release_flags
struct ReleaseIn {
  uint64_t handle;
  uint32_t flags;
  uint32_t release_flags;
  uint64_t lock_owner;
};
static_assert(sizeof(ReleaseIn) == 24);
struct FlushIn {
  uint64_t handle;
  uint32_t unused;
  uint32_t padding;
  uint64_t lock_owner;
};

struct ReadIn {
  uint64_t handle;
  uint64_t offset;
  uint32_t size;
  uint32_t read_flags;
  uint64_t lock_owner;
  uint32_t flags;
  uint32_t padding;
};
static_assert(sizeof(ReadIn) == 40);

inline constexpr uint32_t kWriteCache = 1 << 0;  // From the page cache; WriteIn::write_flags
inline constexpr uint32_t kWriteKillPrivileges = 1 << 2;
struct WriteIn {  // The data follow.
  uint64_t handle;
  uint64_t offset;
  uint32_t size;
  uint32_t write_flags;
  uint64_t lock_owner;
  uint32_t flags;
  uint32_t padding;
};
static_assert(sizeof(WriteIn) == 40);
struct WriteOut {
  uint32_t size;
  uint32_t padding;
};

struct FileSystemStatusOut {
  uint64_t blocks;
  uint64_t free_blocks;
  uint64_t available_blocks;
  uint64_t files;
  uint64_t free_files;
  uint32_t block_size;
  uint32_t name_length;
  uint32_t fragment_size;
  uint32_t padding;
  uint32_t spare[6];
};
static_assert(sizeof(FileSystemStatusOut) == 80);

inline constexpr uint32_t kSyncDataOnly = 1 << 0;
struct SyncIn {
  uint64_t handle;
  uint32_t flags;
  uint32_t padding;
};

inline constexpr uint32_t kSetAclKillSetGroup = 1 << 0;  // SetExtendedAttributeIn::set_flags
struct SetExtendedAttributeIn {                          // A name and the value follow.
  uint32_t size;
  uint32_t flags;  // Those of setxattr(2).
};
struct SetExtendedAttributeInExtension {  // Before the name, with kExtendedSetAttribute.
  uint32_t set_flags;
  uint32_t padding;
};
struct GetExtendedAttributeIn {  // A name follows, but where they are listed.
  uint32_t size;                 // 0 asks for the size.
  uint32_t padding;
};
struct GetExtendedAttributeOut {
  uint32_t size;
  uint32_t padding;
};

struct FileLock {
  uint64_t start;
  uint64_t end;   // The last byte's.
  uint32_t type;  // F_RDLCK, F_WRLCK, F_UNLCK
  uint32_t process;
};
static_assert(sizeof(FileLock) == 24);
inline constexpr uint32_t kLockFlock = 1 << 0;
struct LockIn {
  uint64_t handle;
  uint64_t owner;
  FileLock lock;
  uint32_t flags;
  uint32_t padding;
};
static_assert(sizeof(LockIn) == 48);
struct LockOut {
  FileLock lock;
};

struct AccessIn {
  uint32_t mask;
  uint32_t padding;
};
struct InterruptIn {
  uint64_t unique;
};
struct IoctlIn {
  uint64_t handle;
  uint32_t flags;
  uint32_t command;
  uint64_t argument;
  uint32_t in_size;
  uint32_t out_size;
};
struct AllocateIn {
  uint64_t handle;
  uint64_t offset;
  uint64_t length;
  uint32_t mode;  // Of fallocate(2).
  uint32_t padding;
};
static_assert(sizeof(AllocateIn) == 32);
struct SeekIn {
  uint64_t handle;
  uint64_t offset;
  uint32_t whence;
  uint32_t padding;
};
struct SeekOut {
  uint64_t offset;
};
struct CopyRangeIn {
  uint64_t handle_in;
  uint64_t offset_in;
  uint64_t node_out;
  uint64_t handle_out;
  uint64_t offset_out;
  uint64_t length;
  uint64_t flags;
};
static_assert(sizeof(CopyRangeIn) == 56);
inline constexpr uint64_t kMappingWrites = 1 << 0;  // SetUpMappingIn::flags
inline constexpr uint64_t kMappingReads = 1 << 1;
struct SetUpMappingIn {
  uint64_t handle;  // Linux has none: the header's node says which file.
  uint64_t file_offset;
  uint64_t length;
  uint64_t flags;
  uint64_t window_offset;
};
static_assert(sizeof(SetUpMappingIn) == 40);
struct RemoveMappingIn {  // Followed by so many RemoveMappingOne.
  uint32_t count;
};
struct RemoveMappingOne {
  uint64_t window_offset;
  uint64_t length;
};
struct SyncFileSystemIn {
  uint64_t padding;
};

struct DirectoryEntry {  // The name follows; entries begin at multiples of 8.
  uint64_t inode;
  uint64_t offset;  // To go on behind this one.
  uint32_t name_length;
  uint32_t type;  // The mode's upper four bits.
};
static_assert(sizeof(DirectoryEntry) == 24);
inline constexpr uint64_t aligned(uint64_t size) {
  return (size + 7) & ~uint64_t{7};
}

}  // namespace alcove::spec::fuse
