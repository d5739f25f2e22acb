// Storage devices, and what backs them on the host.
#pragma once

#include <alcove/error.h>
#include <alcove/platform.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace alcove {

// How reads and writes of the guest reach the image.
enum class DiskImageCachingMode {
  automatic,  // The same as `cached`.
  uncached,   // The image is opened with O_DIRECT: past the host's page cache. Not every file system can.
  cached,     // preadv(2) and pwritev(2) through the host's page cache.
};

// What a guest's flush (and a write that asks for it) waits for.
enum class DiskImageSynchronizationMode {
  full = 1,  // fsync(2): data and all metadata are on permanent media, the drive's own cache included.
  // fdatasync(2): the data, and the metadata needed to read it. Linux empties the drive's cache here too,
  // unless the host's file system is mounted without barriers.
  fsync,
  none,  // Nothing. After a failure of the host or of the machine's process the image may be unusable.
};

// Two machines that write one image destroy it. So the image is locked (an open file description lock, which
// ends with the machine): exclusively by a writer, shared by readers.
enum class DiskImageLockingMode {
  automatic,
  none,  // The caller makes sure itself.
};

enum class DiskImageFormat {
  // qcow2 where the file begins as such an image does, raw otherwise. A guest whose disk was taken for raw
  // this
  // way can't write the beginning of a qcow2 image there: that request fails.
  automatic,
  raw,    // Byte for byte what the guest sees, a multiple of 512 bytes; sparse files are fine. Whatever is in
          // it.
  qcow2,  // QEMU's format, versions 2 and 3, without encryption, external data file and extended L2 entries.
};

// An image below another one: read, and never written by the guest.
struct DiskImageLayer {
  std::filesystem::path path;
  DiskImageFormat format = DiskImageFormat::automatic;
  // No image, but a file that keeps what is read of the images below it, because these are slow to read. It
  // is made if there is none, and belongs to one machine at a time. It is begun anew if it was not closed
  // (the process was killed, the host lost power), or the images below it are others or have changed since.
  // Nothing tells this of block devices: over one of these it is begun anew at each start.
  // One layer at most, and not the lowest one.
  bool is_cache = false;

  bool operator==(const DiskImageLayer&) const = default;
};

// A disk image in a file.
struct DiskImageStorageDeviceAttachment {
  std::filesystem::path path;  // A regular file or a block device.
  DiskImageFormat format = DiskImageFormat::automatic;
  // The images below a qcow2 image, from the lowest to the one just below it: what no higher one has is read
  // there. Only the lowest may be raw. The disk has the size of the one on top. Any number of machines may
  // share them. They take the place of the backing files that images name themselves.
  std::vector<DiskImageLayer> base_layers;
  // Opens the backing files that images name themselves. Otherwise an image that names one is refused:
  // whoever made it would choose which of your files the guest reads.
  bool allow_backing_files = false;
  bool read_only = false;  // Opened for reading only, and the guest sees a write-protected disk.
  DiskImageCachingMode caching_mode = DiskImageCachingMode::automatic;
  DiskImageSynchronizationMode synchronization_mode = DiskImageSynchronizationMode::full;
  DiskImageLockingMode locking_mode = DiskImageLockingMode::automatic;

  bool operator==(const DiskImageStorageDeviceAttachment&) const = default;
};

// A disk that a server of the Network Block Device protocol has. The machine's process connects when the
// machine starts. When the connection fails, an answer takes too long, or the server reports an error of its
// own, it connects again and repeats what was under way: the guest only waits. After ten failures in a row it
// gives up: the observer is told, and all requests fail from then on.
struct NetworkBlockDeviceStorageDeviceAttachment {
  // nbd://HOST[:PORT]/[EXPORT] (port 10809), nbd+unix:///[EXPORT]?socket=PATH; nbds:// and nbds+unix:// by
  // TLS.
  std::string url;
  uint32_t timeout = 15;          // Seconds for connecting and for each answer, 1 to 3600.
  bool forced_read_only = false;  // Otherwise the server says whether the disk can be written.
  // `full` and `fsync` are the same: the server makes of a flush what it makes of it.
  DiskImageSynchronizationMode synchronization_mode = DiskImageSynchronizationMode::full;

  // Tells whether a text is such a URL; nothing is connected.
  static Result<> validate_url(std::string_view url);

  bool operator==(const NetworkBlockDeviceStorageDeviceAttachment&) const = default;
};

// A block device of the host, or a raw image, that somebody else has opened: perhaps a helper with more
// rights. Reads and writes go through the host's page cache; nothing is locked.
struct DiskBlockDeviceStorageDeviceAttachment {
  int file_handle = -1;  // Duplicated when the machine is created.
  bool read_only =
      false;  // The guest sees a write-protected disk; must be set if it is open for reading only.
  DiskImageSynchronizationMode synchronization_mode = DiskImageSynchronizationMode::full;

  bool operator==(const DiskBlockDeviceStorageDeviceAttachment&) const = default;
};

using StorageDeviceAttachment =
    std::variant<DiskImageStorageDeviceAttachment, NetworkBlockDeviceStorageDeviceAttachment,
                 DiskBlockDeviceStorageDeviceAttachment>;

// How much a guest may ask of a disk, averaged over a tenth of a second: what is beyond it waits. 0: as much
// as the host can do.
struct StorageDeviceLimits {
  uint64_t bytes_per_second = 0;       // Read and written, together.
  uint64_t operations_per_second = 0;  // Reads, writes and discards.

  bool operator==(const StorageDeviceLimits&) const = default;
};

// A virtio disk: /dev/vda, /dev/vdb… in the order of the list.
struct VirtioBlockDeviceConfiguration {
  // At most 20 bytes of printable ASCII without '/': Linux guests show it as /dev/disk/by-id/virtio-….
  // Empty means none.
  std::string block_device_identifier;
  StorageDeviceAttachment attachment;
  // Request queues, 1 to 64; 0 means one for each virtual CPU, up to 8.
  uint16_t queue_count = 0;
  StorageDeviceLimits limits;

  // Tells whether a text may serve as block_device_identifier.
  static Result<> validate_block_device_identifier(std::string_view identifier);

  bool operator==(const VirtioBlockDeviceConfiguration&) const = default;
};

// An NVM Express controller with one namespace: /dev/nvme0n1, /dev/nvme1n1… in the order of the list.
// Firmware has a driver for it, and so has every operating system of these years.
struct NVMExpressControllerDeviceConfiguration {
  // At most 20 bytes of printable ASCII without '/' and blanks: Linux guests show it as
  // /dev/disk/by-id/nvme-…. Empty means one made from the place in the list.
  std::string serial_number;
  StorageDeviceAttachment attachment;
  StorageDeviceLimits limits;

  // Tells whether a text may serve as serial_number.
  static Result<> validate_serial_number(std::string_view serial_number);

  bool operator==(const NVMExpressControllerDeviceConfiguration&) const = default;
};

using UUID = GenericMachineIdentifier;

// A USB stick, or a CD-ROM drive with a disc in it: /dev/sda or /dev/sr0. It is plugged into the machine's
// first USB controller, which the machine has even where none is configured. Firmware, installers and all
// operating systems of these years have drivers.
struct USBMassStorageDeviceConfiguration {
  UUID uuid;  // Tells it from other devices; random by default. The guest sees it as the serial number.
  StorageDeviceAttachment attachment;
  // The image is a disc's (an .iso file), in a drive that reads only.
  bool optical_disc = false;
  // Offers USB Attached SCSI (UAS) beside bulk-only transport: the guest's driver chooses, and those that
  // know it have several commands under way at once. Drives with discs are always bulk-only.
  bool attached_scsi = true;
  StorageDeviceLimits limits;

  bool operator==(const USBMassStorageDeviceConfiguration&) const = default;
};

using StorageDeviceConfiguration =
    std::variant<VirtioBlockDeviceConfiguration, NVMExpressControllerDeviceConfiguration,
                 USBMassStorageDeviceConfiguration>;

}  // namespace alcove
