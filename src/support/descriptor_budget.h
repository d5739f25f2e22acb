// How the descriptors that the process may have are divided among those whose number the guest chooses. What
// is left over, an eighth, is the machine's own.
#pragma once

#include <sys/resource.h>

#include <cstddef>

namespace alcove {

enum class DescriptorUser : unsigned { shares = 2, sockets = 4, networks = 8 };  // One part of so many.

// Of the limit now, which whoever opens the first asks for once.
inline size_t descriptor_budget(DescriptorUser user) {
  rlimit limit{.rlim_cur = 1024};
  (void)::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur / static_cast<unsigned>(user);
}

}  // namespace alcove
