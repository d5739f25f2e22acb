// A guest's program for the display tests: draws a known picture on each connected display with the kernel's
// mode setting interface, draws it anew whenever a display changes, and says what it does, and which keys and
// buttons it is told of, on its console.
//   guest [redraw]      `redraw`: draws whole pictures for ever, and says each second how many
#include <fcntl.h>
#include <libdrm/drm.h>
#include <libdrm/drm_mode.h>
#include <linux/input.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "picture.h"

namespace {

int card = -1;

template <class T>
void control(unsigned long request, T& argument, const char* name) {
  if (ioctl(card, request, &argument) == 0) return;
  std::printf("guest: %s failed: %s\n", name, std::strerror(errno));
  std::exit(1);
}

struct Display {
  uint32_t connector = 0;
  uint32_t crtc = 0;
  uint32_t width = 0, height = 0;
  uint32_t handle = 0, framebuffer = 0, pitch = 0;
  uint64_t size = 0;
  uint32_t* pixels = nullptr;
};

// The connector's preferred mode; asks the monitor anew.
bool find_mode(const Display& display, drm_mode_modeinfo& mode, drm_mode_get_connector& connector) {
  connector = {};
  connector.connector_id = display.connector;
  control(DRM_IOCTL_MODE_GETCONNECTOR, connector, "GETCONNECTOR");
  const uint32_t count = connector.count_modes;
  std::vector<drm_mode_modeinfo> modes(count);
  connector.count_props = 0;
  connector.count_encoders = 0;
  connector.modes_ptr = reinterpret_cast<uint64_t>(modes.data());
  control(DRM_IOCTL_MODE_GETCONNECTOR, connector, "GETCONNECTOR");
  constexpr uint32_t kConnected = 1;
  for (uint32_t i = 0; connector.connection == kConnected && i < std::min(count, connector.count_modes);
       ++i) {
    if ((modes[i].type & DRM_MODE_TYPE_PREFERRED) == 0) continue;
    mode = modes[i];
    return true;
  }
  return false;
}

void release(Display& display) {
  if (!display.pixels) return;
  munmap(display.pixels, display.size);
  control(DRM_IOCTL_MODE_RMFB, display.framebuffer, "RMFB");
  drm_mode_destroy_dumb destroy{.handle = display.handle};
  control(DRM_IOCTL_MODE_DESTROY_DUMB, destroy, "DESTROY_DUMB");
  display.pixels = nullptr;
}

void flush(const Display& display) {
  drm_mode_fb_dirty_cmd dirty{};
  dirty.fb_id = display.framebuffer;
  control(DRM_IOCTL_MODE_DIRTYFB, dirty, "DIRTYFB");
}

void draw(Display& display, uint32_t seed) {
  for (uint32_t y = 0; y < display.height; ++y) {
    uint32_t* row = display.pixels + size_t{y} * display.pitch / 4;
    for (uint32_t x = 0; x < display.width; ++x) row[x] = picture::pixel(x, y, seed);
  }
  flush(display);
}

void set_mode(Display& display, drm_mode_modeinfo mode) {
  drm_mode_create_dumb dumb{};
  dumb.width = mode.hdisplay;
  dumb.height = mode.vdisplay;
  dumb.bpp = 32;
  control(DRM_IOCTL_MODE_CREATE_DUMB, dumb, "CREATE_DUMB");
  Display next{.connector = display.connector,
               .crtc = display.crtc,
               .width = dumb.width,
               .height = dumb.height,
               .handle = dumb.handle,
               .pitch = dumb.pitch,
               .size = dumb.size};
  drm_mode_fb_cmd buffer{};
  buffer.width = next.width;
  buffer.height = next.height;
  buffer.pitch = next.pitch;
  buffer.bpp = 32;
  buffer.depth = 24;
  buffer.handle = next.handle;
  control(DRM_IOCTL_MODE_ADDFB, buffer, "ADDFB");
  next.framebuffer = buffer.fb_id;
  drm_mode_map_dumb map{.handle = next.handle};
  control(DRM_IOCTL_MODE_MAP_DUMB, map, "MAP_DUMB");
  void* memory =
      mmap(nullptr, next.size, PROT_READ | PROT_WRITE, MAP_SHARED, card, static_cast<off_t>(map.offset));
  if (memory == MAP_FAILED) std::exit(1);
  next.pixels = static_cast<uint32_t*>(memory);
  drm_mode_crtc crtc{};
  crtc.crtc_id = next.crtc;
  crtc.fb_id = next.framebuffer;
  crtc.set_connectors_ptr = reinterpret_cast<uint64_t>(&next.connector);
  crtc.count_connectors = 1;
  crtc.mode = mode;
  crtc.mode_valid = 1;
  control(DRM_IOCTL_MODE_SETCRTC, crtc, "SETCRTC");
  release(display);
  display = next;
}

void show_cursor(const Display& display) {
  drm_mode_create_dumb dumb{};
  dumb.width = picture::kCursorExtent;
  dumb.height = picture::kCursorExtent;
  dumb.bpp = 32;
  control(DRM_IOCTL_MODE_CREATE_DUMB, dumb, "CREATE_DUMB");
  drm_mode_map_dumb map{.handle = dumb.handle};
  control(DRM_IOCTL_MODE_MAP_DUMB, map, "MAP_DUMB");
  auto* pixels = static_cast<uint32_t*>(
      mmap(nullptr, dumb.size, PROT_READ | PROT_WRITE, MAP_SHARED, card, static_cast<off_t>(map.offset)));
  for (uint32_t y = 0; y < picture::kCursorExtent; ++y) {
    for (uint32_t x = 0; x < picture::kCursorExtent; ++x)
      pixels[size_t{y} * dumb.pitch / 4 + x] = picture::cursor_pixel(x, y);
  }
  drm_mode_cursor2 cursor{};
  cursor.flags = DRM_MODE_CURSOR_BO | DRM_MODE_CURSOR_MOVE;
  cursor.crtc_id = display.crtc;
  cursor.x = 100;
  cursor.y = 50;
  cursor.width = cursor.height = picture::kCursorExtent;
  cursor.handle = dumb.handle;
  cursor.hot_x = 7;
  cursor.hot_y = 3;
  control(DRM_IOCTL_MODE_CURSOR2, cursor, "CURSOR2");
}

std::vector<Display> find_displays() {
  drm_mode_card_res resources{};
  control(DRM_IOCTL_MODE_GETRESOURCES, resources, "GETRESOURCES");
  std::vector<uint32_t> crtcs(resources.count_crtcs), connectors(resources.count_connectors);
  resources.count_fbs = 0;
  resources.count_encoders = 0;
  resources.crtc_id_ptr = reinterpret_cast<uint64_t>(crtcs.data());
  resources.connector_id_ptr = reinterpret_cast<uint64_t>(connectors.data());
  control(DRM_IOCTL_MODE_GETRESOURCES, resources, "GETRESOURCES");
  std::vector<Display> displays;
  for (size_t i = 0; i < std::min(crtcs.size(), connectors.size()); ++i)
    displays.push_back({.connector = connectors[i], .crtc = crtcs[i]});
  return displays;
}

// Keyboards and pointing devices, which may come late.
class Inputs {
 public:
  void look() {
    for (int i = 0; i < 16; ++i) {
      if (files_[i] < 0)
        files_[i] = open(("/dev/input/event" + std::to_string(i)).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
      input_event event{};
      while (files_[i] >= 0 && read(files_[i], &event, sizeof event) == sizeof event) take(files_[i], event);
    }
  }

 private:
  void take(int file, const input_event& event) {
    if (event.type == EV_ABS && event.code <= ABS_Y) {
      input_absinfo range{};
      if (ioctl(file, EVIOCGABS(event.code), &range) == 0 && range.maximum > 0)
        (event.code == ABS_X ? x_ : y_) = (event.value * 100 + range.maximum / 2) / range.maximum;
    } else if (event.type == EV_KEY && event.code >= BTN_MOUSE && event.value == 1) {
      std::printf("guest: button %d at %d %d\n", event.code - BTN_MOUSE + 1, x_, y_);
    } else if (event.type == EV_KEY && event.value != 2) {
      std::printf("guest: key %d %s\n", event.code, event.value ? "down" : "up");
    }
  }
  int files_[16] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
  int x_ = 0, y_ = 0;  // In hundredths.
};

[[noreturn]] void redraw(Display& display) {
  for (uint32_t seed = 0, frames = 0, begin = static_cast<uint32_t>(std::time(nullptr));; ++seed) {
    // Every pixel is another one than before; what is written is not the point.
    std::fill_n(display.pixels, display.size / 4, seed * 0x010305);
    flush(display);
    ++frames;
    const auto now = static_cast<uint32_t>(std::time(nullptr));
    if (now == begin) continue;
    std::printf("guest: %u frames in %u s\n", frames, now - begin);
    frames = 0;
    begin = now;
  }
}

}  // namespace

int main(int argument_count, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  card = open("/dev/dri/card0", O_RDWR | O_CLOEXEC);
  if (card < 0) {
    std::printf("guest: no card\n");
    return 1;
  }
  std::vector<Display> displays = find_displays();
  const bool redraws = argument_count > 1 && std::string(arguments[1]) == "redraw";
  Inputs inputs;
  while (true) {
    inputs.look();
    for (size_t i = 0; i < displays.size(); ++i) {
      Display& display = displays[i];
      drm_mode_modeinfo mode{};
      drm_mode_get_connector connector{};
      if (!find_mode(display, mode, connector)) continue;
      if (mode.hdisplay == display.width && mode.vdisplay == display.height) continue;
      set_mode(display, mode);
      draw(display, static_cast<uint32_t>(i));
      std::printf("guest: display %zu shows %ux%u on %ux%u mm\n", i, display.width, display.height,
                  connector.mm_width, connector.mm_height);
      if (redraws) redraw(display);
      if (i == 0) show_cursor(display);
    }
    usleep(50000);
  }
}
