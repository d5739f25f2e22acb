#include "firmware/aml.h"

#include <algorithm>
#include <cassert>
#include <cctype>

namespace alcove::firmware::aml {

namespace {

// 20.3: by their names there.
enum Opcode : uint8_t {
  kZero = 0x00,
  kOne = 0x01,
  kName = 0x08,
  kByte = 0x0a,
  kWord = 0x0b,
  kDword = 0x0c,
  kStringPrefix = 0x0d,
  kQword = 0x0e,
  kScope = 0x10,
  kBuffer = 0x11,
  kPackage = 0x12,
  kMethod = 0x14,
  kExtended = 0x5b,

  kRoot = 0x5c,
  kMultipleNames = 0x2f,
  kLocal0 = 0x60,
  kArgument0 = 0x68,
  kStore = 0x70,
  kAnd = 0x7b,
  kOr = 0x7d,
  kNotify = 0x86,
  kCreateDwordField = 0x8a,
  kEqual = 0x93,
  kIf = 0xa0,
  kElse = 0xa1,
  kReturn = 0xa4,
};
constexpr uint8_t kExtendedRegion = 0x80, kExtendedField = 0x81, kExtendedDevice = 0x82;

void append(Term& out, const Term& more) {
  out.insert(out.end(), more.begin(), more.end());
}

void append_little(Term& out, uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) out.push_back(static_cast<uint8_t>(value >> 8 * i));
}

Term joined(const Terms& terms) {
  Term out;
  for (const Term& term : terms) append(out, term);
  return out;
}

// 20.2.4: the length counts its own bytes.
Term with_length(const Term& body) {
  Term out;
  const size_t size = body.size();
  if (size + 1 < 0x40) {
    out.push_back(static_cast<uint8_t>(size + 1));
  } else {
    const unsigned more = size + 2 < 1 << 12 ? 1 : size + 3 < 1 << 20 ? 2 : 3;
    const uint64_t total = size + 1 + more;
    out.push_back(static_cast<uint8_t>(more << 6 | (total & 15)));
    append_little(out, total >> 4, more);
  }
  append(out, body);
  return out;
}

// 20.2.2: segments of four characters, padded with underscores.
Term name_string(std::string_view text) {
  Term out;
  assert(!text.empty() && text.size() <= 4);
  for (size_t i = 0; i < 4; ++i) out.push_back(i < text.size() ? static_cast<uint8_t>(text[i]) : '_');
  return out;
}

Term object(std::initializer_list<uint8_t> opcode, const Term& body) {
  Term out(opcode);
  append(out, with_length(body));
  return out;
}

enum ResourceKind : uint8_t { kMemoryRange = 0, kIoRange = 1, kBusRange = 2 };

// 6.4.3.5: producer, positive decode, both ends fixed.
Term address_space(uint8_t tag, unsigned width, ResourceKind kind, uint8_t type_flags, uint64_t first,
                   uint64_t last) {
  Term out{tag};
  append_little(out, 3 + 5 * width, 2);
  out.push_back(kind);
  out.push_back(0x0c);
  out.push_back(type_flags);
  append_little(out, 0, width);
  append_little(out, first, width);
  append_little(out, last, width);
  append_little(out, 0, width);
  append_little(out, last - first + 1, width);
  return out;
}

uint8_t hex_digit(char c) {
  return static_cast<uint8_t>(std::isdigit(static_cast<unsigned char>(c)) ? c - '0'
                                                                          : std::toupper(c) - 'A' + 10);
}

}  // namespace

Term integer(uint64_t value) {
  if (value == 0) return {kZero};
  if (value == 1) return {kOne};
  const unsigned width = value <= 0xff ? 1 : value <= 0xffff ? 2 : value <= 0xffffffff ? 4 : 8;
  Term out{width == 1 ? kByte : width == 2 ? kWord : width == 4 ? kDword : kQword};
  append_little(out, value, width);
  return out;
}

Term string(std::string_view text) {
  Term out(text.size() + 2);
  out[0] = kStringPrefix;
  std::ranges::copy(text, out.begin() + 1);
  return out;
}

Term buffer(const Term& bytes) {
  Term body = integer(bytes.size());
  append(body, bytes);
  return object({kBuffer}, body);
}

Term package(const Terms& elements) {
  assert(elements.size() <= 255);
  Term body{static_cast<uint8_t>(elements.size())};
  append(body, joined(elements));
  return object({kPackage}, body);
}

Term eisa_id(std::string_view id) {  // 19.6.39: three letters of five bits, four hexadecimal digits.
  assert(id.size() == 7);
  const uint32_t letters = (id[0] - 0x40) << 10 | (id[1] - 0x40) << 5 | (id[2] - 0x40);
  Term out{kDword, static_cast<uint8_t>(letters >> 8), static_cast<uint8_t>(letters)};
  for (unsigned i = 3; i < 7; i += 2) out.push_back(hex_digit(id[i]) << 4 | hex_digit(id[i + 1]));
  return out;
}

Term uuid(std::string_view text) {  // 19.6.142: the first three groups are little-endian.
  assert(text.size() == 36);
  static constexpr std::array<uint8_t, 16> kPositions{6,  4,  2,  0,  11, 9,  16, 14,
                                                      19, 21, 24, 26, 28, 30, 32, 34};
  Term bytes;
  for (const uint8_t at : kPositions) bytes.push_back(hex_digit(text[at]) << 4 | hex_digit(text[at + 1]));
  return buffer(bytes);
}

Term name(std::string_view name, const Term& value) {
  Term out{kName};
  append(out, name_string(name));
  append(out, value);
  return out;
}

Term scope(std::string_view name, const Terms& terms) {
  Term body = name_string(name);
  append(body, joined(terms));
  return object({kScope}, body);
}

Term device(std::string_view name, const Terms& terms) {
  Term body = name_string(name);
  append(body, joined(terms));
  return object({kExtended, kExtendedDevice}, body);
}

Term method(std::string_view name, unsigned arguments, const Terms& terms) {
  Term body = name_string(name);
  body.push_back(static_cast<uint8_t>(arguments));  // Not serialized.
  append(body, joined(terms));
  return object({kMethod}, body);
}

Term io_region(std::string_view name, uint16_t address, uint8_t size) {
  constexpr uint8_t kSystemIo = 1;
  return joined(
      {{kExtended, kExtendedRegion}, name_string(name), {kSystemIo}, integer(address), integer(size)});
}

Term dword_registers(std::string_view region, const std::vector<std::string_view>& names) {
  constexpr uint8_t kDwordAccess = 3;
  Term body = name_string(region);
  body.push_back(kDwordAccess);  // No lock; what is not written is preserved, where that happens.
  for (const std::string_view name : names) {
    append(body, name_string(name));
    body.push_back(32);  // Its length in bits, as one of a package.
  }
  return object({kExtended, kExtendedField}, body);
}

Term local(unsigned index) {
  return {static_cast<uint8_t>(kLocal0 + index)};
}

Term store(const Term& value, const Term& target) {
  return joined({{kStore}, value, target});
}

Term notify(std::string_view object, uint64_t value) {
  return joined({{kNotify}, name_string(object), integer(value)});
}

Term bits_of(const Term& left, const Term& right) {
  return joined({{kAnd}, left, right, {kZero}});  // No target.
}

// 20.2.2: from the root, so many names.
Term call(std::string_view path) {
  Terms names;
  for (size_t start = 0; start != std::string_view::npos;) {
    const size_t dot = path.find('.', start);
    names.push_back(name_string(path.substr(start, dot - start)));
    start = dot == std::string_view::npos ? dot : dot + 1;
  }
  return joined({{kRoot, kMultipleNames, static_cast<uint8_t>(names.size())}, joined(names)});
}

Term argument(unsigned index) {
  return {static_cast<uint8_t>(kArgument0 + index)};
}

Term reference(std::string_view name) {
  return name_string(name);
}

Term create_dword_field(const Term& buffer, uint64_t byte, std::string_view name) {
  return joined({{kCreateDwordField}, buffer, integer(byte), name_string(name)});
}

Term equal(const Term& left, const Term& right) {
  return joined({{kEqual}, left, right});
}

Term or_into(const Term& left, const Term& right, const Term& target) {
  return joined({{kOr}, left, right, target});
}

Term if_else(const Term& condition, const Terms& then, const Terms& otherwise) {
  Term body = condition;
  append(body, joined(then));
  Term out = object({kIf}, body);
  if (!otherwise.empty()) append(out, object({kElse}, joined(otherwise)));
  return out;
}

Term return_value(const Term& value) {
  return joined({{kReturn}, value});
}

Term io_port(uint16_t address, uint8_t size) {  // 6.4.2.5: 16-bit decode.
  Term out{0x47, 0x01};
  append_little(out, address, 2);
  append_little(out, address, 2);
  out.push_back(1);
  out.push_back(size);
  return out;
}

Term interrupt(unsigned irq) {  // 6.4.2.1
  Term out{0x22};
  append_little(out, 1u << irq, 2);
  return out;
}

Term fixed_memory(uint32_t address, uint32_t size) {  // 6.4.3.4: writable.
  Term out{0x86, 0x09, 0x00, 0x01};
  append_little(out, address, 4);
  append_little(out, size, 4);
  return out;
}

Term word_bus_numbers(uint16_t first, uint16_t last) {
  return address_space(0x88, 2, kBusRange, 0, first, last);
}

Term word_io_window(uint16_t first, uint16_t last) {
  return address_space(0x88, 2, kIoRange, 0x03, first, last);  // ISA and non-ISA addresses.
}

Term dword_memory_window(uint32_t first, uint32_t last) {
  return address_space(0x87, 4, kMemoryRange, 0x01, first, last);  // Writable, not cached.
}

Term qword_memory_window(uint64_t first, uint64_t last) {
  return address_space(0x8a, 8, kMemoryRange, 0x01, first, last);
}

Term resources(const Terms& descriptors) {
  Term bytes = joined(descriptors);
  bytes.push_back(0x79);  // 6.4.2.9: end; a checksum of zero counts as right.
  bytes.push_back(0x00);
  return buffer(bytes);
}

}  // namespace alcove::firmware::aml
