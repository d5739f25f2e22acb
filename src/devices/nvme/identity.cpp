#include "devices/nvme/identity.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "spec/nvme.h"
#include "spec/pci.h"

namespace alcove::devices::nvme {

using namespace spec::nvme;

namespace {

constexpr uint16_t kTemperature = 300;  // Kelvins; nothing gets warm.
// Hosts store blocks of 4 KiB; guests that align to them spare the host from reading before it writes.
constexpr uint16_t kBlocksInHostBlock = 4096 / kBlockSize;

// ASCII fields are padded with blanks (section 1.8).
template <size_t size>
void put(char (&field)[size], std::string_view text) {
  std::memset(field, ' ', size);
  std::memcpy(field, text.data(), std::min(size, text.size()));
}

template <class T>
Page page_of(const T& structure) {
  static_assert(sizeof(T) == sizeof(Page));
  Page page;
  std::memcpy(page.data(), &structure, sizeof page);
  return page;
}

Page controller(const Options& options, const storage::Disk& disk) {
  ControllerIdentity identity{};
  identity.vendor = identity.subsystem_vendor = kPciVendor;
  put(identity.serial, options.serial);
  put(identity.model, "Alcove NVM Express Disk");
  put(identity.firmware, "1");
  identity.maximum_transfer = kMaximumTransferShift;
  identity.controller_id = 1;
  identity.version = kVersion1_4;
  identity.controller_type = 1;
  identity.optional_admin = 1 << 8;
  identity.optional_events = kEventsOfNamespaces;
  identity.abort_limit = 3;
  identity.event_limit = kMostEventRequests - 1;
  identity.firmware_slots = 1 << 1 | 1;       // One, read only.
  identity.log_attributes = 1 << 1 | 1 << 2;  // Effects; offsets into log pages.
  identity.warning_temperature = 343;
  identity.critical_temperature = 353;
  identity.submission_entry_sizes = kSubmissionSizeLog << 4 | kSubmissionSizeLog;
  identity.completion_entry_sizes = kCompletionSizeLog << 4 | kCompletionSizeLog;
  identity.namespace_count = 1;
  identity.optional_commands = disk.is_read_only() ? 1 : 1 | 1 << 2 | 1 << 3;
  identity.volatile_write_cache = disk.is_read_only() ? 3 << 1 : 3 << 1 | 1;
  // Unique, as section 7.9 asks for.
  std::string name = "nqn.2014-08.org.nvmexpress:uuid:";
  constexpr char kDigits[] = "0123456789abcdef";
  for (size_t index = 0; index < options.identifier.size(); ++index) {
    if (index == 4 || index == 6 || index == 8 || index == 10) name += '-';
    name += kDigits[options.identifier[index] >> 4];
    name += kDigits[options.identifier[index] & 0xf];
  }
  std::memcpy(identity.qualified_name, name.data(), name.size());
  identity.power0_maximum = 100;
  return page_of(identity);
}

Page name_space(const Options& options, const storage::Disk& disk) {
  NamespaceIdentity identity{};
  identity.size = identity.capacity = identity.utilization = disk.size() / kBlockSize;
  identity.features = 1 << 4;
  identity.write_granularity = identity.write_alignment = kBlocksInHostBlock - 1;
  identity.deallocate_granularity = identity.deallocate_alignment = kBlocksInHostBlock - 1;
  identity.attributes = disk.is_read_only() ? 1 : 0;
  std::memcpy(identity.guid, options.identifier.data(), sizeof identity.guid);
  identity.formats[0] = kBlockShift << 16;
  return page_of(identity);
}

}  // namespace

std::optional<Page> identify(uint8_t what, uint32_t namespace_id, const Options& options,
                             const storage::Disk& disk, uint16_t& status) {
  Page page{};
  status = kInvalidNamespace;
  switch (what) {
    case kIdentifyNamespace:
      if (namespace_id == 0 || namespace_id == kAllNamespaces) return std::nullopt;
      // Zeroes for a namespace that is not active; ids beyond the count are invalid.
      return namespace_id == 1 ? std::optional(name_space(options, disk)) : std::nullopt;
    case kIdentifyController:
      return controller(options, disk);
    case kIdentifyActiveNamespaces:  // Those above the one given.
      if (namespace_id >= 0xffff'fffe) return std::nullopt;
      if (namespace_id == 0) page[0] = std::byte{1};
      return page;
    case kIdentifyDescriptors:
      if (namespace_id != 1) return std::nullopt;
      page[0] = std::byte{kDescriptorUuid};
      page[1] = std::byte{sizeof options.identifier};
      std::memcpy(page.data() + 4, options.identifier.data(), sizeof options.identifier);
      return page;
    default:
      status = kInvalidField;
      return std::nullopt;
  }
}

namespace {

template <class T>
std::vector<std::byte> bytes_of(const T& structure) {
  const auto bytes = std::as_bytes(std::span(&structure, 1));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> health(const Statistics& statistics) {
  HealthLog log{};
  constexpr uint64_t kBlocksInUnit = 1000;
  log.temperature = kTemperature;
  log.available_spare = 100;
  log.spare_threshold = 10;
  log.data_read[0] = (statistics.blocks_read + kBlocksInUnit - 1) / kBlocksInUnit;
  log.data_written[0] = (statistics.blocks_written + kBlocksInUnit - 1) / kBlocksInUnit;
  log.reads[0] = statistics.reads;
  log.writes[0] = statistics.writes;
  log.power_cycles[0] = 1;
  log.media_errors[0] = statistics.errors;
  return bytes_of(log);
}

// Figure 199: bit 0 supported, bit 1 changes contents; admin commands first.
std::vector<std::byte> effects() {
  std::vector<std::byte> log(4096);
  for (const uint8_t opcode :
       {kDeleteSubmissionQueue, kCreateSubmissionQueue, kGetLogPage, kDeleteCompletionQueue,
        kCreateCompletionQueue, kIdentify, kAbort, kSetFeatures, kGetFeatures, kAsynchronousEventRequest,
        kDoorbellBufferConfig}) {
    log[size_t{4} * opcode] = std::byte{1};
  }
  for (const uint8_t opcode : {kFlush, kRead, kCompare}) log[1024 + size_t{4} * opcode] = std::byte{1};
  for (const uint8_t opcode : {kWrite, kWriteZeroes, kDatasetManagement})
    log[1024 + size_t{4} * opcode] = std::byte{3};
  return log;
}

}  // namespace

std::optional<std::vector<std::byte>> log_page(uint8_t which, const Statistics& statistics,
                                               bool namespace_changed) {
  switch (which) {
    case kLogErrors:
      return std::vector<std::byte>(64);  // One entry, of no error.
    case kLogHealth:
      return health(statistics);
    case kLogFirmware: {
      std::vector<std::byte> log(512);
      log[0] = std::byte{1};  // The active slot,
      std::memcpy(log.data() + 8, "1       ", 8);
      return log;
    }
    case kLogChangedNamespaces: {  // A list of their ids, ended by 0.
      std::vector<std::byte> log(kMostChangedNamespaces * sizeof(uint32_t));
      if (namespace_changed) log[0] = std::byte{1};
      return log;
    }
    case kLogEffects:
      return effects();
    default:
      return std::nullopt;
  }
}

}  // namespace alcove::devices::nvme
