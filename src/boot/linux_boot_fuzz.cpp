// Any bytes as kernel and as initial RAM disk.
#include <algorithm>
#include <cstdint>

#include "boot/linux_boot.h"
#include "boot/test_kernels.h"

using namespace alcove;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static memory::GuestMemory memory = [] {
    const memory::RegionSpec region{.guest_address = 0, .size = 32 << 20};
    return std::move(*memory::GuestMemory::create(std::span(&region, 1)));
  }();
  // Begins from a sound kernel in half of the cases, so that the header checks are passed.
  std::string kernel(reinterpret_cast<const char*>(data), size);
  if (size > 4 && (data[0] & 1)) {
    kernel = data[0] & 2 ? boot::make_vmlinux(true) : boot::make_bzimage();
    for (size_t i = 1; i + 2 < size; i += 3) {
      kernel[(data[i] | data[i + 1] << 8) % std::min<size_t>(kernel.size(), 0x400)] =
          static_cast<char>(data[i + 2]);
    }
  }
  const UniqueFd kernel_file = boot::file_with(kernel);
  const UniqueFd ramdisk =
      size % 2 ? boot::file_with({reinterpret_cast<const char*>(data), size}) : UniqueFd();
  (void)boot::load_linux(memory, {.kernel = kernel_file.get(),
                                  .initial_ramdisk = ramdisk.get(),
                                  .command_line = "console=ttyS0",
                                  .memory_map = {}});
  return 0;
}
