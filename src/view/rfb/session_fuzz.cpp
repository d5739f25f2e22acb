// A hostile RFB client: the input is what it sends, in pieces whose lengths it chooses, too.
#include <algorithm>
#include <cstring>

#include "view/rfb/session.h"
#include "view/rfb/testing/fake_screen.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace alcove;
  using namespace alcove::view::rfb;
  if (size < 1) return 0;
  testing::FakeScreen screen;
  DisplayFrame frame{.size = {90, 70}, .pixels = std::vector<uint32_t>(90 * 70)};
  for (size_t i = 0; i < frame.pixels.size(); ++i)
    frame.pixels[i] = static_cast<uint32_t>(i % 90 > 45 ? i * 77 : i % 3);
  screen.show(frame);
  screen.shape = {
      .is_visible = true, .shape = 1, .size = {64, 64}, .pixels = std::vector<uint32_t>(64 * 64, 0x80808080)};
  Session session(screen);
  session.take_output();
  // Most inputs begin after the handshake.
  if (data[0] & 1) {
    constexpr uint8_t kHello[] = "RFB 003.008\n\1\1";
    session.receive({kHello, sizeof kHello - 1});
    session.take_output();
  }
  const size_t piece = 1 + data[0] / 2;
  for (size_t at = 1; at < size; at += piece) {
    const bool goes_on = session.receive({data + at, std::min(piece, size - at)});
    if (at % 5 == 0) {
      screen.show({.size = {static_cast<uint32_t>(1 + at % 97), 30},
                   .pixels = std::vector<uint32_t>((1 + at % 97) * 30, static_cast<uint32_t>(at))});
      session.display_changed();
    }
    session.take_output();
    if (!goes_on) break;
  }
  for (const PointerEvent& event : screen.pointers) {
    if (!(event.x >= 0 && event.x <= 1 && event.y >= 0 && event.y <= 1)) __builtin_trap();
  }
  return 0;
}
