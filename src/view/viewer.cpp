#include "view/viewer.h"

#include <algorithm>
#include <cmath>

namespace alcove::view {

uint32_t pixels_per_inch_for(double pixel_ratio) {
  constexpr double kUsual = 96, kLeast = 20, kMost = 1000;
  return static_cast<uint32_t>(std::lround(std::clamp(kUsual * pixel_ratio, kLeast, kMost)));
}

Result<GraphicsDisplay*> find_display(const VirtualMachine& machine, size_t index) {
  for (const GraphicsDevice* device : machine.graphics_devices()) {
    if (index < device->displays().size()) return device->displays()[index];
    index -= device->displays().size();
  }
  return fail(ErrorCode::not_supported, "graphics_devices", "the machine has no such display",
              "add a VirtioGraphicsDeviceConfiguration");
}

PointerEvent on_screen(PointerEvent event, const Subject& subject) {
  double before = 0, width = 0, height = 0;
  for (const GraphicsDevice* device : subject.machine.graphics_devices()) {
    for (const GraphicsDisplay* display : device->displays()) {
      const DisplaySize size = display->size_in_pixels();
      if (display == &subject.display) before = width;
      width += size.width;
      height = std::max<double>(height, size.height);
    }
  }
  const DisplaySize own = subject.display.size_in_pixels();
  if (width <= 0 || height <= 0) return event;
  event.x = (before + event.x * own.width) / width;
  event.y = event.y * own.height / height;
  return event;
}

Result<std::unique_ptr<Viewer>> Viewer::create(const Subject& subject, std::optional<double> pixel_ratio) {
  auto reader = subject.display.open_reader();
  if (!reader) return std::unexpected(reader.error());
  return std::unique_ptr<Viewer>(new Viewer(subject, *std::move(reader), pixel_ratio));
}

Viewer::Viewer(const Subject& subject, std::unique_ptr<DisplayReader> reader,
               std::optional<double> pixel_ratio)
    : subject_(subject),
      pixel_ratio_(pixel_ratio),
      reader_(std::move(reader)),
      input_(subject.machine.open_input_source()),
      session_(*this) {}

// Input that a machine can't take, or not now, is lost, as with an unplugged keyboard.
void Viewer::send_key(const KeyEvent& event) {
  (void)input_.send(event);
}

void Viewer::send_pointer(const PointerEvent& event) {
  (void)input_.send(on_screen(event, subject_));
}

void Viewer::set_clipboard(std::string text) {
  // What is too much is lost.
  if (Clipboard* const shared = subject_.machine.clipboard())
    (void)shared->set_contents({.text = std::move(text)});
}

bool Viewer::resize(DisplaySize size) {
  uint32_t density = subject_.display.pixels_per_inch();
  if (pixel_ratio_) {
    size.width = static_cast<uint32_t>(std::lround(size.width * *pixel_ratio_));
    size.height = static_cast<uint32_t>(std::lround(size.height * *pixel_ratio_));
    density = pixels_per_inch_for(*pixel_ratio_);
  }
  if (size.width < kLeastExtent || size.height < kLeastExtent || size.width > kMostExtent ||
      size.height > kMostExtent)
    return false;
  subject_.display.reconfigure({.width = size.width, .height = size.height, .pixels_per_inch = density},
                               [](const Result<>&) {});
  return true;
}

}  // namespace alcove::view
