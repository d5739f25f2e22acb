#include "view/viewer.h"

#include <algorithm>

namespace alcove::view {

namespace {

// Displays stand beside each other.
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

}  // namespace

Result<std::unique_ptr<Viewer>> Viewer::create(const Subject& subject) {
  auto reader = subject.display.open_reader();
  if (!reader) return std::unexpected(reader.error());
  return std::unique_ptr<Viewer>(new Viewer(subject, *std::move(reader)));
}

Viewer::Viewer(const Subject& subject, std::unique_ptr<DisplayReader> reader)
    : subject_(subject),
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

bool Viewer::resize(DisplaySize size) {
  constexpr uint32_t kLeast = 64, kMost = 4095;  // See VirtioGraphicsScanoutConfiguration.
  if (size.width < kLeast || size.height < kLeast || size.width > kMost || size.height > kMost) return false;
  subject_.display.reconfigure(
      {.width = size.width, .height = size.height, .pixels_per_inch = subject_.display.pixels_per_inch()},
      [](const Result<>&) {});
  return true;
}

}  // namespace alcove::view
