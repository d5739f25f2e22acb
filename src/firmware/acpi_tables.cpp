#include "firmware/acpi_tables.h"

#include <cstddef>

#include "firmware/acpi_links.h"
#include "firmware/table.h"

namespace alcove::firmware {

using namespace spec::acpi;

namespace {

constexpr uint16_t kAsTheBus = 0x0,
                   kLevelActiveHigh = 0xd;  // ACPI 6.5, table 5.25; 0 is ISA's default.
constexpr unsigned kLargestApicId = 254;    // Beyond it a processor needs an x2APIC entry (5.2.12.12).

GenericAddress io(uint16_t port, uint8_t bits) {
  const uint8_t access = bits == 8 ? 1 : bits == 16 ? 2 : 3;
  return {.space = AddressSpace::io, .bit_width = bits, .access_size = access, .address = port};
}

std::vector<uint8_t> build_fadt(const BoardDescription& board, uint32_t facs, uint32_t dsdt) {
  Fadt fadt;
  fadt.header = table_header("FACP", 6);
  fadt.firmware_control = facs;
  fadt.dsdt = dsdt;
  fadt.x_dsdt = dsdt;
  fadt.sci_interrupt = static_cast<uint16_t>(board.sci);
  fadt.pm1a_event_block = board.pm_port;
  fadt.pm1a_control_block = board.pm_port + 4;
  fadt.pm_timer_block = board.pm_port + 8;
  fadt.gpe0_block = board.pm_port + 12;
  fadt.gpe0_length = 4;  // 16 events: their status, and what of it interrupts.
  fadt.pm1_event_length = 4;
  fadt.pm1_control_length = 2;
  fadt.pm_timer_length = 4;
  fadt.x_pm1a_event_block = io(board.pm_port, 32);
  fadt.x_pm1a_event_block.access_size = 2;  // Two 16-bit registers.
  fadt.x_pm1a_control_block = io(board.pm_port + 4, 16);
  fadt.x_pm_timer_block = io(board.pm_port + 8, 32);
  fadt.x_gpe0_block = io(board.pm_port + 12, 32);
  fadt.x_gpe0_block.access_size = 1;
  fadt.c2_latency = 0xffff;  // No C2 or C3.
  fadt.c3_latency = 0xffff;
  fadt.century = board.rtc_century;
  fadt.boot_architecture = boot_architecture::legacy_devices | boot_architecture::no_vga;
  fadt.flags = fadt_flags::wbinvd | fadt_flags::c1_supported | fadt_flags::no_fixed_sleep_button |
               fadt_flags::no_fixed_rtc_wake | fadt_flags::timer_is_32_bits |
               fadt_flags::reset_register_supported;
  fadt.reset_register = io(board.reset_port, 8);
  fadt.reset_value = board.reset_value;
  std::vector<uint8_t> table;
  append_value(table, fadt);
  finish_table(table);
  return table;
}

std::vector<uint8_t> build_madt(const BoardDescription& board) {
  std::vector<uint8_t> table;
  append_value(table,
               MadtHead{.header = table_header("APIC", 5), .local_apic_address = board.local_apic_address});
  for (unsigned cpu = 0; cpu < board.cpu_count; ++cpu) {
    if (cpu <= kLargestApicId) {
      append_value(table, MadtLocalApic{.processor_uid = static_cast<uint8_t>(cpu),
                                        .apic_id = static_cast<uint8_t>(cpu)});
    } else {
      append_value(table, MadtLocalX2Apic{.x2apic_id = cpu, .processor_uid = cpu});
    }
  }
  append_value(table, MadtIoApic{.address = board.ioapic_address});
  append_value(table, MadtInterruptOverride{.source = 0, .interrupt = 2, .flags = kAsTheBus});
  append_value(table, MadtInterruptOverride{.source = static_cast<uint8_t>(board.sci),
                                            .interrupt = board.sci,
                                            .flags = kLevelActiveHigh});
  append_value(table, MadtLocalApicNmi{});
  finish_table(table);
  return table;
}

std::vector<uint8_t> build_mcfg(const BoardDescription& board) {
  std::vector<uint8_t> table;
  append_value(table, Mcfg{.header = table_header("MCFG", 1),
                           .base_address = board.ecam_address,
                           .last_bus = board.last_bus});
  finish_table(table);
  return table;
}

}  // namespace

AcpiTables build_acpi_tables(const BoardDescription& board, uint64_t address) {
  return build_linked_acpi_tables(board, address);
}

LinkedAcpiTables build_linked_acpi_tables(const BoardDescription& board, uint64_t address) {
  LinkedAcpiTables result;
  std::vector<uint8_t>& blob = result.tables;
  const auto place = [&](const std::vector<uint8_t>& table) {
    blob.resize((blob.size() + 63) / 64 * 64);
    const uint64_t at = address + blob.size();
    blob.insert(blob.end(), table.begin(), table.end());
    return at;
  };
  const uint64_t facs = address;
  append_value(blob, Facs{});
  const uint64_t dsdt = place(build_dsdt(board));
  const auto pointer = [&](uint64_t table, size_t offset, uint8_t size) {
    result.pointers.push_back({static_cast<uint32_t>(table - address + offset), size});
  };
  const auto checked = [&](uint64_t table, size_t checksum_offset, size_t length) {
    const auto start = static_cast<uint32_t>(table - address);
    result.checksums.push_back(
        {static_cast<uint32_t>(start + checksum_offset), start, static_cast<uint32_t>(length)});
  };
  const uint64_t fadt = place(build_fadt(board, static_cast<uint32_t>(facs), static_cast<uint32_t>(dsdt)));
  pointer(fadt, offsetof(Fadt, firmware_control), 4);
  pointer(fadt, offsetof(Fadt, dsdt), 4);
  pointer(fadt, offsetof(Fadt, x_dsdt), 8);
  checked(fadt, offsetof(TableHeader, checksum), sizeof(Fadt));
  const uint64_t tables[] = {fadt, place(build_madt(board)), place(build_mcfg(board))};
  std::vector<uint8_t> xsdt = begin_table("XSDT", 1);
  for (const uint64_t table : tables) append_value(xsdt, table);
  finish_table(xsdt);
  const uint64_t root = place(xsdt);
  for (size_t i = 0; i < std::size(tables); ++i) pointer(root, sizeof(TableHeader) + i * 8, 8);
  checked(root, offsetof(TableHeader, checksum), xsdt.size());

  Rsdp rsdp{.oem_id = {'A', 'L', 'C', 'O', 'V', 'E'}, .xsdt_address = root};
  std::vector<uint8_t> bytes;
  append_value(bytes, rsdp);
  rsdp.checksum = checksum(std::span(bytes).first(20));
  bytes.clear();
  append_value(bytes, rsdp);
  rsdp.extended_checksum = checksum(bytes);
  bytes.clear();
  append_value(bytes, rsdp);
  result.rsdp = place(bytes);
  pointer(result.rsdp, offsetof(Rsdp, xsdt_address), 8);
  checked(result.rsdp, offsetof(Rsdp, checksum), 20);
  checked(result.rsdp, offsetof(Rsdp, extended_checksum), sizeof(Rsdp));
  return result;
}

}  // namespace alcove::firmware
