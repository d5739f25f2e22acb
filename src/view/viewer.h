// What every connection of a remote view has, however its bytes go.
#pragma once

#include <alcove/virtual_machine.h>

#include <memory>
#include <string>

#include "view/rfb/session.h"

namespace alcove::view {

// Which display of which machine, and what it is called.
struct Subject {
  VirtualMachine& machine;
  GraphicsDisplay& display;
  std::string name;
};

class Viewer final : public rfb::Screen {
 public:
  static Result<std::unique_ptr<Viewer>> create(const Subject& subject);

  rfb::Session& session() { return session_; }
  // Readable when there is something new, see DisplayReader.
  int event() const { return reader_->descriptor(); }

 private:
  Viewer(const Subject& subject, std::unique_ptr<DisplayReader> reader);
  DisplayReader& reader() override { return *reader_; }
  DisplaySize size() const override { return subject_.display.size_in_pixels(); }
  std::string name() const override { return subject_.name; }
  void send_key(const KeyEvent& event) override;
  void send_pointer(const PointerEvent& event) override;
  bool resize(DisplaySize size) override;

  const Subject& subject_;
  std::unique_ptr<DisplayReader> reader_;
  InputSource input_;
  rfb::Session session_;
};

}  // namespace alcove::view
