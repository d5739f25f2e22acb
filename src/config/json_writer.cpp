#include "config/fields.h"
#include "config/json.h"
#include "config/names.h"

namespace alcove::config {
namespace {

class Writer {
 public:
  explicit Writer(SizeStyle sizes) : sizes_(sizes) {}

  Json write(bool value) const { return value; }
  Json write(int value) const { return value; }
  Json write(unsigned value) const { return value; }
  Json write(uint16_t value) const { return value; }
  Json write(uint64_t value) const { return value; }
  Json write(const std::string& value) const { return value; }
  Json write(const std::filesystem::path& value) const { return value.string(); }
  Json write(const MACAddress& value) const { return value.string(); }
  Json write(const GenericMachineIdentifier& value) const { return value.string(); }
  Json write(Size<const uint64_t> value) const {
    return sizes_ == SizeStyle::number ? Json(value.bytes) : Json(format_size(value.bytes));
  }
  template <class Enumeration>
    requires std::is_enum_v<Enumeration>
  Json write(Enumeration value) const {
    return to_string(value);
  }
  template <class... Alternatives>
  Json write(const std::variant<Alternatives...>& value) const {
    return std::visit(
        [this]<class T>(const T& alternative) {
          Json tree = {{"type", kTypeName<T>}};
          write_members(alternative, tree);
          return tree;
        },
        value);
  }
  template <class T>
  Json write(const std::vector<T>& values) const {
    Json tree = Json::array();
    for (const T& value : values) tree.push_back(write(value));
    return tree;
  }
  template <class T>
  Json write(const std::map<std::string, T>& values) const {
    Json tree = Json::object();
    for (const auto& [name, value] : values) tree[name] = write(value);
    return tree;
  }
  template <class T>
    requires requires(Writer& visitor, const T& value) { fields(visitor, value); }
  Json write(const T& value) const {
    Json tree = Json::object();
    write_members(value, tree);
    return tree;
  }

 private:
  struct Members {
    const Writer& writer;
    Json& tree;
    template <class T>
    void operator()(std::string_view name, const T& value) {
      tree[std::string(name)] = writer.write(value);
    }
    template <class T>
    void operator()(std::string_view name, const std::optional<T>& value) {
      if (value) (*this)(name, *value);
    }
    void operator()(std::string_view name, Size<const uint64_t> value) {
      tree[std::string(name)] = writer.write(value);
    }
  };

  template <class T>
  void write_members(const T& value, Json& tree) const {
    Members members{*this, tree};
    fields(members, value);
  }

  SizeStyle sizes_;
};

}  // namespace

Json to_tree(const VirtualMachineConfiguration& configuration, SizeStyle sizes) {
  return Writer(sizes).write(configuration);
}

Json to_tree(const PortForward& forward) {
  return Writer(SizeStyle::number).write(forward);
}

Json to_tree(const USBDeviceConfiguration& device) {
  return Writer(SizeStyle::number).write(device);
}

Json to_tree(const StorageDeviceConfiguration& device) {
  return Writer(SizeStyle::number).write(device);
}

Json to_tree(const NetworkDeviceAttachment& attachment) {
  return Writer(SizeStyle::number).write(attachment);
}

Json to_tree(const DirectoryShare& share) {
  return Writer(SizeStyle::number).write(share);
}

Json to_tree(const BootLoader& boot_loader) {
  return Writer(SizeStyle::number).write(boot_loader);
}

std::string print_json(const Json& tree) {
  return tree.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace alcove::config
