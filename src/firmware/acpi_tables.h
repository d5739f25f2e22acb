// The ACPI tables of a machine.
#pragma once

#include <cstdint>
#include <vector>

namespace alcove::firmware {

struct SerialPortDescription {
  uint16_t port = 0;
  unsigned irq = 0;
};

struct AddressRange {
  uint64_t first = 0;
  uint64_t last = 0;
};

// Slots of the root bus whose devices come and go: device numbers, none if there are no `slots`.
struct HotPlugDescription {
  std::vector<unsigned> slots;
  // 32-bit registers with a bit for each slot: those that came at +0, those that the guest is asked to let go
  // of at +4, both cleared by writing ones; at +8 ones let go.
  uint16_t port = 0;
  unsigned event = 1;  // The general purpose event that tells of new bits.
};

// What the board has, and where.
struct BoardDescription {
  unsigned cpu_count = 1;  // Local APIC identifiers are 0, 1, 2…
  uint32_t local_apic_address = 0;
  uint32_t ioapic_address = 0;
  uint64_t ecam_address = 0;
  uint8_t last_bus = 0;
  AddressRange memory_window32;
  AddressRange memory_window64;
  unsigned first_pci_interrupt = 16;  // Pin of the I/O APIC; see pci_interrupt().
  unsigned pci_interrupt_count = 8;
  uint16_t pm_port = 0;  // Events at +0, control at +4, timer at +8, general purpose events at +12.
  unsigned sci = 9;
  HotPlugDescription hot_plug;
  uint8_t sleep_type_off = 5;
  uint16_t reset_port = 0;
  uint8_t reset_value = 0;
  uint8_t rtc_century = 0;
  std::vector<SerialPortDescription> serial_ports;
};

// Which pin of the I/O APIC INTA (0) to INTD (3) of a device on bus 0 reach, as the DSDT's _PRT says.
unsigned pci_interrupt(const BoardDescription& board, unsigned device, unsigned pin);

struct AcpiTables {
  uint64_t rsdp = 0;            // Its address.
  std::vector<uint8_t> tables;  // To be put at the address given.
};

// The FACS comes first, the RSDP last. `address` is a multiple of 64 below 4 GiB.
AcpiTables build_acpi_tables(const BoardDescription& board, uint64_t address);

// The definition block alone, for tests.
std::vector<uint8_t> build_dsdt(const BoardDescription& board);

}  // namespace alcove::firmware
