// What every connection of a remote view has, however its bytes go.
#pragma once

#include <alcove/virtual_machine.h>

#include <memory>
#include <optional>
#include <string>

#include "view/rfb/session.h"

namespace alcove::view {

// Which display of which machine, and what it is called.
struct Subject {
  VirtualMachine& machine;
  GraphicsDisplay& display;
  std::string name;
};

// What a display can have, see VirtioGraphicsScanoutConfiguration.
inline constexpr uint32_t kLeastExtent = 64, kMostExtent = 4095;
// Says how much larger than usual a display is to be shown where a screen has so many pixels for one of an
// application's.
uint32_t pixels_per_inch_for(double pixel_ratio);

// The display of this number, counted through all devices.
Result<GraphicsDisplay*> find_display(const VirtualMachine& machine, size_t index);
// From a place on the display, 0 to 1, to one on the guest's screen, where displays stand beside each other.
PointerEvent on_screen(PointerEvent event, const Subject& subject);

class Viewer final : public rfb::Screen {
 public:
  // `pixel_ratio`: how many of its screen's pixels each of the client's is, where it tells; it gets a display
  // in its screen's pixels, whose density says how much larger than usual they are to be shown.
  static Result<std::unique_ptr<Viewer>> create(const Subject& subject,
                                                std::optional<double> pixel_ratio = {});

  rfb::Session& session() { return session_; }
  // Readable when there is something new, see DisplayReader.
  int event() const { return reader_->descriptor(); }

 private:
  Viewer(const Subject& subject, std::unique_ptr<DisplayReader> reader, std::optional<double> pixel_ratio);
  DisplayReader& reader() override { return *reader_; }
  DisplaySize size() const override { return subject_.display.size_in_pixels(); }
  std::string name() const override { return subject_.name; }
  void send_key(const KeyEvent& event) override;
  void send_pointer(const PointerEvent& event) override;
  bool resize(DisplaySize size) override;
  void set_clipboard(std::string text) override;

  const Subject& subject_;
  const std::optional<double> pixel_ratio_;
  std::unique_ptr<DisplayReader> reader_;
  InputSource input_;
  rfb::Session session_;
};

}  // namespace alcove::view
