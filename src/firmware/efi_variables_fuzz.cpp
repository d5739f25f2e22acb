// Any bytes as a variable store: nothing crashes, hangs or reads beyond them.
#include <cstdint>

#include "firmware/efi_variables.h"

using namespace alcove;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto variables = firmware::parse_variables({data, size});
  if (!variables) return 0;
  (void)firmware::boot_entries(*variables);
  (void)firmware::secure_boot_state(*variables);
  return 0;
}
