#include <alcove/virtual_machine_view.h>

#include <QKeyEvent>
#include <QMouseEvent>
#include <QNativeGestureEvent>
#include <QPainter>
#include <QWheelEvent>
#include <utility>

#include "view/qt/implementation.h"

namespace alcove {

VirtualMachineView::VirtualMachineView(QWidget* parent)
    : QWidget(parent), implementation_(std::make_unique<Implementation>(*this)) {
  setFocusPolicy(Qt::StrongFocus);
  setMouseTracking(true);
  setAttribute(Qt::WA_OpaquePaintEvent);
  setAttribute(Qt::WA_InputMethodEnabled, false);
}

VirtualMachineView::VirtualMachineView(VirtualMachine& machine, QWidget* parent)
    : VirtualMachineView(parent) {
  (void)set_virtual_machine(&machine);
}

VirtualMachineView::~VirtualMachineView() = default;

Result<> VirtualMachineView::set_virtual_machine(VirtualMachine* machine, size_t display) {
  implementation_->show(nullptr, nullptr);
  implementation_->machine = machine;
  if (!machine) return {};
  auto shown = view::show_machine(*machine, display, [this] {
    // Not called any more when this is destroyed; what was posted until then is dropped.
    QMetaObject::invokeMethod(this, [this] { implementation_->machine_changed(); }, Qt::QueuedConnection);
  });
  if (!shown) return std::unexpected(std::move(shown.error()));
  implementation_->show(*std::move(shown), *view::find_display(*machine, display));
  return {};
}

VirtualMachine* VirtualMachineView::virtual_machine() const {
  return implementation_->machine;
}

bool VirtualMachineView::captures_system_keys() const {
  return implementation_->captures;
}
void VirtualMachineView::set_captures_system_keys(bool captures) {
  implementation_->set_captures(captures);
}
bool VirtualMachineView::automatically_reconfigures_display() const {
  return implementation_->reconfigures;
}
void VirtualMachineView::set_automatically_reconfigures_display(bool reconfigures) {
  implementation_->set_reconfigures(reconfigures);
}

QSize VirtualMachineView::sizeHint() const {
  return implementation_->size_hint();
}

bool VirtualMachineView::event(QEvent* event) {
  switch (event->type()) {
    case QEvent::ShortcutOverride:  // A shortcut of the application is the guest's here.
      event->accept();
      return true;
    case QEvent::NativeGesture:
      implementation_->gesture(*static_cast<QNativeGestureEvent*>(event));
      event->accept();
      return true;
    case QEvent::Hide:
      implementation_->set_visible(false);
      break;
    case QEvent::ScreenChangeInternal:
      implementation_->size_changed();
      break;
    default:
      break;
  }
  return QWidget::event(event);
}

void VirtualMachineView::paintEvent(QPaintEvent* event) {
  QPainter painter(this);
  implementation_->paint(painter, event->region());
}

void VirtualMachineView::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  implementation_->size_changed();
}

void VirtualMachineView::showEvent(QShowEvent* event) {
  QWidget::showEvent(event);
  implementation_->set_visible(true);
}

void VirtualMachineView::keyPressEvent(QKeyEvent* event) {
  if (!implementation_->key(*event)) event->ignore();
}
void VirtualMachineView::keyReleaseEvent(QKeyEvent* event) {
  if (!implementation_->key(*event)) event->ignore();
}

void VirtualMachineView::focusInEvent(QFocusEvent* event) {
  QWidget::focusInEvent(event);
  implementation_->set_focus(true);
}
void VirtualMachineView::focusOutEvent(QFocusEvent* event) {
  QWidget::focusOutEvent(event);
  implementation_->set_focus(false);
}
void VirtualMachineView::enterEvent(QEnterEvent* event) {
  QWidget::enterEvent(event);
  implementation_->set_over(true);
}
void VirtualMachineView::leaveEvent(QEvent* event) {
  QWidget::leaveEvent(event);
  implementation_->set_over(false);
}

void VirtualMachineView::mousePressEvent(QMouseEvent* event) {
  implementation_->pointer(*event);
}
void VirtualMachineView::mouseReleaseEvent(QMouseEvent* event) {
  implementation_->pointer(*event);
}
// The second press of two that come quickly.
void VirtualMachineView::mouseDoubleClickEvent(QMouseEvent* event) {
  implementation_->pointer(*event);
}
void VirtualMachineView::mouseMoveEvent(QMouseEvent* event) {
  implementation_->pointer(*event);
}
void VirtualMachineView::wheelEvent(QWheelEvent* event) {
  implementation_->wheel(*event);
  event->accept();
}

// Tab is the guest's.
bool VirtualMachineView::focusNextPrevChild(bool) {
  return false;
}

}  // namespace alcove
