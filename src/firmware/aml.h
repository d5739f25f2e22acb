// ACPI machine language (ACPI 6.5, chapter 20) and resource descriptors (6.4), as far as our DSDT needs them.
//
// Terms are byte strings that nest: device("PCI0", {name("_HID", eisa_id("PNP0A08")), …}).
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace alcove::firmware::aml {

using Term = std::vector<uint8_t>;
using Terms = std::vector<Term>;

// Data objects.
Term integer(uint64_t value);
Term string(std::string_view text);
Term buffer(const Term& bytes);
Term package(const Terms& elements);
Term eisa_id(std::string_view id);  // "PNP0A08"
Term uuid(std::string_view text);   // As ToUUID(): "33DB4D5B-1FF7-401C-9657-7441C03DD766"

// Named objects. Names have one to four characters; a path is several, with dots between, from the root.
Term name(std::string_view name, const Term& value);
Term scope(std::string_view name, const Terms& terms);
Term device(std::string_view name, const Terms& terms);
Term method(std::string_view name, unsigned arguments, const Terms& terms);
// Ports, and 32-bit registers that lie there one after the other.
Term io_region(std::string_view name, uint16_t address, uint8_t size);
Term dword_registers(std::string_view region, const std::vector<std::string_view>& names);

// Inside methods.
Term argument(unsigned index);
Term local(unsigned index);
Term reference(std::string_view name);
Term call(std::string_view path);  // Of a method without arguments.
Term create_dword_field(const Term& buffer, uint64_t byte, std::string_view name);
Term store(const Term& value, const Term& target);
Term notify(std::string_view object, uint64_t value);
Term bits_of(const Term& left, const Term& right);  // Bitwise "and".
Term equal(const Term& left, const Term& right);
Term or_into(const Term& left, const Term& right, const Term& target);
Term if_else(const Term& condition, const Terms& then, const Terms& otherwise);
Term return_value(const Term& value);

// Resources, for resources().
Term io_port(uint16_t address, uint8_t size);
Term interrupt(unsigned irq);  // Edge-triggered, active high, not shared: an ISA interrupt.
Term fixed_memory(uint32_t address, uint32_t size);
Term word_bus_numbers(uint16_t first, uint16_t last);
Term word_io_window(uint16_t first, uint16_t last);
Term dword_memory_window(uint32_t first, uint32_t last);
Term qword_memory_window(uint64_t first, uint64_t last);
Term resources(const Terms& descriptors);  // A buffer with the end tag.

}  // namespace alcove::firmware::aml
