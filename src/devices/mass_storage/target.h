// A SCSI logical unit: what each command asks for (SPC-4, SBC-3; as an optical disc MMC-6). Whatever of a
// command's bytes may be hostile is checked here; what comes out is within the disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "spec/scsi.h"

namespace alcove::devices::mass_storage {

using Bytes = std::vector<std::byte>;
using spec::scsi::Sense;

struct TargetOptions {
  uint64_t size = 0;  // In bytes.
  bool read_only = false;
  bool is_optical = false;  // A CD-ROM drive with a disc in it.
  std::string serial;
};

struct Range {  // In bytes, within the disk.
  uint64_t offset = 0;
  uint64_t size = 0;
};

// What is to be done for a command.
struct Answer {
  Bytes bytes;
};
struct Read : Range {};
struct Write : Range {
  bool to_medium = false;  // Force unit access.
};
struct Flush {};
struct Parameters {  // The command continues with Target::unmap() once they are there.
  size_t size = 0;
};
struct Nothing {};
using Command = std::variant<Answer, Read, Write, Flush, Parameters, Nothing, Sense>;

class Target {
 public:
  explicit Target(const TargetOptions& options) : options_(options), size_(options.size) {}

  // A drive's disc is another one, of so many bytes, or taken out, whatever the host's system prevents. It
  // hears of that with its next command.
  void change_medium(std::optional<uint64_t> size);

  // `cdb` has 1 to 16 bytes.
  Command parse(std::span<const std::byte> cdb);
  // The ranges of an UNMAP's parameter list.
  std::expected<std::vector<Range>, Sense> unmap(std::span<const std::byte> parameters) const;

  // What REQUEST SENSE tells next; told once.
  void set_sense(const Sense& sense) { sense_ = sense; }
  static Bytes sense_data(const Sense& sense);

  uint32_t block_size() const { return options_.is_optical ? 2048 : 512; }
  uint64_t block_count() const { return size_ / block_size(); }
  bool is_read_only() const { return options_.read_only || options_.is_optical; }
  bool is_ejected() const { return ejected_; }

 private:
  Command inquiry(std::span<const std::byte> cdb) const;
  Command product_data(uint8_t page) const;
  Command mode_sense(std::span<const std::byte> cdb) const;
  Command capacity10() const;
  Command capacity16() const;
  Command start_stop(std::span<const std::byte> cdb);
  Command transfer(std::span<const std::byte> cdb, bool writes) const;
  Command read_toc(std::span<const std::byte> cdb) const;
  Command get_configuration() const;
  Command event_status(std::span<const std::byte> cdb);
  Command parse_optical(std::span<const std::byte> cdb);
  bool contains(uint64_t block, uint64_t count) const;

  const TargetOptions options_;
  Sense sense_;
  uint64_t size_;
  bool has_medium_ = true;
  bool ejected_ = false;            // Or there is no medium.
  std::optional<Sense> attention_;  // Told once, instead of what a command asks for (SPC-4, section 5.14).
  uint8_t media_event_ = 0;         // Told once (MMC-6, table 295).
  bool removal_prevented_ = false;
};

}  // namespace alcove::devices::mass_storage
