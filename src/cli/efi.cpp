#include "cli/efi.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "cli/bundle.h"
#include "cli/output.h"

namespace alcove::cli {

namespace {

// A file, or the kept machine of that name.
Result<EFIVariableStore> find_store(const std::string& given) {
  std::error_code error;
  if (std::filesystem::is_regular_file(given, error)) return EFIVariableStore{given};
  const auto bundle = Bundle::open(given);
  if (!bundle && !std::filesystem::exists(given, error)) {
    return fail(
        ErrorCode::invalid_virtual_machine_configuration, given,
        "there is neither such a file nor a kept machine of that name",
        "name a variable store (`alcove efi create` makes one), or a machine that `alcove list` shows");
  }
  if (!bundle) return std::unexpected(bundle.error());
  const auto configuration = bundle->configuration();
  if (!configuration) return std::unexpected(configuration.error());
  const EFIVariableStore* store = variable_store(*configuration);
  if (store) return *store;
  return fail(ErrorCode::not_supported, given, "does not boot by EFI firmware, or keeps no variables",
              "machines made with --efi or --iso do");
}

std::string attributes_text(uint32_t attributes) {
  // UEFI specification, section 8.2.1.
  constexpr std::pair<uint32_t, std::string_view> kNames[] = {{0x01, "NV"}, {0x02, "BS"}, {0x04, "RT"},
                                                              {0x08, "HR"}, {0x10, "AW"}, {0x20, "AT"}};
  std::string text;
  for (const auto& [bit, name] : kNames) {
    if (attributes & bit) text += (text.empty() ? "" : "+") + std::string(name);
  }
  return text;
}

int show_variables(const std::string& given, bool json) {
  const auto store = find_store(given);
  if (!store) return report(store.error());
  const auto variables = store->variables();
  if (!variables) return report(variables.error());
  if (!json) {
    fmt::print("{}\n{:<36}  {:<32} {:<14} {:>7}\n", efi_text(describe(*store)), "VENDOR", "NAME",
               "ATTRIBUTES", "BYTES");
    for (const EFIVariable& variable : *variables) {
      fmt::print("{:<36}  {:<32} {:<14} {:>7}\n", variable.vendor, variable.name,
                 attributes_text(variable.attributes), variable.data.size());
    }
    return 0;
  }
  nlohmann::json list = nlohmann::json::array();
  for (const EFIVariable& variable : *variables) {
    list.push_back({{"name", variable.name},
                    {"vendor", variable.vendor},
                    {"attributes", variable.attributes},
                    {"data", fmt::format("{:02x}", fmt::join(variable.data, ""))}});
  }
  nlohmann::json result = describe(*store);
  result["variables"] = std::move(list);
  fmt::print("{}\n", result.dump(2));
  return 0;
}

int create_store(const std::string& path, bool overwrite, bool secure_boot) {
  const auto made =
      EFIVariableStore::create(path, {.allow_overwrite = overwrite, .secure_boot = secure_boot});
  if (!made) return report(made.error());
  fmt::print("{}\n", path);
  return 0;
}

}  // namespace

const EFIVariableStore* variable_store(const VirtualMachineConfiguration& configuration) {
  const auto* loader =
      configuration.boot_loader ? std::get_if<EFIBootLoader>(&*configuration.boot_loader) : nullptr;
  return loader && !loader->variable_store.path.empty() ? &loader->variable_store : nullptr;
}

nlohmann::json describe(const EFIVariableStore& store) {
  nlohmann::json json = {{"variable_store", store.path.string()}};
  const auto secure_boot = store.secure_boot_state();
  const auto entries = store.boot_entries();
  if (!secure_boot || !entries) {
    json["error"] = to_json(secure_boot ? entries.error() : secure_boot.error());
    return json;
  }
  json["secure_boot"] = to_string(*secure_boot);
  json["boot_entries"] = nlohmann::json::array();
  for (const EFIBootEntry& entry : *entries) {
    json["boot_entries"].push_back({{"number", entry.number},
                                    {"description", entry.description},
                                    {"file", entry.file},
                                    {"active", entry.active}});
  }
  return json;
}

std::string efi_text(const nlohmann::json& description) {
  std::string text = fmt::format("variables  {}\n", description["variable_store"].get<std::string>());
  if (description.contains("error"))
    return text + fmt::format("error      {}\n", error_from_json(description["error"]).what);
  text += fmt::format("secureboot {}\n", description["secure_boot"].get<std::string>());
  for (const auto& entry : description["boot_entries"]) {
    text += fmt::format("boot       {:04X}{} {}  {}", entry["number"].get<unsigned>(),
                        entry["active"].get<bool>() ? "*" : " ", entry["description"].get<std::string>(),
                        entry["file"].get<std::string>());
    while (text.ends_with(' ')) text.pop_back();
    text += '\n';
  }
  return text;
}

void add_efi_commands(CLI::App& app, int& status) {
  CLI::App* efi = app.add_subcommand("efi", "Make and show EFI firmware's variables");
  efi->require_subcommand(1);
  const auto given = std::make_shared<std::string>();
  const auto flag = std::make_shared<bool>(false);
  CLI::App* variables = efi->add_subcommand("variables", "Show the variables of a machine that is stopped");
  variables->add_option("FILE", *given, "A variable store, or a kept machine's name")
      ->required()
      ->type_name("");
  variables->add_flag("--json", *flag, "For programs, with the variables' data");
  variables->callback([given, flag, &status] { status = show_variables(*given, *flag); });
  CLI::App* create = efi->add_subcommand("create", "Make a variable store");
  create->add_option("FILE", *given, "The file to make")->required()->type_name("");
  create->add_flag("--overwrite", *flag, "Replace it if it is there");
  const auto secure_boot = std::make_shared<bool>(false);
  create->add_flag("--secure-boot", *secure_boot,
                   "With Microsoft's keys: only what is signed for them is booted (default: no keys)");
  create->callback(
      [given, flag, secure_boot, &status] { status = create_store(*given, *flag, *secure_boot); });
}

}  // namespace alcove::cli
