// Boots the guest of these tests and compares what its displays show with what it drew, changes their sizes
// and compares again:
//   display_host KERNEL INITRD FOLDER      the pictures are left in FOLDER as PNG files
#include <alcove/alcove.h>
#include <fmt/format.h>
#include <poll.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <thread>

#include "picture.h"

using namespace alcove;
using namespace alcove::literals;

namespace {

constexpr std::chrono::seconds kPatience{200};

VirtualMachine* running = nullptr;

[[noreturn]] void give_up(const std::string& why) {
  fmt::print(stderr, "FAILED: {}\n", why);
  if (running) {
    const std::string log = running->serial_ports()[0]->log();
    fmt::print(stderr, "{}\n", log.size() > 4000 ? log.substr(log.size() - 4000) : log);
  }
  std::_Exit(1);
}

template <class Condition>
void wait_for(const std::string& what, Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) give_up("waited in vain for " + what);
    if (running->state() != VirtualMachineState::running) give_up("the machine ended");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

bool is_picture(const DisplayFrame& frame, DisplaySize size, uint32_t seed) {
  if (frame.size != size) return false;
  for (uint32_t y = 0; y < size.height; ++y) {
    for (uint32_t x = 0; x < size.width; ++x) {
      if (frame.pixels[size_t{y} * size.width + x] != picture::pixel(x, y, seed)) return false;
    }
  }
  return true;
}

// Follows the display as a view does, until it shows the picture.
void wait_for_picture(GraphicsDisplay& display, DisplaySize size, uint32_t seed, const std::string& file) {
  auto reader = display.open_reader();
  if (!reader) give_up(reader.error().message());
  DisplayFrame frame;
  unsigned frames = 0;
  wait_for(fmt::format("{}x{}", size.width, size.height), [&] {
    pollfd wait{.fd = (*reader)->descriptor(), .events = POLLIN, .revents = 0};
    if (poll(&wait, 1, 1000) == 1) {
      (*reader)->read(frame);
      ++frames;
    }
    return is_picture(frame, size, seed);
  });
  if (auto saved = frame.save_png(file); !saved) give_up(saved.error().message());
  if (display.size_in_pixels() != size) give_up("size_in_pixels() is another");
  fmt::print("{}x{} after {} frames: {}\n", size.width, size.height, frames, file);
}

void check_cursor(GraphicsDisplay& display) {
  auto reader = display.open_reader();
  DisplayCursor cursor;
  wait_for("the cursor", [&] { return (cursor = (*reader)->cursor()).is_visible; });
  if (cursor.x != 100 || cursor.y != 50) give_up(fmt::format("the cursor is at {}, {}", cursor.x, cursor.y));
  if (cursor.hot_x != 7 || cursor.hot_y != 3) give_up("the cursor's hot spot is elsewhere");
  for (uint32_t y = 0; y < picture::kCursorExtent; ++y) {
    for (uint32_t x = 0; x < picture::kCursorExtent; ++x) {
      if (cursor.pixels[y * picture::kCursorExtent + x] != picture::cursor_pixel(x, y))
        give_up("the cursor has another shape");
    }
  }
  if (!(*reader)->cursor(cursor.shape).pixels.empty()) give_up("a cursor that is known is read again");
}

}  // namespace

int main(int argument_count, char** arguments) {
  if (argument_count != 4) return 2;
  const std::string folder = arguments[3];
  const VirtualMachineConfiguration configuration{
      .memory_size = 512_MiB,
      .boot_loader =
          LinuxBootLoader{
              .kernel = arguments[1], .command_line = "console=ttyS0 quiet", .initial_ramdisk = arguments[2]},
      .graphics_devices = {VirtioGraphicsDeviceConfiguration{
          .scanouts = {{.width = 800, .height = 600, .pixels_per_inch = 100},
                       {.width = 333, .height = 222, .pixels_per_inch = 254}}}},
      .serial_ports = {UART16550SerialPortConfiguration{}},
      .hypervisor = HypervisorChoice::soft};
  auto machine = VirtualMachine::create(configuration);
  if (!machine) give_up(machine.error().message());
  std::atomic<unsigned> begun = 0, ended = 0;
  const Observation observation =
      (*machine)->observe({.display_did_begin_reconfiguration = [&](GraphicsDisplay&) { ++begun; },
                           .display_did_end_reconfiguration = [&](GraphicsDisplay&) { ++ended; }});
  std::promise<Result<>> started;
  (*machine)->start([&](Result<> result) { started.set_value(std::move(result)); });
  if (auto result = started.get_future().get(); !result) give_up(result.error().message());
  running = machine->get();

  const auto& displays = (*machine)->graphics_devices()[0]->displays();
  if (displays.size() != 2) give_up("there are not two displays");
  wait_for_picture(*displays[0], {800, 600}, 0, folder + "/first.png");
  wait_for_picture(*displays[1], {333, 222}, 1, folder + "/second.png");
  check_cursor(*displays[0]);
  const auto says = [&](const std::string& what) {
    wait_for(what, [&] { return running->serial_ports()[0]->log().contains(what); });
  };
  says("display 0 shows 800x600 on 200x150 mm");
  says("display 1 shows 333x222 on 30x20 mm");
  if (begun != 0 || ended < 2) give_up(fmt::format("{} began, {} ended", begun.load(), ended.load()));

  const unsigned ended_before = ended;
  std::promise<Result<>> reconfigured;
  displays[0]->reconfigure({.width = 1366, .height = 768, .pixels_per_inch = 127},
                           [&](Result<> result) { reconfigured.set_value(std::move(result)); });
  if (auto result = reconfigured.get_future().get(); !result) give_up(result.error().message());
  wait_for_picture(*displays[0], {1366, 768}, 0, folder + "/larger.png");
  says("display 0 shows 1366x768 on 270x150 mm");
  if (begun != 1 || ended <= ended_before) give_up("the observer was not told");

  std::promise<Result<>> refused;
  displays[0]->reconfigure({.width = 20, .height = 768},
                           [&](Result<> result) { refused.set_value(std::move(result)); });
  if (refused.get_future().get()) give_up("a width of 20 was taken");
  return 0;
}
