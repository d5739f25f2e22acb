// Graphics devices and their displays: configuration, and what a running machine shows.
#pragma once

#include <alcove/error.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace alcove {

// One display, as a monitor of this size and density.
struct VirtioGraphicsScanoutConfiguration {
  uint32_t width = 1280;          // In pixels: 64 to 4095.
  uint32_t height = 800;          // In pixels: 64 to 4095.
  uint32_t pixels_per_inch = 96;  // 20 to 1000: the guest is told the physical size that follows from it.

  bool operator==(const VirtioGraphicsScanoutConfiguration&) const = default;
};

// A virtio GPU without 3D acceleration.
struct VirtioGraphicsDeviceConfiguration {
  std::vector<VirtioGraphicsScanoutConfiguration> scanouts{VirtioGraphicsScanoutConfiguration{}};  // 1 to 16.

  bool operator==(const VirtioGraphicsDeviceConfiguration&) const = default;
};

using GraphicsDeviceConfiguration = std::variant<VirtioGraphicsDeviceConfiguration>;

struct DisplaySize {  // In pixels.
  uint32_t width = 0;
  uint32_t height = 0;

  bool operator==(const DisplaySize&) const = default;
};

struct DisplayRectangle {  // In pixels; the origin is the display's upper left corner.
  uint32_t x = 0;
  uint32_t y = 0;
  uint32_t width = 0;
  uint32_t height = 0;

  bool operator==(const DisplayRectangle&) const = default;
};

// What a display shows at one moment.
struct DisplayFrame {
  DisplaySize size;              // 0 by 0 where nothing was ever shown.
  std::vector<uint32_t> pixels;  // Rows from top to bottom without gaps; 0x00RRGGBB.

  // As a PNG file, replaced if it exists. The second gives the file's bytes.
  Result<> save_png(const std::filesystem::path& file) const;
  Result<std::string> to_png() const;

  bool operator==(const DisplayFrame&) const = default;
};

// The guest's hardware pointer, which is no part of the frame.
struct DisplayCursor {
  bool is_visible = false;
  int32_t x = 0;  // Where the shape's upper left corner is on the display; may be outside.
  int32_t y = 0;
  uint64_t shape = 0;  // Another number for another shape.
  uint32_t hot_x = 0;  // The hot spot within the shape.
  uint32_t hot_y = 0;
  DisplaySize size;
  std::vector<uint32_t> pixels;  // 0xAARRGGBB, colours multiplied by alpha.

  bool operator==(const DisplayCursor&) const = default;
};

// Follows a display. Each reader goes at its own pace: one that is slow misses frames, and holds up nobody.
// For one thread at a time; may be used while the machine is stopped (then nothing changes), and outlives it.
class DisplayReader {
 public:
  virtual ~DisplayReader() = default;
  // Readable, for poll(), when there is something new: a frame or the cursor. At first, too. read() rearms
  // it.
  virtual int descriptor() const = 0;
  // Brings `frame`, which must be the same at each call, up to date by copying what changed; gives those
  // parts. A frame is never torn, unless the machine's process died while it made one.
  virtual std::vector<DisplayRectangle> read(DisplayFrame& frame) = 0;
  // The cursor at this moment. Pixels only if its shape is not `known_shape`.
  virtual DisplayCursor cursor(uint64_t known_shape = 0) = 0;

  // Lends it to another process: sends one byte with descriptors over `socket`, of the Unix domain, of which
  // borrow() there makes a reader. That one works as long as this one exists, is not to be used beside it,
  // and can't change what it reads.
  virtual Result<> lend(int socket) const = 0;
  // Waits for what lend() sends.
  static Result<std::unique_ptr<DisplayReader>> borrow(int socket);
};

// One display of a graphics device; see devices.h for threads and lifetime.
class GraphicsDisplay {
 public:
  virtual ~GraphicsDisplay() = default;
  // Of what the guest shows, or showed before it stopped; until it has shown anything, what it was asked for.
  virtual DisplaySize size_in_pixels() const = 0;
  virtual uint32_t pixels_per_inch() const = 0;
  // Asks the guest to show another size, as if another monitor had been plugged in; in effect until the
  // machine stops. Completes when the guest has been told; a guest that ignores it is no error. Fails with
  // invalid_virtual_machine_configuration if the size is out of range.
  virtual void reconfigure(VirtioGraphicsScanoutConfiguration configuration,
                           std::move_only_function<void(Result<>)> completion) = 0;
  // The frame at this moment: also of a machine that is paused, has stopped or crashed.
  virtual Result<DisplayFrame> frame() const = 0;
  virtual Result<std::unique_ptr<DisplayReader>> open_reader() = 0;
};

class GraphicsDevice {
 public:
  virtual ~GraphicsDevice() = default;
  virtual const std::vector<GraphicsDisplay*>& displays() const = 0;  // In the configuration's order.
};

}  // namespace alcove
