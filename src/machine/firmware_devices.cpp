#include "machine/firmware_devices.h"

#include <sys/stat.h>

#include "boot/efi_boot.h"
#include "spec/fw_cfg.h"
#include "spec/linux_boot.h"

namespace alcove::machine {

namespace {

constexpr std::string_view kStore = "boot_loader.variable_store";

template <class T>
std::vector<uint8_t> bytes_of(T value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  return {bytes, bytes + sizeof value};
}

// The bytes of CMOS memory in which PCs note how much memory they have: above 1 MiB in KiB, above 16 MiB and
// above 4 GiB in 64 KiB.
void note_memory(chips::Rtc& rtc, const MemoryLayout& layout) {
  const auto note = [&rtc](uint8_t index, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i) {
      rtc.set_memory(static_cast<uint8_t>(index + i), static_cast<uint8_t>(value >> 8 * i));
    }
  };
  constexpr uint64_t kKiB = 1 << 10, kMiB = 1 << 20;
  const auto above = [&](uint64_t start) { return layout.low_size > start ? layout.low_size - start : 0; };
  const uint64_t extended = std::min<uint64_t>(above(kMiB) / kKiB, 0xffff);
  note(0x15, 640, 2);
  note(0x17, extended, 2);
  note(0x30, extended, 2);
  note(0x34, above(16 * kMiB) / (64 * kKiB), 2);
  note(0x5b, layout.high_size / (64 * kKiB), 3);
}

}  // namespace

Result<std::unique_ptr<FirmwareDevices>> FirmwareDevices::create(IoRouter& router,
                                                                 memory::GuestMemory& memory,
                                                                 Descriptors& descriptors) {
  std::unique_ptr<FirmwareDevices> result(new FirmwareDevices(memory));
  using namespace spec::fw_cfg;
  if (auto added = router.ports.add(kSelectorPort, kPortCount, result->fw_cfg_, "firmware configuration");
      !added) {
    return std::unexpected(added.error());
  }

  UniqueFd store = descriptors.take(kStore);
  struct stat status{};
  if (!store || ::fstat(store.get(), &status) != 0) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, std::string(kStore), "is missing");
  }
  const auto size = static_cast<uint64_t>(status.st_size);
  const uint64_t top = memory.find(layout::kHighMemory - memory::kPageSize, 1)->guest_address;
  if (layout::kHighMemory - top + size > boot::kLargestFirmware) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, std::string(kStore),
                "is too large for a PC's flash");
  }
  auto flash = chips::Flash::create(std::move(store), size, std::string(kStore));
  if (!flash) return std::unexpected(flash.error());
  result->variable_store_ = std::move(*flash);
  if (auto added = router.memory.add(top - size, size, *result->variable_store_, "variable store"); !added)
    return std::unexpected(added.error());

  if (UniqueFd log = descriptors.take("boot_loader.firmware_log")) {
    result->debug_port_ = std::make_unique<chips::DebugPort>(std::move(log));
    if (auto added = router.ports.add(chips::DebugPort::kPort, 1, *result->debug_port_, "debug port"); !added)
      return std::unexpected(added.error());
  }
  return result;
}

void FirmwareDevices::describe(Board& board, const MemoryLayout& layout, unsigned cpu_count,
                               const std::array<uint8_t, 16>& identifier) {
  namespace key = spec::fw_cfg::key;
  const auto cpus = static_cast<uint16_t>(cpu_count);
  fw_cfg_.set_item(key::uuid, {identifier.begin(), identifier.end()});
  fw_cfg_.set_item(key::memory_size, bytes_of(layout.low_size + layout.high_size));
  fw_cfg_.set_item(key::cpu_count, bytes_of(cpus));
  fw_cfg_.set_item(key::maximum_cpu_count, bytes_of(cpus));
  fw_cfg_.set_item(key::boot_menu, bytes_of(uint16_t{0}));
  for (firmware::FwCfgFile& file : board.firmware_files(identifier)) {
    fw_cfg_.set_file(file.name, std::move(file.bytes));
  }
  using spec::fw_cfg::E820Entry;
  std::vector<E820Entry> map{{0, layout.low_size, spec::linux_boot::ram}};
  if (layout.high_size) map.push_back({layout::kHighMemory, layout.high_size, spec::linux_boot::ram});
  firmware::FwCfgFile file = firmware::memory_map_file(map);
  fw_cfg_.set_file(file.name, std::move(file.bytes));
  note_memory(board.rtc(), layout);
}

void FirmwareDevices::reset() {
  fw_cfg_.reset();
  variable_store_->reset();
}

}  // namespace alcove::machine
