// A guest's access control lists: what is taken for one is written as it was read, and stays one.
#include "share/access_list.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using alcove::share::AccessList;
  const auto list = AccessList::parse(std::as_bytes(std::span(data, size)));
  if (!list) return 0;
  const auto again = AccessList::parse(list->format());
  if (!again || again->format() != list->format()) __builtin_trap();
  const mode_t mode = data[size - 1] << 1 & 0777;
  const AccessList made = list->inherited(mode);
  if (!AccessList::parse(made.format()) || made.permissions() & ~(list->permissions() & mode))
    __builtin_trap();
  return 0;
}
