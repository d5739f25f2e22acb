#include <fmt/format.h>

#include <algorithm>

#include "config/toml.h"

namespace alcove::config {
namespace {

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (character == '"' || character == '\\') {
      out += '\\';
      out += character;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04X}", byte);
    } else {
      out += character;
    }
  }
  return out + '"';
}

std::string key(const std::string& name) {
  const bool is_bare = !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return is_bare ? name : quote(name);
}

std::string in_line(const Json& tree) {
  std::string out;
  switch (tree.type()) {
    case Json::value_t::string:
      return quote(tree.get_ref<const std::string&>());
    case Json::value_t::object:
      for (const auto& [name, member] : tree.items()) {
        out += fmt::format("{}{} = {}", out.empty() ? " " : ", ", key(name), in_line(member));
      }
      return out.empty() ? "{}" : "{" + out + " }";
    case Json::value_t::array:
      for (const Json& element : tree) out += (out.empty() ? "" : ", ") + in_line(element);
      return "[" + out + "]";
    default:
      return tree.dump();
  }
}

bool is_list_of_tables(const Json& tree) {
  return tree.is_array() && !tree.empty() && tree.front().is_object();
}

std::string lines_of(const Json& table) {
  std::string out;
  for (const auto& [name, member] : table.items()) out += fmt::format("{} = {}\n", name, in_line(member));
  return out;
}

}  // namespace

std::string print_toml(const Json& tree) {
  std::string scalars;
  std::string tables;
  for (const auto& [name, member] : tree.items()) {
    if (member.is_object()) {
      tables += fmt::format("\n[{}]\n{}", name, lines_of(member));
    } else if (is_list_of_tables(member)) {
      for (const Json& element : member) tables += fmt::format("\n[[{}]]\n{}", name, lines_of(element));
    } else if (!(member.is_array() && member.empty())) {
      scalars += fmt::format("{} = {}\n", name, in_line(member));
    }
  }
  return scalars + tables;
}

}  // namespace alcove::config
