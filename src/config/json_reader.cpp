#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "config/fields.h"
#include "config/json.h"
#include "config/names.h"
#include "config/nearest.h"

namespace alcove::config {
namespace {

// More elements than any machine has; a hostile file does not make us allocate more.
constexpr size_t kMostElements = 1024;
constexpr size_t kMostErrors = 100;

std::string_view kind_of(const Json& tree) {
  switch (tree.type()) {
    case Json::value_t::null:
      return "nothing";
    case Json::value_t::object:
      return "a table";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::string:
      return "a text";
    case Json::value_t::boolean:
      return "true or false";
    case Json::value_t::number_float:
      return "a fraction";
    default:
      return "a number";
  }
}

class Reader {
 public:
  explicit Reader(std::vector<Error>& errors) : errors_(errors) {}

  void read(const Json& tree, const std::string& path, bool& value) {
    if (!tree.is_boolean()) return expected("true or false", tree, path);
    value = tree.get<bool>();
  }
  template <class Integer>
    requires std::integral<Integer>
  void read(const Json& tree, const std::string& path, Integer& value) {
    if (!tree.is_number_integer()) return expected("a whole number", tree, path);
    using Limits = std::numeric_limits<Integer>;
    const bool fits = tree.is_number_unsigned() ? std::in_range<Integer>(tree.get<uint64_t>())
                                                : std::in_range<Integer>(tree.get<int64_t>());
    if (!fits) return error(path, fmt::format("is not between {} and {}", Limits::min(), Limits::max()));
    value = tree.is_number_unsigned() ? static_cast<Integer>(tree.get<uint64_t>())
                                      : static_cast<Integer>(tree.get<int64_t>());
  }
  void read(const Json& tree, const std::string& path, Size<uint64_t> value) {
    if (!tree.is_string()) return read(tree, path, value.bytes);
    take(parse_size(tree.get_ref<const std::string&>()), path, value.bytes);
  }
  void read(const Json& tree, const std::string& path, std::string& value) {
    if (!tree.is_string()) return expected("a text", tree, path);
    value = tree.get<std::string>();
  }
  void read(const Json& tree, const std::string& path, std::filesystem::path& value) {
    if (!tree.is_string()) return expected("a path", tree, path);
    if (tree.get_ref<const std::string&>().find('\0') != std::string::npos) {
      return error(path, "a path can't have a zero byte");
    }
    value = tree.get<std::string>();
  }
  void read(const Json& tree, const std::string& path, MACAddress& value) {
    if (!tree.is_string()) return expected("a text", tree, path);
    take(MACAddress::parse(tree.get_ref<const std::string&>()), path, value);
  }
  void read(const Json& tree, const std::string& path, GenericMachineIdentifier& value) {
    if (!tree.is_string()) return expected("a text", tree, path);
    take(GenericMachineIdentifier::parse(tree.get_ref<const std::string&>()), path, value);
  }
  template <class Enumeration>
    requires std::is_enum_v<Enumeration>
  void read(const Json& tree, const std::string& path, Enumeration& value) {
    std::vector<std::string_view> names;
    names.reserve(std::size(kNames<Enumeration>));
    for (const auto& [known, name] : kNames<Enumeration>) names.push_back(name);
    const std::string list = fmt::format("one of {}", fmt::join(names, ", "));
    if (!tree.is_string()) return expected(list, tree, path);
    const auto& text = tree.get_ref<const std::string&>();
    if (auto known = from_string<Enumeration>(text)) {
      value = *known;
    } else {
      error(path, fmt::format("there is no \"{}\"", shortened(text)), list);
    }
  }
  template <class T>
  void read(const Json& tree, const std::string& path, std::optional<T>& value) {
    value.emplace();
    read(tree, path, *value);
  }
  template <class T>
  void read(const Json& tree, const std::string& path, std::vector<T>& values) {
    if (!tree.is_array()) return expected("a list", tree, path);
    if (tree.size() > kMostElements) {
      return error(path, fmt::format("has {} elements", tree.size()),
                   fmt::format("at most {}", kMostElements));
    }
    values.clear();
    for (const Json& element : tree) {
      const std::string element_path = fmt::format("{}[{}]", path, values.size());
      read(element, element_path, values.emplace_back());
    }
  }
  template <class T>
  void read(const Json& tree, const std::string& path, std::map<std::string, T>& values) {
    if (!tree.is_object()) return expected("a table", tree, path);
    if (tree.size() > kMostElements) {
      return error(path, fmt::format("has {} elements", tree.size()),
                   fmt::format("at most {}", kMostElements));
    }
    values.clear();
    for (const auto& [name, element] : tree.items())
      read(element, fmt::format("{}.{}", path, shortened(name)), values[name]);
  }
  template <class... Alternatives>
  void read(const Json& tree, const std::string& path, std::variant<Alternatives...>& value) {
    const std::vector<std::string_view> names = {kTypeName<Alternatives>...};
    if (!tree.is_object()) return expected("a table", tree, path);
    const auto type = tree.find("type");
    const std::string list = fmt::format("type is one of {}", fmt::join(names, ", "));
    if (type == tree.end()) return error(path, "has no \"type\"", list);
    if (!type->is_string()) return expected("a text", *type, path + ".type");
    const auto& name = type->template get_ref<const std::string&>();
    const bool known = (read_alternative<Alternatives>(name, tree, path, value) || ...);
    if (!known) error(path + ".type", fmt::format("there is no \"{}\"", shortened(name)), list);
  }
  template <class T>
    requires requires(Reader& visitor, T& value) { fields(visitor, value); }
  void read(const Json& tree, const std::string& path, T& value, bool has_type = false) {
    if (!tree.is_object()) return expected("a table", tree, path);
    Members members{*this, tree, path, {}};
    if (has_type) members.names.push_back("type");
    fields(members, value);
    for (const auto& [name, member] : tree.items()) {
      if (errors_.size() == kMostErrors) return;
      if (std::ranges::find(members.names, name) != members.names.end()) continue;
      const std::string_view meant = nearest(name, members.names);
      error(members.path_of(shortened(name)), "there is no such field",
            meant.empty() ? fmt::format("known are {}", fmt::join(members.names, ", "))
                          : fmt::format("did you mean \"{}\"?", meant));
    }
  }

 private:
  // Called by fields() for each member; also collects the names, for telling unknown ones.
  struct Members {
    Reader& reader;
    const Json& tree;
    const std::string& path;
    std::vector<std::string_view> names;

    std::string path_of(std::string_view name) const {
      return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
    }
    template <class T>
    void operator()(std::string_view name, T&& member) {
      names.push_back(name);
      const auto found = tree.find(name);
      if (found != tree.end()) reader.read(*found, path_of(name), member);
    }
  };

  template <class T, class Variant>
  bool read_alternative(std::string_view name, const Json& tree, const std::string& path, Variant& value) {
    if (name != kTypeName<T>) return false;
    read(tree, path, value.template emplace<T>(), true);
    return true;
  }
  template <class T>
  void take(Result<T> parsed, const std::string& path, T& value) {
    if (parsed) {
      value = *std::move(parsed);
    } else {
      error(path, parsed.error().what, parsed.error().hint);
    }
  }
  static std::string shortened(const std::string& text) {
    return text.size() <= 64 ? text : text.substr(0, 64) + "…";
  }
  void expected(std::string_view what, const Json& tree, const std::string& path) {
    error(path, fmt::format("must be {}, but is {}", what, kind_of(tree)));
  }
  void error(std::string path, std::string what, std::string hint = {}) {
    if (errors_.size() == kMostErrors) return;
    errors_.push_back(Error{ErrorCode::invalid_virtual_machine_configuration, std::move(path),
                            std::move(what), std::move(hint)});
  }

  std::vector<Error>& errors_;
};

}  // namespace

VirtualMachineConfiguration from_tree(const Json& tree, std::vector<Error>& errors) {
  VirtualMachineConfiguration configuration;
  Reader(errors).read(tree, "", configuration);
  return configuration;
}

Result<PortForward> port_forward_from_tree(const Json& tree, const std::string& path) {
  std::vector<Error> errors;
  PortForward forward;
  Reader(errors).read(tree, path, forward);
  if (!errors.empty()) return std::unexpected(std::move(errors.front()));
  return forward;
}

Result<USBDeviceConfiguration> usb_device_from_tree(const Json& tree, const std::string& path) {
  std::vector<Error> errors;
  USBDeviceConfiguration device;
  Reader(errors).read(tree, path, device);
  if (!errors.empty()) return std::unexpected(std::move(errors.front()));
  return device;
}

Result<StorageDeviceConfiguration> storage_device_from_tree(const Json& tree, const std::string& path) {
  std::vector<Error> errors;
  StorageDeviceConfiguration device;
  Reader(errors).read(tree, path, device);
  if (!errors.empty()) return std::unexpected(std::move(errors.front()));
  return device;
}

Result<NetworkDeviceAttachment> network_attachment_from_tree(const Json& tree, const std::string& path) {
  std::vector<Error> errors;
  NetworkDeviceAttachment attachment;
  Reader(errors).read(tree, path, attachment);
  if (!errors.empty()) return std::unexpected(std::move(errors.front()));
  return attachment;
}

Result<DirectoryShare> directory_share_from_tree(const Json& tree, const std::string& path) {
  std::vector<Error> errors;
  DirectoryShare share;
  Reader(errors).read(tree, path, share);
  if (!errors.empty()) return std::unexpected(std::move(errors.front()));
  return share;
}

Result<Json> parse_json(std::string_view text, std::string where) {
  Json tree = Json::parse(text, nullptr, false);
  if (tree.is_discarded()) {
    return fail(ErrorCode::invalid_virtual_machine_configuration, std::move(where), "is not valid JSON");
  }
  return tree;
}

}  // namespace alcove::config
