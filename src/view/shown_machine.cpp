#include "view/shown_machine.h"

#include <atomic>
#include <utility>

namespace alcove::view {
namespace {

class OwnMachine final : public ShownMachine {
 public:
  OwnMachine(VirtualMachine& machine, GraphicsDisplay& display, std::unique_ptr<DisplayReader> reader,
             const std::function<void()>& changed)
      : subject_{machine, display, machine.configuration().label.value_or("Alcove")},
        reader_(std::move(reader)),
        input_(machine.open_input_source()),
        observation_(machine.observe({.state_changed =
                                          [this, changed](VirtualMachineState state) {
                                            if (state == VirtualMachineState::starting) ++starts_;
                                            changed();
                                          },
                                      .clipboard_changed =
                                          [this, changed](Clipboard&) {
                                            ++clipboard_changes_;
                                            changed();
                                          }})) {}

  DisplayReader& reader() override { return *reader_; }
  std::string name() const override { return subject_.name; }
  VirtualMachineState state() const override { return subject_.machine.state(); }
  uint64_t starts() const override { return starts_; }
  DisplaySize size() const override { return subject_.display.size_in_pixels(); }
  ClipboardContents clipboard() const override {
    const Clipboard* const shared = subject_.machine.clipboard();
    return shared ? shared->contents() : ClipboardContents();
  }
  uint64_t clipboard_changes() const override { return clipboard_changes_; }
  void set_clipboard(ClipboardContents contents) override {
    if (Clipboard* const shared = subject_.machine.clipboard())
      (void)shared->set_contents(std::move(contents));
  }
  void send(const InputEvent& event) override {
    const auto* pointer = std::get_if<PointerEvent>(&event);
    (void)input_.send(pointer ? InputEvent(on_screen(*pointer, subject_)) : event);
  }
  void release_all() override { input_.release_all(); }
  void reconfigure(const VirtioGraphicsScanoutConfiguration& configuration) override {
    subject_.display.reconfigure(configuration, [](const Result<>&) {});
  }

 private:
  const Subject subject_;
  const std::unique_ptr<DisplayReader> reader_;
  InputSource input_;
  std::atomic<uint64_t> starts_ = 0, clipboard_changes_ = 0;
  Observation observation_;
};

}  // namespace

Result<std::unique_ptr<ShownMachine>> show_machine(VirtualMachine& machine, size_t display,
                                                   std::function<void()> changed) {
  const auto found = find_display(machine, display);
  if (!found) return std::unexpected(found.error());
  auto reader = (*found)->open_reader();
  if (!reader) return std::unexpected(std::move(reader.error()));
  return std::make_unique<OwnMachine>(machine, **found, *std::move(reader), changed);
}

}  // namespace alcove::view
