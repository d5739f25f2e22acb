#include <poll.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

#include "client/test_machine.h"
#include "control/channel.h"

namespace alcove::client {
namespace {

using DisplayTest = MachineTest;

VirtioGraphicsDeviceConfiguration two_displays() {
  return {.scanouts = {{.width = 320, .height = 200}, {.width = 100, .height = 80, .pixels_per_inch = 200}}};
}

template <class Condition>
bool wait_for(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

bool is_readable(const DisplayReader& reader) {
  pollfd wait{.fd = reader.descriptor(), .events = POLLIN, .revents = 0};
  return ::poll(&wait, 1, 0) == 1;
}

TEST_F(DisplayTest, ShowsWhatTheGuestShows) {
  auto described = configuration();
  described.graphics_devices = {two_displays()};
  auto machine = create(described);
  ASSERT_EQ(machine->graphics_devices().size(), 1u);
  const auto& displays = machine->graphics_devices()[0]->displays();
  ASSERT_EQ(displays.size(), 2u);
  EXPECT_EQ(displays[1]->size_in_pixels(), (DisplaySize{100, 80}));
  EXPECT_EQ(displays[1]->pixels_per_inch(), 200u);
  EXPECT_FALSE(displays[0]->frame());  // Nothing was shown yet.

  auto reader = displays[0]->open_reader();  // Before the start, as a view does.
  ASSERT_TRUE(reader);
  DisplayFrame frame;
  EXPECT_TRUE(is_readable(**reader));
  EXPECT_TRUE((*reader)->read(frame).empty());
  EXPECT_FALSE(is_readable(**reader));

  ASSERT_TRUE(start(*machine));
  ASSERT_TRUE(wait_for([&] { return is_readable(**reader) && !(*reader)->read(frame).empty(); }));
  EXPECT_EQ(frame.size, (DisplaySize{320, 200}));
  EXPECT_TRUE(std::ranges::all_of(frame.pixels, [](uint32_t pixel) { return pixel == 0x123456; }));
  EXPECT_EQ(displays[0]->frame(), frame);
  EXPECT_EQ(displays[1]->frame()->pixels[0], 0x123457u);

  // As another process would get it.
  auto sockets = control::socket_pair();
  ASSERT_TRUE(sockets);
  ASSERT_TRUE((*reader)->lend(sockets->first.get()));
  const auto borrowed = DisplayReader::borrow(sockets->second.get());
  ASSERT_TRUE(borrowed);
  EXPECT_TRUE(is_readable(**borrowed));
  DisplayFrame lent;
  EXPECT_EQ((*borrowed)->read(lent).size(), 1u);
  EXPECT_EQ(lent, frame);
  EXPECT_FALSE(is_readable(**borrowed));
  sockets->first.reset();
  EXPECT_FALSE(DisplayReader::borrow(sockets->second.get()));

  ASSERT_TRUE(stop(*machine));
  EXPECT_EQ(displays[0]->frame(), frame);  // The last picture stays.
  machine.reset();
  EXPECT_TRUE((*reader)->read(frame).empty());  // A reader outlives its machine.
}

TEST_F(DisplayTest, Reconfigures) {
  auto described = configuration();
  described.graphics_devices = {two_displays()};
  auto machine = running(described);
  GraphicsDisplay& display = *machine->graphics_devices()[0]->displays()[0];
  std::atomic<unsigned> begun = 0, ended = 0;
  const auto observation = machine->observe(
      {.display_did_begin_reconfiguration = [&](GraphicsDisplay& which) { begun += &which == &display; },
       .display_did_end_reconfiguration = [&](GraphicsDisplay& which) { ended += &which == &display; }});
  Outcome outcome;
  display.reconfigure({.width = 640, .height = 480, .pixels_per_inch = 150}, outcome.completion());
  ASSERT_TRUE(outcome.get());
  EXPECT_TRUE(wait_for([&] { return begun == 1 && ended >= 1; }));
  EXPECT_EQ(display.size_in_pixels(), (DisplaySize{640, 480}));
  EXPECT_EQ(display.pixels_per_inch(), 150u);
  EXPECT_EQ(display.frame()->size, (DisplaySize{640, 480}));

  ASSERT_TRUE(stop(*machine));
  Outcome refused;
  display.reconfigure({}, refused.completion());
  EXPECT_EQ(code_of(refused.get()), ErrorCode::invalid_virtual_machine_state);
  ASSERT_TRUE(start(*machine));  // As configured again.
  EXPECT_TRUE(wait_for([&] { return display.size_in_pixels() == DisplaySize{320, 200}; }));
  EXPECT_EQ(display.pixels_per_inch(), 96u);
}

TEST_F(DisplayTest, ManyReadersSeeTheSame) {
  auto described = configuration();
  described.graphics_devices = {two_displays()};
  auto machine = running(described);
  GraphicsDisplay& display = *machine->graphics_devices()[0]->displays()[0];
  std::vector<std::unique_ptr<DisplayReader>> readers;
  for (int i = 0; i < 10; ++i) readers.push_back(display.open_reader().value());
  for (uint32_t width = 100; width < 110; ++width) {
    Outcome outcome;
    display.reconfigure({.width = width, .height = 100}, outcome.completion());
    ASSERT_TRUE(outcome.get());
  }
  for (const auto& reader : readers) {
    DisplayFrame frame;
    EXPECT_TRUE(wait_for([&] { return reader->read(frame), frame.size.width == 109; }));
  }
}

TEST_F(DisplayTest, PngFilesHaveThePixels) {
  DisplayFrame frame{.size = {3, 2}, .pixels = {1, 0xff0000, 0x00ff00, 0x0000ff, 0xffffff, 0}};
  const auto png = frame.to_png();
  ASSERT_TRUE(png);
  EXPECT_TRUE(png->starts_with("\x89PNG\r\n\x1a\n"));
  EXPECT_EQ(png->substr(16, 8), std::string("\0\0\0\3\0\0\0\2", 8));
  ASSERT_TRUE(frame.save_png(folder / "picture.png"));
  EXPECT_EQ(std::filesystem::file_size(folder / "picture.png"), png->size());
  EXPECT_FALSE(frame.save_png(folder / "nowhere/picture.png"));
  EXPECT_FALSE(DisplayFrame{}.to_png());
}

}  // namespace
}  // namespace alcove::client
