// Calls a function for every path in a configuration.
#pragma once

#include "config/fields.h"

namespace alcove::config {

// `function(std::filesystem::path&)` for each; empty ones, too.
template <class Function>
class PathVisitor {
 public:
  explicit PathVisitor(Function& function) : function_(function) {}

  template <class T>
  void operator()(std::string_view, T&& member) {
    visit(member);
  }

 private:
  void visit(std::filesystem::path& path) { function_(path); }
  template <class... Alternatives>
  void visit(std::variant<Alternatives...>& value) {
    std::visit([this](auto& alternative) { fields(*this, alternative); }, value);
  }
  template <class T>
  void visit(std::vector<T>& values) {
    for (T& value : values) visit(value);
  }
  template <class T>
  void visit(std::map<std::string, T>& values) {
    for (auto& [name, value] : values) visit(value);
  }
  template <class T>
  void visit(std::optional<T>& value) {
    if (value) visit(*value);
  }
  template <class T>
  void visit(T& value) {
    if constexpr (requires { fields(*this, value); }) fields(*this, value);
  }

  Function& function_;
};

template <class Function>
void for_each_path(VirtualMachineConfiguration& configuration, Function function) {
  PathVisitor<Function> visitor(function);
  fields(visitor, configuration);
}

}  // namespace alcove::config
