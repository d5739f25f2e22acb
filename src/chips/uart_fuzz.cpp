// Any sequence of register accesses, of any size, mixed with input from the host.
#include <cstdlib>

#include "chips/uart.h"

using namespace alcove;

namespace {

struct Line final : bus::InterruptLine {
  void set(bool on) override {
    if (on == last) std::abort();  // Only changes are told.
    last = on;
  }
  bool last = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static exec::LoopThread thread("serial");
  static serial::Port port(thread.loop(), LogRing::create().value());
  Line line;
  chips::Uart uart(port, line);
  const auto input = std::as_bytes(std::span(data, size));
  for (size_t at = 0; at + 2 <= input.size();) {
    const auto operation = std::to_integer<unsigned>(input[at++]);
    const uint64_t offset = operation & 0x0f;
    const size_t width = std::min<size_t>(size_t{1} << ((operation >> 4) & 1), input.size() - at);
    switch (operation >> 5) {
      case 0:
      case 1:
      case 2:
        uart.write(offset, input.subspan(at, width));
        break;
      case 3: {
        const auto text = input.subspan(at, std::min<size_t>(operation & 0x1f, input.size() - at));
        if (uart.receive(text) > text.size()) std::abort();
        break;
      }
      case 4:
        uart.writable();
        break;
      case 5:
        (operation & 0x1f) == 0 ? uart.reset() : void();
        break;
      default: {
        std::array<std::byte, 2> out;
        uart.read(offset, std::span(out).first(width));
      }
    }
    at += width;
  }
  return 0;
}
