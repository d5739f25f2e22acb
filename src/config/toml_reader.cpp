#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <fmt/format.h>
#include <toml++/toml.h>

#include "config/toml.h"
#include "config/toml_ascii.h"

namespace alcove::config {
namespace {

class Converter {
 public:
  explicit Converter(std::map<std::string, unsigned>& lines) : lines_(lines) {}

  Json convert(const toml::node& node, const std::string& path) {
    lines_.insert_or_assign(path, node.source().begin.line);
    if (const toml::table* table = node.as_table()) {
      Json tree = Json::object();
      for (const auto& [key, value] : *table) {
        const std::string name = from_ascii(key.str());
        tree[name] = convert(value, path.empty() ? name : fmt::format("{}.{}", path, name));
        lines_.insert_or_assign(path.empty() ? name : fmt::format("{}.{}", path, name),
                                key.source().begin.line);
      }
      return tree;
    }
    if (const toml::array* array = node.as_array()) {
      Json tree = Json::array();
      for (const toml::node& value : *array) {
        tree.push_back(convert(value, fmt::format("{}[{}]", path, tree.size())));
      }
      return tree;
    }
    if (auto value = node.value_exact<bool>()) return *value;
    if (auto value = node.value_exact<int64_t>()) {
      return *value < 0 ? Json(*value) : Json(static_cast<uint64_t>(*value));
    }
    if (auto value = node.value_exact<double>()) return *value;
    if (auto value = node.value_exact<std::string>()) return from_ascii(*value);
    return nullptr;  // Dates and times: no field has one.
  }

 private:
  std::map<std::string, unsigned>& lines_;
};

}  // namespace

unsigned ParsedToml::line_of(std::string_view path) const {
  while (!path.empty()) {
    if (auto found = lines.find(std::string(path)); found != lines.end()) return found->second;
    const size_t end = path.find_last_of(".[");
    path = path.substr(0, end == std::string_view::npos ? 0 : end);
  }
  return 0;
}

Result<ParsedToml> parse_toml(std::string_view text) {
  const auto ascii = to_ascii(text);
  if (!ascii) return std::unexpected(ascii.error());
  toml::parse_result parsed = toml::parse(*ascii);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return fail(ErrorCode::invalid_virtual_machine_configuration,
                fmt::format("line {}", error.source().begin.line), from_ascii(error.description()));
  }
  ParsedToml result;
  result.tree = Converter(result.lines).convert(parsed.table(), "");
  return result;
}

}  // namespace alcove::config
