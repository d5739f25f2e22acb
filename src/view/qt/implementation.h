// What a VirtualMachineView does.
#pragma once

#include <alcove/virtual_machine_view.h>

#include <QCursor>
#include <QElapsedTimer>
#include <QImage>
#include <QPainter>
#include <QSocketNotifier>
#include <QTimer>
#include <map>
#include <memory>
#include <optional>

#include "view/qt/gestures.h"
#include "view/qt/placement.h"
#include "view/shown_machine.h"

class QKeyEvent;
class QMouseEvent;
class QNativeGestureEvent;
class QWheelEvent;

namespace alcove {

class VirtualMachineView::Implementation {
 public:
  explicit Implementation(VirtualMachineView& view);
  ~Implementation();

  // Or nothing. `key`: what views of the same display have in common.
  void show(std::unique_ptr<view::ShownMachine> shown, const void* key);
  const view::ShownMachine* shown() const { return shown_.get(); }
  void machine_changed();
  QSize size_hint() const;

  // Input.
  bool key(const QKeyEvent& event);
  void pointer(const QMouseEvent& event);
  void wheel(const QWheelEvent& event);
  void gesture(const QNativeGestureEvent& event);
  void set_focus(bool has_focus);
  void set_over(bool is_over);

  void paint(QPainter& painter, const QRegion& region);
  void set_visible(bool is_visible);
  // The view's size or its screen's scale may be another.
  void size_changed();

  void set_captures(bool captures);
  void set_reconfigures(bool reconfigures);

  VirtualMachine* machine = nullptr;
  bool captures = false;
  bool reconfigures = false;

 private:
  void look();
  void look_at_cursor();
  void release_lost_modifiers(const QKeyEvent& event);
  void update_capture();
  void take_clipboard();
  void give_clipboard();
  void update_cursor();
  void follow();
  void send_pointer(QPointF place, Qt::MouseButtons buttons, QPointF wheel = {});
  view::qt::Placement placement() const;
  QRect cursor_part() const;

  VirtualMachineView& view_;
  std::unique_ptr<view::ShownMachine> shown_;
  const void* key_ = nullptr;
  std::unique_ptr<QSocketNotifier> notifier_;
  QTimer follow_timer_;
  std::optional<VirtioGraphicsScanoutConfiguration> asked_;
  std::optional<VirtualMachineState> last_state_;
  uint64_t last_starts_ = 0;
  QString title_;

  DisplayFrame frame_;
  DisplayCursor cursor_;
  double cursor_scale_ = 0;  // Of the picture, when the widget's cursor was made.
  view::qt::Gestures gestures_;
  std::map<Key, Qt::KeyboardModifier> modifiers_;  // Those that are down.
  bool has_focus_ = false, is_over_ = false, is_grabbing_ = false;
  double ratio_ = 0;
  uint64_t last_clipboard_ = 0;             // Of ShownMachine's changes: what the desktop has.
  std::optional<ClipboardContents> given_;  // What the guest was given last.
  QElapsedTimer left_;                      // Since the focus was lost.
};

}  // namespace alcove
