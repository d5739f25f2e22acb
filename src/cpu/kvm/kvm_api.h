// <linux/kvm.h> made safe for C++, and system calls on its descriptors.
#pragma once

#include <linux/stddef.h>

// The header's own macro puts an empty struct before a flexible array, which takes a byte in C++ and so
// changes sizes, and with them ioctl numbers.
#undef __DECLARE_FLEX_ARRAY
#define __DECLARE_FLEX_ARRAY(TYPE, NAME) TYPE NAME[]

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#include <linux/kvm.h>
#pragma GCC diagnostic pop

#include <alcove/error.h>
#include <fmt/format.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

static_assert(sizeof(kvm_cpuid2) == 8 && sizeof(kvm_msrs) == 8 && sizeof(kvm_irq_routing) == 8);

namespace alcove::cpu::kvm {

// ioctl(2), again if a signal interrupted it. The result is never negative.
template <class Argument>
Result<int> call(int fd, unsigned long request, std::string_view name, Argument argument) {
  int result;
  do {
    result = ioctl(fd, request, argument);
  } while (result < 0 && errno == EINTR);
  if (result < 0)
    return fail(ErrorCode::internal, "hypervisor.kvm", fmt::format("{} failed: {}", name, strerror(errno)));
  return result;
}

#define ALCOVE_KVM(fd, request, argument) ::alcove::cpu::kvm::call(fd, request, #request, argument)

// A structure that ends in a flexible array of `count` elements, zeroed.
template <class Header, class Element>
class WithEntries {
 public:
  explicit WithEntries(size_t count)
      : memory_(std::make_unique<uint64_t[]>((sizeof(Header) + count * sizeof(Element) + 7) / 8)) {}
  Header* get() { return reinterpret_cast<Header*>(memory_.get()); }
  Header* operator->() { return get(); }

 private:
  std::unique_ptr<uint64_t[]> memory_;
};

}  // namespace alcove::cpu::kvm
