#include "config/efi_firmware.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>

namespace alcove::config {

namespace {

constexpr std::pair<const char*, const char*> kInstalled[] = {
    {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},            // Debian, Ubuntu
    {"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},    // Arch
    {"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},        // Fedora
    {"/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"},  // openSUSE
};

// "…CODE…" to "…VARS…", as all of them are called.
EfiFirmware pair_of(const std::filesystem::path& code) {
  EfiFirmware firmware{.code = code};
  std::string name = code.filename();
  for (const auto& [from, to] : {std::pair{"CODE", "VARS"}, std::pair{"code", "vars"}}) {
    if (const size_t at = name.rfind(from); at != name.npos) {
      firmware.variables = code.parent_path() / name.replace(at, 4, to);
      // Code with Secure Boot enforced has the same empty store.
      std::error_code error;
      if (std::string plain = name; !std::filesystem::exists(firmware.variables, error)) {
        if (const size_t variant = plain.rfind(".secboot"); variant != plain.npos)
          firmware.variables = code.parent_path() / plain.erase(variant, 8);
      }
      break;
    }
  }
  return firmware;
}

}  // namespace

Result<EfiFirmware> find_efi_firmware(const std::filesystem::path& configured) {
  if (!configured.empty()) return pair_of(configured);
  if (const char* path = std::getenv("ALCOVE_FIRMWARE"); path && *path) return pair_of(path);
  for (const auto& [code, variables] : kInstalled) {
    if (::access(code, R_OK) == 0) return EfiFirmware{code, variables};
  }
  return fail(ErrorCode::not_supported, "",
              fmt::format("there is no EFI firmware, such as {}", kInstalled[0].first),
              "install the package ovmf, or name an image with ALCOVE_FIRMWARE");
}

std::filesystem::path enrolled_variables(const std::filesystem::path& empty) {
  const std::string stem = empty.stem(), extension = empty.extension();
  std::string infix = stem;
  if (const size_t at = infix.rfind("-vars"); at != infix.npos) infix.insert(at, "-ms");
  // Debian and Ubuntu, Fedora, openSUSE.
  for (const std::string& name : {stem + ".ms", stem + ".secboot", infix}) {
    std::error_code error;
    const auto path = empty.parent_path() / (name + extension);
    if (path != empty && std::filesystem::exists(path, error)) return path;
  }
  return {};
}

}  // namespace alcove::config
