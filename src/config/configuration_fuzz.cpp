// Machine files and JSON: whatever is read either fails or survives being written and read again.
#include <alcove/virtual_machine_configuration.h>

#include <cstdint>
#include <cstdlib>

using alcove::VirtualMachineConfiguration;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool toml = data[0] % 2 == 0;
  auto read =
      toml ? VirtualMachineConfiguration::from_toml(text) : VirtualMachineConfiguration::from_json(text);
  if (!read) return 0;
  auto again = toml ? VirtualMachineConfiguration::from_toml(read->to_toml())
                    : VirtualMachineConfiguration::from_json(read->to_json());
  if (!again || *again != *read) std::abort();
  return 0;
}
