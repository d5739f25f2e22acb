#include "firmware/smbios.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "firmware/table.h"

namespace alcove::firmware {

namespace {

constexpr uint16_t kUnknownHandle = 0xfffe;  // "Error information not provided" (7.17).
constexpr uint64_t kMiB = 1 << 20, kGiB = 1 << 30;

// One structure: header, formatted fields in order, then its strings (6.1).
class Structure {
 public:
  Structure(uint8_t type, uint16_t handle) {
    bytes_ = {type, 0};
    word(handle);
  }
  Structure& byte(uint8_t value) { return put(value); }
  Structure& word(uint16_t value) { return put(value); }
  Structure& dword(uint32_t value) { return put(value); }
  Structure& qword(uint64_t value) { return put(value); }
  // The field holds the string's number; 0 for none.
  Structure& text(std::string_view value) {
    if (value.empty()) return byte(0);
    strings_.emplace_back(value);
    return byte(static_cast<uint8_t>(strings_.size()));
  }
  // One that no field refers to.
  void string(std::string_view value) { strings_.emplace_back(value); }
  template <size_t N>
  Structure& array(const std::array<uint8_t, N>& value) {
    return put(value);
  }

  void append_to(std::vector<uint8_t>& out) {
    bytes_[1] = static_cast<uint8_t>(bytes_.size());
    out.insert(out.end(), bytes_.begin(), bytes_.end());
    for (const std::string& string : strings_) {
      out.insert(out.end(), string.begin(), string.end());
      out.push_back(0);
    }
    if (strings_.empty()) out.push_back(0);
    out.push_back(0);
  }

 private:
  template <class T>
  Structure& put(const T& value) {
    append_value(bytes_, value);
    return *this;
  }
  std::vector<uint8_t> bytes_;
  std::vector<std::string> strings_;
};

// 7.2.1: the first three fields are little-endian.
std::array<uint8_t, 16> wire_uuid(std::array<uint8_t, 16> uuid) {
  std::reverse(uuid.begin(), uuid.begin() + 4);
  std::reverse(uuid.begin() + 4, uuid.begin() + 6);
  std::reverse(uuid.begin() + 6, uuid.begin() + 8);
  return uuid;
}

void append_identity(std::vector<uint8_t>& out, const SmbiosDescription& machine) {
  Structure(0, 0x0000)  // Firmware, 7.1.
      .text("Alcove")
      .text(machine.version)
      .word(0xf000)
      .text("01/01/2026")
      .byte(0)         // ROM size: 64 KiB.
      .qword(1u << 3)  // Characteristics are not supported.
      .byte(1)         // Extension: ACPI is.
      .byte(1 << 4)    // Extension: this is a virtual machine.
      .byte(0xff)
      .byte(0xff)  // Release and controller firmware: none.
      .byte(0xff)
      .byte(0xff)
      .append_to(out);
  Structure(1, 0x0100)  // System, 7.2.
      .text("Alcove")
      .text("Alcove Virtual Machine")
      .text(machine.version)
      .text("")
      .array(wire_uuid(machine.uuid))
      .byte(6)  // Woken by the power switch.
      .text("")
      .text("Virtual Machine")
      .append_to(out);
  Structure(3, 0x0300)  // Chassis, 7.4.
      .text("Alcove")
      .byte(1)  // Other.
      .text(machine.version)
      .text("")
      .text("")
      .byte(3)
      .byte(3)
      .byte(3)
      .byte(3)  // States are safe, security none.
      .dword(0)
      .byte(0)
      .byte(0)
      .byte(0)
      .byte(0)
      .text("")
      .append_to(out);
}

// 7.12; a string has no zero byte, and none is empty.
void append_strings(std::vector<uint8_t>& out, const SmbiosDescription& machine) {
  if (machine.strings.empty()) return;
  const size_t count = std::min<size_t>(machine.strings.size(), 255);
  Structure structure(11, 0x0b00);
  structure.byte(static_cast<uint8_t>(count));
  for (size_t index = 0; index < count; ++index) structure.string(machine.strings[index]);
  structure.append_to(out);
}

void append_processor(std::vector<uint8_t>& out, const SmbiosDescription& machine) {
  const auto cores = static_cast<uint8_t>(std::min(machine.cpu_count, 0xffu));
  Structure(4, 0x0400)  // 7.5; one package with all processors as cores.
      .text("CPU 0")
      .byte(3)  // Central processor.
      .byte(1)  // Family: other; the guest asks CPUID.
      .text("Alcove")
      .qword(0)
      .text("Virtual CPU")
      .byte(0)
      .word(0)  // Voltage and external clock unknown.
      .word(machine.cpu_megahertz)
      .word(machine.cpu_megahertz)
      .byte(0x41)  // Populated and enabled.
      .byte(1)     // Upgrade: other.
      .word(0xffff)
      .word(0xffff)
      .word(0xffff)  // No cache structures.
      .text("")
      .text("")
      .text("")
      .byte(cores)
      .byte(cores)
      .byte(cores)
      .word(1 << 2)  // 64-bit.
      .word(1)
      .word(static_cast<uint16_t>(machine.cpu_count))
      .word(static_cast<uint16_t>(machine.cpu_count))
      .word(static_cast<uint16_t>(machine.cpu_count))
      .append_to(out);
}

void append_memory_range(std::vector<uint8_t>& out, uint16_t handle, uint64_t first, uint64_t size) {
  if (size == 0) return;
  // 7.20: in KiB, or in bytes where that does not fit.
  const uint64_t last = first + size - 1;
  const bool wide = last / 1024 >= 0xffffffff;
  Structure(19, handle)
      .dword(wide ? 0xffffffff : static_cast<uint32_t>(first / 1024))
      .dword(wide ? 0xffffffff : static_cast<uint32_t>(last / 1024))
      .word(0x1000)
      .byte(1)
      .qword(wide ? first : 0)
      .qword(wide ? last : 0)
      .append_to(out);
}

void append_memory(std::vector<uint8_t>& out, const SmbiosDescription& machine) {
  const uint64_t total = machine.low_memory_size + machine.high_memory_size;
  const bool wide = total / 1024 >= 0x80000000;
  Structure(16, 0x1000)  // Physical memory array, 7.17.
      .byte(1)
      .byte(3)
      .byte(6)  // Location other, system memory, multi-bit correction.
      .dword(wide ? 0x80000000 : static_cast<uint32_t>(total / 1024))
      .word(kUnknownHandle)
      .word(1)
      .qword(wide ? total : 0)
      .append_to(out);
  const uint64_t mebibytes = total / kMiB;
  const bool extended = mebibytes >= 0x7fff;
  Structure(17, 0x1100)  // Memory device, 7.18.
      .word(0x1000)
      .word(kUnknownHandle)
      .word(64)
      .word(64)
      .word(extended ? 0x7fff : static_cast<uint16_t>(mebibytes))
      .byte(9)  // DIMM.
      .byte(0)
      .text("DIMM 0")
      .text("")
      .byte(7)       // RAM.
      .word(1 << 1)  // Other.
      .word(0)
      .text("Alcove")
      .text("")
      .text("")
      .text("")
      .byte(0)
      .dword(extended ? static_cast<uint32_t>(mebibytes) : 0)
      .word(0)
      .word(0)
      .word(0)
      .word(0)
      .append_to(out);
  append_memory_range(out, 0x1300, 0, machine.low_memory_size);
  append_memory_range(out, 0x1301, 4 * kGiB, machine.high_memory_size);
}

}  // namespace

std::vector<uint8_t> build_smbios(const SmbiosDescription& machine, uint64_t address) {
  std::vector<uint8_t> structures;
  append_identity(structures, machine);
  append_strings(structures, machine);
  append_processor(structures, machine);
  append_memory(structures, machine);
  Structure(32, 0x2000)
      .array(std::array<uint8_t, 7>{})
      .append_to(structures);  // Boot status, 7.33: no errors.
  Structure(127, 0x7f00).append_to(structures);

  // 5.2.2: the 64-bit entry point.
  std::vector<uint8_t> entry{'_', 'S', 'M', '3', '_', 0, kSmbiosEntrySize, 3, 0, 0, 1, 0};
  append_value(entry, static_cast<uint32_t>(structures.size()));
  append_value(entry, address + kSmbiosStructures);
  entry[5] = checksum(entry);
  entry.resize(kSmbiosStructures);
  entry.insert(entry.end(), structures.begin(), structures.end());
  return entry;
}

}  // namespace alcove::firmware
