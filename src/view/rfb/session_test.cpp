#include "view/rfb/session.h"

#include <gtest/gtest.h>

#include <random>

#include "view/rfb/keys.h"
#include "view/rfb/testing/client.h"
#include "view/rfb/testing/fake_screen.h"

namespace alcove::view::rfb {
namespace {

using testing::Client;
using testing::FakeScreen;

struct SessionTest : ::testing::Test {
  FakeScreen screen;
  Session session{screen};
  Client client;

  bool say(const std::string& bytes) {
    return session.receive({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  }
  // The handshake of version 3.8, after which the client has the display's size.
  void connect() {
    EXPECT_EQ(session.take_output(), "RFB 003.008\n");
    EXPECT_TRUE(say("RFB 003.008\n"));
    EXPECT_EQ(session.take_output(), std::string("\1\1", 2));
    EXPECT_TRUE(say("\1"));
    EXPECT_EQ(session.take_output(), std::string(4, '\0'));
    EXPECT_TRUE(say("\1"));
    const std::string hello = session.take_output();
    testing::Input in(hello);
    client.frame.size = {in.get16(), in.get16()};
    client.frame.pixels.assign(size_t{client.frame.size.width} * client.frame.size.height, 0xdead);
    EXPECT_EQ(in.take(16), std::string("\x20\x18\0\1\0\xff\0\xff\0\xff\x10\x8\0\0\0\0", 16));
    EXPECT_EQ(in.take(in.get32()), "test");
    EXPECT_TRUE(in.is_empty());
  }
  void set_encodings(const std::vector<int32_t>& encodings) {
    std::string message("\2\0", 2);
    put16(message, static_cast<uint16_t>(encodings.size()));
    for (const int32_t encoding : encodings) put32(message, static_cast<uint32_t>(encoding));
    EXPECT_TRUE(say(message));
  }
  void request(bool incremental = true) {
    std::string message("\3", 1);
    put8(message, incremental);
    put32(message, 0);
    put32(message, 0xffffffff);
    EXPECT_TRUE(say(message));
  }
  void update() {
    session.display_changed();
    request();
    client.take(session.take_output());
  }
};

// Areas of one colour, of two, of some, and of very many.
DisplayFrame picture(DisplaySize size, uint32_t seed) {
  DisplayFrame frame{.size = size, .pixels = std::vector<uint32_t>(size_t{size.width} * size.height)};
  std::mt19937 random(seed);
  for (uint32_t y = 0; y < size.height; ++y) {
    for (uint32_t x = 0; x < size.width; ++x) {
      uint32_t& pixel = frame.pixels[size_t{y} * size.width + x];
      const uint32_t kind = (x / 100 + y / 100) % 4;
      if (kind == 0) pixel = 0x102030 + seed;
      if (kind == 1) pixel = random() % 2 == 0 ? 0xffffff : 0x000080;
      if (kind == 2) pixel = random() % 13 * 0x111111;
      if (kind == 3) pixel = random() & 0xffffff;
    }
  }
  return frame;
}

TEST_F(SessionTest, AllEncodingsGiveThePicture) {
  screen.show(picture({503, 307}, 0));
  connect();
  for (const int32_t encoding : {kEncodingRaw, kEncodingZrle, kEncodingTight}) {
    set_encodings({1234, encoding, kEncodingRaw});
    for (uint32_t seed = 1; seed < 4; ++seed) {  // More than once: the compression goes on.
      screen.show(picture({503, 307}, seed));
      update();
      EXPECT_EQ(client.frame, screen.shown) << encoding;
    }
    EXPECT_GE(client.rectangles[encoding], 3u);
    // Small parts, too.
    for (uint32_t size = 1; size < 40; size += 3) {
      for (uint32_t i = 0; i < size; ++i) screen.shown.pixels[503 * (10 + i) + 20 + i] = size * i;
      screen.changed = {{20, 10, size, size}};
      update();
      ASSERT_EQ(client.frame, screen.shown) << encoding;
    }
  }
}

TEST_F(SessionTest, UpdatesWaitForTheirRequest) {
  screen.show(picture({50, 40}, 0));
  connect();
  session.display_changed();
  EXPECT_EQ(session.take_output(), "");
  request();
  client.take(session.take_output());
  EXPECT_EQ(client.frame, screen.shown);
  request();
  EXPECT_EQ(session.take_output(), "");  // Nothing is new,
  screen.shown.pixels[51] = 42;
  screen.changed = {{1, 1, 1, 1}};
  session.display_changed();
  client.take(session.take_output());  // until it is.
  EXPECT_EQ(client.frame, screen.shown);
  EXPECT_EQ(client.rectangles[kEncodingRaw], 2u);
  request(false);  // All of it once more.
  client.take(session.take_output());
  EXPECT_EQ(client.rectangles[kEncodingRaw], 3u);
}

TEST_F(SessionTest, OlderVersions) {
  screen.show(picture({50, 40}, 0));
  session.take_output();
  EXPECT_TRUE(say("RFB 003.007\n"));
  EXPECT_EQ(session.take_output(), std::string("\1\1", 2));
  EXPECT_TRUE(say("\1\1"));
  EXPECT_EQ(session.take_output().size(), 24u + 4);
  Session oldest(screen);
  oldest.take_output();
  const std::string both = "RFB 003.003\n\1";
  EXPECT_TRUE(oldest.receive({reinterpret_cast<const uint8_t*>(both.data()), both.size()}));
  EXPECT_EQ(oldest.take_output().substr(0, 4), std::string("\0\0\0\1", 4));
}

TEST_F(SessionTest, BytesMayComeOneByOne) {
  screen.show(picture({50, 40}, 0));
  session.take_output();
  std::string all = "RFB 003.008\n\1\1";
  all += std::string("\6\0\0\0\0\0\0\5hello", 13);
  all += std::string("\4\1\0\0\0\0\0a", 8);
  all += std::string("\x04\0\0\0\0\0\xff\x0d", 8);
  for (const char byte : all) ASSERT_TRUE(say(std::string(1, byte)));
  ASSERT_EQ(screen.keys.size(), 2u);
  EXPECT_EQ(screen.keys[0], (KeyEvent{Key::a, true}));
  EXPECT_EQ(screen.keys[1], (KeyEvent{Key::enter, false}));
}

TEST_F(SessionTest, ProtocolErrorsEndIt) {
  const std::string kHello = "RFB 003.008\n\1\1";
  for (const std::string& wrong :
       {std::string("GET / HTTP/1.1\r\n"), std::string("RFB 003.008\n\2"), kHello + '\7', kHello + '\x90',
        kHello +
            std::string("\0\0\0\0\x18\x18\0\1\0\xff\0\xff\0\xff\x10\x8\0\0\0\0", 20),  // 24 bits a pixel,
        kHello + std::string("\0\0\0\0\x20\x18\0\0\0\xff\0\xff\0\xff\x10\x8\0\0\0\0", 20),  // a colour map,
        kHello +
            std::string("\0\0\0\0\x20\x18\0\1\0\xff\0\xff\0\xff\x3f\x8\0\0\0\0", 20),     // a shift too far,
        kHello + std::string("\0\0\0\0\x20\x18\0\1\0\0\0\xff\0\xff\x20\x8\0\0\0\0", 20),  // of no bits, too,
        kHello + std::string("\6\0\0\0\xff\xff\xff\xff", 8), kHello + std::string("\xff\7", 2)}) {
    Session one(screen);
    EXPECT_FALSE(one.receive({reinterpret_cast<const uint8_t*>(wrong.data()), wrong.size()}));
    EXPECT_FALSE(one.receive({}));
  }
}

TEST_F(SessionTest, OtherPixelFormats) {
  screen.show({.size = {2, 1}, .pixels = {0xff8040, 0x00ff00}});
  connect();
  // 16 bits, 5-6-5, big-endian.
  EXPECT_TRUE(say(std::string("\0\0\0\0\x10\x10\1\1\0\x1f\0\x3f\0\x1f\xb\5\0\0\0\0", 20)));
  request();
  std::string update = session.take_output();
  EXPECT_EQ(update.substr(16), std::string("\xfb\xe7\x07\xe0", 4));
  // 8 bits, 2-3-3 from blue on.
  EXPECT_TRUE(say(std::string("\0\0\0\0\x8\x8\0\1\0\7\0\7\0\3\0\3\6\0\0\0", 20)));
  request(false);
  update = session.take_output();
  EXPECT_EQ(update.substr(16), std::string("\x1f\x38", 2));
}

TEST_F(SessionTest, TheClientFollowsTheDisplay) {
  screen.show(picture({100, 80}, 0));
  connect();
  set_encodings({kEncodingTight, kEncodingExtendedDesktopSize, kEncodingQemuExtendedKey});
  update();
  ASSERT_EQ(client.pseudo[kEncodingExtendedDesktopSize].size(), 1u);  // That we have it, too.
  screen.show(picture({130, 70}, 1));
  update();
  EXPECT_EQ(client.frame, screen.shown);
  EXPECT_EQ(client.pseudo[kEncodingExtendedDesktopSize].size(), 2u);
}

TEST_F(SessionTest, ClientsWithoutExtensions) {
  screen.show(picture({100, 80}, 0));
  connect();
  set_encodings({kEncodingDesktopSize});
  update();
  screen.show(picture({130, 70}, 1));
  update();
  EXPECT_EQ(client.frame, screen.shown);
  set_encodings({kEncodingRaw});  // No size may change any more: they see what there is room for.
  screen.show(picture({200, 30}, 2));
  update();
  EXPECT_EQ(client.frame.size, (DisplaySize{130, 70}));
  EXPECT_EQ(client.frame.pixels[129], screen.shown.pixels[129]);
}

TEST_F(SessionTest, TheDisplayFollowsTheClient) {
  screen.show(picture({100, 80}, 0));
  connect();
  set_encodings({kEncodingExtendedDesktopSize});
  update();
  const auto ask = [&](uint16_t width, uint16_t height, uint8_t screens) {
    std::string message("\xfb\0", 2);
    put16(message, width);
    put16(message, height);
    put8(message, screens);
    put8(message, 0);
    message.append(size_t{16} * screens, '\0');
    EXPECT_TRUE(say(message));
    update();
    return client.pseudo[kEncodingExtendedDesktopSize].back();
  };
  EXPECT_EQ(ask(640, 480, 1).y, kStatusForwarded);
  EXPECT_EQ(client.pseudo[kEncodingExtendedDesktopSize].back().x, kReasonThisClient);
  EXPECT_EQ(client.frame.size, (DisplaySize{100, 80}));  // Not before the guest does.
  EXPECT_EQ(ask(640, 480, 2).y, kStatusInvalidLayout);
  screen.can_resize = false;
  EXPECT_EQ(ask(65535, 0, 1).y, kStatusProhibited);
  EXPECT_EQ(screen.sizes, (std::vector<DisplaySize>{{640, 480}, {65535, 0}}));
}

TEST_F(SessionTest, CursorsAreTheClients) {
  screen.show(picture({100, 80}, 0));
  connect();
  set_encodings({kEncodingCursor});
  update();
  EXPECT_TRUE(client.pseudo[kEncodingCursor].empty());
  screen.shape = {.is_visible = true,
                  .shape = 1,
                  .hot_x = 3,
                  .hot_y = 4,
                  .size = {64, 64},
                  .pixels = std::vector<uint32_t>(64 * 64, 0xff112233)};
  screen.shape.pixels[1] = 0;
  update();
  ASSERT_EQ(client.pseudo[kEncodingCursor].size(), 1u);
  const auto& cursor = client.pseudo[kEncodingCursor][0];
  EXPECT_EQ(cursor.x, 3);
  EXPECT_EQ(cursor.y, 4);
  EXPECT_EQ(cursor.data[64 * 64 * 4], '\xbf');  // The second pixel is transparent.
  update();
  EXPECT_EQ(client.pseudo[kEncodingCursor].size(), 1u);
  screen.shape.is_visible = false;
  update();
  EXPECT_EQ(client.pseudo[kEncodingCursor].at(1).size, DisplaySize{});
  set_encodings({kEncodingCursorWithAlpha, kEncodingCursor});
  screen.shape.is_visible = true;
  update();
  EXPECT_EQ(client.pseudo[kEncodingCursorWithAlpha].at(0).data.substr(0, 8),
            std::string("\x11\x22\x33\xff\0\0\0\0", 8));
}

TEST_F(SessionTest, PointersAndWheels) {
  screen.show(picture({100, 50}, 0));
  connect();
  const auto point = [&](uint8_t buttons, uint16_t x, uint16_t y) {
    std::string message("\5", 1);
    put8(message, buttons);
    put16(message, x);
    put16(message, y);
    EXPECT_TRUE(say(message));
    return screen.pointers.back();
  };
  const PointerEvent corner = point(kButtonLeft | kButtonRight, 99, 49);
  EXPECT_DOUBLE_EQ(corner.x, 0.995);
  EXPECT_DOUBLE_EQ(corner.y, 0.99);
  EXPECT_EQ(corner.buttons, (PointerButtons{.left = true, .right = true}));
  EXPECT_EQ(point(kWheelUp, 0, 0).wheel_y, 1);
  EXPECT_EQ(point(kWheelUp, 1, 0).wheel_y, 0);  // Still the same notch.
  EXPECT_EQ(point(0, 1, 0).wheel_y, 0);
  EXPECT_EQ(point(kWheelDown | kWheelRight, 1, 0).wheel_y, -1);
  EXPECT_EQ(screen.pointers.back().wheel_x, 1);
  EXPECT_LE(point(0, 65535, 65535).x, 1);
}

TEST_F(SessionTest, ScanCodesNamePlacesOnTheKeyboard) {
  screen.show(picture({100, 50}, 0));
  connect();
  set_encodings({kEncodingQemuExtendedKey});
  update();
  EXPECT_EQ(client.rectangles[kEncodingQemuExtendedKey], 1u);
  std::string message("\xff\0\0\1", 4);
  put32(message, 'z');   // What a German keyboard prints
  put32(message, 0x15);  // where Y is.
  EXPECT_TRUE(say(message));
  EXPECT_EQ(screen.keys.at(0), (KeyEvent{Key::y, true}));
  EXPECT_EQ(key_from_scan_code(0x01), Key::escape);
  EXPECT_EQ(key_from_scan_code(0x1c), Key::enter);
  EXPECT_EQ(key_from_scan_code(0x3b), Key::f1);
  EXPECT_EQ(key_from_scan_code(0x53), Key::keypad_decimal);
  EXPECT_EQ(key_from_scan_code(0x58), Key::f12);
  EXPECT_EQ(key_from_scan_code(0xc8), Key::up);
  EXPECT_EQ(key_from_scan_code(0xdb), Key::left_meta);
  EXPECT_EQ(key_from_scan_code(0x55), std::nullopt);
  EXPECT_EQ(key_from_scan_code(0xffffffff), std::nullopt);
  EXPECT_EQ(key_from_keysym('A'), Key::a);
  EXPECT_EQ(key_from_keysym('?'), Key::slash);
  EXPECT_EQ(key_from_keysym('0'), Key::digit_0);
  EXPECT_EQ(key_from_keysym('!'), Key::digit_1);
  EXPECT_EQ(key_from_keysym(0xffc9), Key::f12);
  EXPECT_EQ(key_from_keysym(0xffb5), Key::keypad_5);
  EXPECT_EQ(key_from_keysym(0x20ac), std::nullopt);
}

// A message of the extended clipboard: flags, and what follows them.
std::string extended(uint32_t flags, std::string_view data = {}) {
  std::string message("\6\0\0\0", 4);
  put32(message, static_cast<uint32_t>(-static_cast<int32_t>(4 + data.size())));
  put32(message, flags);
  return message + std::string(data);
}
constexpr uint32_t kText = 1, kCapabilities = 1 << 24, kRequest = 1 << 25, kNotify = 1 << 27,
                   kProvide = 1 << 28;

std::string deflated(std::string_view text) {
  std::string data;
  put32(data, static_cast<uint32_t>(text.size()));
  data += text;
  std::string out(compressBound(data.size()), '\0');
  uLongf size = out.size();
  compress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(data.data()),
           data.size());
  out.resize(size);
  return out;
}

TEST_F(SessionTest, PlainTextIsCopiedBothWays) {
  connect();
  EXPECT_TRUE(say(std::string("\6\0\0\0\0\0\0\5gr\xfc\xdf\r", 13)));
  EXPECT_EQ(screen.copied, std::vector<std::string>{"gr\xc3\xbc\xc3\x9f\r"});
  session.clipboard_changed("\xc3\xa4 \xe2\x82\xac\n");
  EXPECT_EQ(session.take_output(), std::string("\3\0\0\0\0\0\0\4\xe4 ?\n", 12));
  EXPECT_EQ(session.take_output(), "");
}

TEST_F(SessionTest, TextIsCopiedByTheExtendedClipboard) {
  connect();
  set_encodings({kEncodingRaw, kEncodingExtendedClipboard});
  const std::string capabilities = session.take_output();
  testing::Input in(capabilities);
  EXPECT_EQ(in.get32(), 3u << 24);
  EXPECT_EQ(static_cast<int32_t>(in.get32()), -8);
  EXPECT_NE(in.get32() & kCapabilities, 0u);

  EXPECT_TRUE(say(extended(kNotify | kText)));
  EXPECT_EQ(session.take_output().substr(8), extended(kRequest | kText).substr(8));
  EXPECT_TRUE(say(extended(kProvide | kText, deflated(std::string("one\r\n\xe2\x82\xac\0", 9)))));
  EXPECT_EQ(screen.copied, std::vector<std::string>{"one\n\xe2\x82\xac"});

  session.clipboard_changed("two\n\xe2\x82\xac");
  EXPECT_EQ(session.take_output().substr(8), extended(kNotify | kText).substr(8));
  EXPECT_TRUE(say(extended(kRequest | kText)));
  const std::string provided = session.take_output();
  EXPECT_EQ(provided.substr(8, 4), extended(kProvide | kText).substr(8));
  std::string text(100, '\0');
  uLongf size = text.size();
  EXPECT_EQ(uncompress(reinterpret_cast<Bytef*>(text.data()), &size,
                       reinterpret_cast<const Bytef*>(provided.data()) + 12, provided.size() - 12),
            Z_OK);
  EXPECT_EQ(text.substr(0, size), std::string("\0\0\0\x9two\r\n\xe2\x82\xac\0", 13));
}

TEST_F(SessionTest, BrokenClipboardsEndIt) {
  const std::string bomb = deflated(std::string(20 << 20, 'x'));
  for (const std::string& message :
       {extended(kProvide | kText, "no zlib's"), extended(kProvide | kText, bomb),
        extended(kProvide | kText, deflated("x").substr(0, 5)),
        std::string("\6\0\0\0\xff\xff\xff\xfe\0\0", 10), std::string("\6\0\0\0\x80\0\0\0", 8),
        std::string("\6\0\0\0\0\x10\0\1", 8)}) {
    Session broken(screen);
    const auto tell = [&](const std::string& bytes) {
      return broken.receive({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
    };
    std::string encodings("\2\0\0\1", 4);
    put32(encodings, static_cast<uint32_t>(kEncodingExtendedClipboard));
    EXPECT_TRUE(tell("RFB 003.008\n\1\1" + encodings));
    EXPECT_FALSE(tell(message));
  }
  EXPECT_TRUE(screen.copied.empty());
}

}  // namespace
}  // namespace alcove::view::rfb
