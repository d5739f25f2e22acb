// What a hostile page says that somebody copied.
#include "view/web/clipboard_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove::view::web;
  const auto contents = parse_clipboard({data, size});
  if (contents && parse_clipboard(format_clipboard(*contents)) != contents) __builtin_trap();
  return 0;
}
