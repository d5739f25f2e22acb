// A Qt widget that shows a display of a virtual machine and passes keyboard, pointer and gestures on. Of the
// library alcove-qt (CMake: alcove::alcove-qt); a program with Qt 6 embeds a machine in one line:
//
//   layout->addWidget(new alcove::VirtualMachineView(machine));
//
// All its members are for Qt's GUI thread.
#pragma once

#include <alcove/virtual_machine.h>

#include <QWidget>
#include <cstddef>
#include <memory>

namespace alcove {

// The picture keeps its proportions and fills the widget; it is shown pixel by pixel where it has the
// widget's size in physical pixels. Only what changed is painted. The guest's own pointer becomes the
// widget's cursor.
//
// While the widget has the keyboard's focus, keys go to the guest by their place on the keyboard, those too
// that are shortcuts of the application. All are released when it loses the focus. Scrolling reaches the
// guest as turns of a wheel; pinches, rotations and swipes of two and more fingers on the host's trackpad
// reach it through a VirtioTrackpadConfiguration, if the machine has one.
//
// The machine does not depend on its views: there may be none or several, and it goes on when they are
// destroyed or closed.
class VirtualMachineView : public QWidget {
  Q_OBJECT
  Q_PROPERTY(bool capturesSystemKeys READ captures_system_keys WRITE set_captures_system_keys)
  Q_PROPERTY(bool automaticallyReconfiguresDisplay READ automatically_reconfigures_display WRITE
                 set_automatically_reconfigures_display)

 public:
  class Implementation;
  explicit VirtualMachineView(QWidget* parent = nullptr);
  explicit VirtualMachineView(VirtualMachine& machine, QWidget* parent = nullptr);
  ~VirtualMachineView() override;

  // Shows another machine, or none. It must outlive the view or be taken from it before. Fails with
  // not_supported if it has no such display (counted through all its graphics devices); the view is dark
  // then.
  Result<> set_virtual_machine(VirtualMachine* machine, size_t display = 0);
  VirtualMachine* virtual_machine() const;

  // Whether keys that the window system keeps for itself (Alt-Tab, Super) go to the guest, too, while the
  // view has the focus and the pointer is over it. Default: false. X11 allows it; Wayland does not.
  bool captures_system_keys() const;
  void set_captures_system_keys(bool captures);

  // Whether the guest is asked to show the view's size in physical pixels, at a density that says how much
  // larger than usual (96 per inch) they are to be shown, whenever it changes. Default: false. Only one view
  // of a display can have it: the last one set takes it from the others.
  bool automatically_reconfigures_display() const;
  void set_automatically_reconfigures_display(bool reconfigures);

  // The display's size in this view's coordinates.
  QSize sizeHint() const override;

 signals:
  // The machine's name, which is the window's title, too, or its state is another.
  void machine_changed();

 protected:
  bool event(QEvent* event) override;
  void paintEvent(QPaintEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void showEvent(QShowEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;
  void keyReleaseEvent(QKeyEvent* event) override;
  void focusInEvent(QFocusEvent* event) override;
  void focusOutEvent(QFocusEvent* event) override;
  void enterEvent(QEnterEvent* event) override;
  void leaveEvent(QEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  void mouseDoubleClickEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void wheelEvent(QWheelEvent* event) override;
  bool focusNextPrevChild(bool next) override;

 private:
  friend class WindowProgram;
  const std::unique_ptr<Implementation> implementation_;
};

}  // namespace alcove
