// ACPI tables (ACPI specification 6.5, chapter 5) as far as the machine has them.
#pragma once

#include <array>
#include <cstdint>

namespace alcove::spec::acpi {

#pragma pack(push, 1)

struct Rsdp {  // 5.2.5.3
  std::array<char, 8> signature{'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '};
  uint8_t checksum = 0;  // Of the first 20 bytes.
  std::array<char, 6> oem_id{};
  uint8_t revision = 2;
  uint32_t rsdt_address = 0;
  uint32_t length = 36;
  uint64_t xsdt_address = 0;
  uint8_t extended_checksum = 0;
  std::array<uint8_t, 3> reserved{};
};
static_assert(sizeof(Rsdp) == 36);

struct TableHeader {  // 5.2.6
  std::array<char, 4> signature{};
  uint32_t length = 0;
  uint8_t revision = 0;
  uint8_t checksum = 0;
  std::array<char, 6> oem_id{};
  std::array<char, 8> oem_table_id{};
  uint32_t oem_revision = 1;
  std::array<char, 4> creator_id{};
  uint32_t creator_revision = 1;
};
static_assert(sizeof(TableHeader) == 36);

enum class AddressSpace : uint8_t { memory = 0, io = 1 };

struct GenericAddress {  // 5.2.3.2
  AddressSpace space = AddressSpace::memory;
  uint8_t bit_width = 0;
  uint8_t bit_offset = 0;
  uint8_t access_size = 0;  // 1 byte, 2 word, 3 dword, 4 qword.
  uint64_t address = 0;
};
static_assert(sizeof(GenericAddress) == 12);

// FADT, 5.2.9.
struct Fadt {
  TableHeader header{.signature = {'F', 'A', 'C', 'P'}, .length = 276, .revision = 6};
  uint32_t firmware_control = 0;
  uint32_t dsdt = 0;
  uint8_t reserved0 = 0;
  uint8_t preferred_pm_profile = 0;
  uint16_t sci_interrupt = 0;
  uint32_t smi_command = 0;
  uint8_t acpi_enable = 0, acpi_disable = 0, s4bios_request = 0, pstate_control = 0;
  uint32_t pm1a_event_block = 0, pm1b_event_block = 0;
  uint32_t pm1a_control_block = 0, pm1b_control_block = 0;
  uint32_t pm2_control_block = 0, pm_timer_block = 0;
  uint32_t gpe0_block = 0, gpe1_block = 0;
  uint8_t pm1_event_length = 0, pm1_control_length = 0, pm2_control_length = 0, pm_timer_length = 0;
  uint8_t gpe0_length = 0, gpe1_length = 0, gpe1_base = 0, cst_control = 0;
  uint16_t c2_latency = 0, c3_latency = 0;
  uint16_t flush_size = 0, flush_stride = 0;
  uint8_t duty_offset = 0, duty_width = 0;
  uint8_t day_alarm = 0, month_alarm = 0, century = 0;
  uint16_t boot_architecture = 0;
  uint8_t reserved1 = 0;
  uint32_t flags = 0;
  GenericAddress reset_register{};
  uint8_t reset_value = 0;
  uint16_t arm_boot_architecture = 0;
  uint8_t minor_version = 5;
  uint64_t x_firmware_control = 0;
  uint64_t x_dsdt = 0;
  GenericAddress x_pm1a_event_block{}, x_pm1b_event_block{};
  GenericAddress x_pm1a_control_block{}, x_pm1b_control_block{};
  GenericAddress x_pm2_control_block{}, x_pm_timer_block{};
  GenericAddress x_gpe0_block{}, x_gpe1_block{};
  GenericAddress sleep_control{}, sleep_status{};
  uint64_t hypervisor_vendor = 0;
};
static_assert(sizeof(Fadt) == 276);

namespace fadt_flags {  // Table 5.10
inline constexpr uint32_t wbinvd = 1u << 0;
inline constexpr uint32_t c1_supported = 1u << 2;
inline constexpr uint32_t no_fixed_sleep_button = 1u << 5;
inline constexpr uint32_t no_fixed_rtc_wake = 1u << 6;
inline constexpr uint32_t timer_is_32_bits = 1u << 8;
inline constexpr uint32_t reset_register_supported = 1u << 10;
}  // namespace fadt_flags

namespace boot_architecture {  // Table 5.11
inline constexpr uint16_t legacy_devices = 1u << 0;
inline constexpr uint16_t keyboard_controller = 1u << 1;
inline constexpr uint16_t no_vga = 1u << 2;
}  // namespace boot_architecture

struct Facs {  // 5.2.10; 64-byte aligned, no checksum
  std::array<char, 4> signature{'F', 'A', 'C', 'S'};
  uint32_t length = 64;
  uint32_t hardware_signature = 0;
  uint32_t waking_vector = 0;
  uint32_t global_lock = 0;
  uint32_t flags = 0;
  uint64_t x_waking_vector = 0;
  uint8_t version = 2;
  std::array<uint8_t, 3> reserved0{};
  uint32_t ospm_flags = 0;
  std::array<uint8_t, 24> reserved1{};
};
static_assert(sizeof(Facs) == 64);

// MADT, 5.2.12.
struct MadtHead {
  TableHeader header{.signature = {'A', 'P', 'I', 'C'}, .revision = 5};
  uint32_t local_apic_address = 0;
  uint32_t flags = 1;  // PCAT_COMPAT: there are 8259s, to be masked.
};
static_assert(sizeof(MadtHead) == 44);

struct MadtLocalApic {
  uint8_t type = 0, length = 8;
  uint8_t processor_uid = 0;
  uint8_t apic_id = 0;
  uint32_t flags = 1;  // Enabled.
};
struct MadtIoApic {
  uint8_t type = 1, length = 12;
  uint8_t id = 0;
  uint8_t reserved = 0;
  uint32_t address = 0;
  uint32_t first_interrupt = 0;
};
struct MadtInterruptOverride {
  uint8_t type = 2, length = 10;
  uint8_t bus = 0;
  uint8_t source = 0;
  uint32_t interrupt = 0;
  uint16_t flags = 0;  // Polarity in bits 0-1, trigger mode in bits 2-3.
};
struct MadtLocalApicNmi {
  uint8_t type = 4, length = 6;
  uint8_t processor_uid = 0xff;  // All.
  uint16_t flags = 0;
  uint8_t lint = 1;
};
struct MadtLocalX2Apic {
  uint8_t type = 9, length = 16;
  uint16_t reserved = 0;
  uint32_t x2apic_id = 0;
  uint32_t flags = 1;
  uint32_t processor_uid = 0;
};
static_assert(sizeof(MadtLocalApic) == 8 && sizeof(MadtIoApic) == 12 && sizeof(MadtInterruptOverride) == 10 &&
              sizeof(MadtLocalApicNmi) == 6 && sizeof(MadtLocalX2Apic) == 16);

// MCFG: PCI Firmware Specification 3.3, 4.1.2.
struct Mcfg {
  TableHeader header{.signature = {'M', 'C', 'F', 'G'}, .length = 60, .revision = 1};
  uint64_t reserved0 = 0;
  uint64_t base_address = 0;  // Of bus 0.
  uint16_t segment = 0;
  uint8_t first_bus = 0, last_bus = 0;
  uint32_t reserved1 = 0;
};
static_assert(sizeof(Mcfg) == 60);

#pragma pack(pop)

// Power management registers, 4.8.3.
namespace pm1 {
inline constexpr uint16_t timer = 1u << 0;  // Of status and enable.
inline constexpr uint16_t global = 1u << 5;
inline constexpr uint16_t power_button = 1u << 8;
inline constexpr uint16_t rtc = 1u << 10;
inline constexpr uint16_t wake_status = 1u << 15;

inline constexpr uint16_t sci_enable = 1u << 0;  // Of control.
inline constexpr uint16_t sleep_type_shift = 10;
inline constexpr uint16_t sleep_type_mask = 7u << sleep_type_shift;
inline constexpr uint16_t sleep_enable = 1u << 13;
}  // namespace pm1

inline constexpr uint64_t kPmTimerFrequency = 3'579'545;  // 4.8.3.3

}  // namespace alcove::spec::acpi
