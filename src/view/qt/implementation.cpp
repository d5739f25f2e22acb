#include "view/qt/implementation.h"

#include <QClipboard>
#include <QGuiApplication>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QPainter>
#include <QWheelEvent>
#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "view/qt/host_clipboard.h"
#include "view/qt/keys.h"

namespace alcove {

using view::qt::Placement;

namespace {

constexpr QColor kDark(0x20, 0x20, 0x20);

// All views, so that one can take a display from another.
std::set<VirtualMachineView::Implementation*>& all() {
  static std::set<VirtualMachineView::Implementation*> views;
  return views;
}

QRect rectangle(const DisplayRectangle& part) {
  return {static_cast<int>(part.x), static_cast<int>(part.y), static_cast<int>(part.width),
          static_cast<int>(part.height)};
}

QImage image_of(const DisplayCursor& cursor) {
  return {reinterpret_cast<const uchar*>(cursor.pixels.data()), static_cast<int>(cursor.size.width),
          static_cast<int>(cursor.size.height), QImage::Format_ARGB32_Premultiplied};
}

// What a key means to the window system, which need not be what is printed on it.
Qt::KeyboardModifier modifier_of(int key) {
  switch (key) {
    case Qt::Key_Shift:
      return Qt::ShiftModifier;
    case Qt::Key_Control:
      return Qt::ControlModifier;
    case Qt::Key_Alt:
      return Qt::AltModifier;
    case Qt::Key_Meta:
      return Qt::MetaModifier;
    default:
      return Qt::NoModifier;
  }
}

}  // namespace

VirtualMachineView::Implementation::Implementation(VirtualMachineView& view) : view_(view) {
  all().insert(this);
  // While a window's edge is dragged, not every size is asked for.
  constexpr int kQuiet = 120;
  follow_timer_.setSingleShot(true);
  follow_timer_.setInterval(kQuiet);
  QObject::connect(QGuiApplication::clipboard(), &QClipboard::dataChanged, &view_,
                   [this] { give_clipboard(); });
  QObject::connect(&follow_timer_, &QTimer::timeout, &view_, [this] { follow(); });
}

VirtualMachineView::Implementation::~Implementation() {
  all().erase(this);
}

void VirtualMachineView::Implementation::show(std::unique_ptr<view::ShownMachine> shown, const void* key) {
  notifier_.reset();
  shown_ = std::move(shown);
  key_ = key;
  frame_ = {};
  cursor_ = {};
  asked_.reset();
  given_.reset();
  last_clipboard_ = shown_ ? shown_->clipboard_changes() : 0;
  last_state_.reset();
  modifiers_.clear();
  if (shown_) {
    notifier_ = std::make_unique<QSocketNotifier>(shown_->reader().descriptor(), QSocketNotifier::Read);
    QObject::connect(notifier_.get(), &QSocketNotifier::activated, &view_, [this] { look(); });
    notifier_->setEnabled(view_.isVisible());
    if (view_.isVisible()) look();
  }
  if (reconfigures) set_reconfigures(true);
  update_capture();
  update_cursor();
  machine_changed();
  view_.update();
}

void VirtualMachineView::Implementation::machine_changed() {
  const QString name = shown_ ? QString::fromStdString(shown_->name()) : QString();
  const std::optional<VirtualMachineState> state = shown_ ? std::optional(shown_->state()) : std::nullopt;
  // An application's own title stays.
  if (name != title_ && view_.windowTitle() == title_) view_.setWindowTitle(name);
  title_ = name;
  const uint64_t starts = shown_ ? shown_->starts() : 0;
  const bool is_other_run = std::exchange(last_starts_, starts) != starts;
  if (is_other_run) asked_.reset();
  if ((std::exchange(last_state_, state) != state || is_other_run) && state == VirtualMachineState::running)
    size_changed();
  take_clipboard();
  emit view_.machine_changed();
}

QSize VirtualMachineView::Implementation::size_hint() const {
  constexpr QSize kDefault(640, 480);
  const DisplaySize size = shown_ ? shown_->size() : DisplaySize{};
  if (size == DisplaySize{}) return kDefault;
  const double ratio = view_.devicePixelRatioF();
  return {static_cast<int>(std::ceil(size.width / ratio)), static_cast<int>(std::ceil(size.height / ratio))};
}

// What has arrived.

void VirtualMachineView::Implementation::look() {
  constexpr uint32_t kOpaque = 0xff000000;
  const DisplaySize before = frame_.size;
  const auto changed = shown_->reader().read(frame_);
  // Qt wants the byte that the guest has no use for to be set.
  for (const DisplayRectangle& part : changed) {
    for (uint32_t y = part.y; y < part.y + part.height; ++y) {
      uint32_t* const row = frame_.pixels.data() + size_t{y} * frame_.size.width + part.x;
      for (uint32_t x = 0; x < part.width; ++x) row[x] |= kOpaque;
    }
  }
  if (frame_.size != before) {
    view_.updateGeometry();
    view_.update();
    update_cursor();
  } else {
    const Placement placed = placement();
    for (const DisplayRectangle& part : changed) view_.update(placed.to_widget(rectangle(part)));
  }
  look_at_cursor();
}

void VirtualMachineView::Implementation::look_at_cursor() {
  DisplayCursor cursor = shown_->reader().cursor(cursor_.shape);
  const bool has_new_shape = cursor.shape != cursor_.shape;
  if (!has_new_shape) cursor.pixels = std::move(cursor_.pixels);
  const bool has_moved = has_new_shape || cursor.x != cursor_.x || cursor.y != cursor_.y ||
                         cursor.is_visible != cursor_.is_visible;
  const bool looks_other = has_new_shape || cursor.is_visible != cursor_.is_visible;
  const QRect before = cursor_part();
  cursor_ = std::move(cursor);
  if (has_moved && !is_over_) {
    const Placement placed = placement();
    view_.update(placed.to_widget(before));
    view_.update(placed.to_widget(cursor_part()));
  }
  if (looks_other) update_cursor();
}

QRect VirtualMachineView::Implementation::cursor_part() const {
  if (!cursor_.is_visible) return {};
  return {cursor_.x, cursor_.y, static_cast<int>(cursor_.size.width), static_cast<int>(cursor_.size.height)};
}

// The guest's shape, as large as the picture, is the window system's pointer: so it follows the hand even
// where the guest does not.
void VirtualMachineView::Implementation::update_cursor() {
  const Placement placed = placement();
  cursor_scale_ = placed.scale();
  if (!shown_ || cursor_.shape == 0 || cursor_.pixels.empty()) return view_.unsetCursor();
  if (!cursor_.is_visible) return view_.setCursor(Qt::BlankCursor);
  const QSize size(std::max(1, static_cast<int>(std::lround(cursor_.size.width * cursor_scale_))),
                   std::max(1, static_cast<int>(std::lround(cursor_.size.height * cursor_scale_))));
  QImage image = image_of(cursor_);
  image = size == image.size() ? image.copy()
                               : image.scaled(size, Qt::IgnoreAspectRatio, Qt::SmoothTransformation);
  image.setDevicePixelRatio(placed.ratio);
  const auto hot = [&](uint32_t at) { return static_cast<int>(at * cursor_scale_ / placed.ratio); };
  view_.setCursor(QCursor(QPixmap::fromImage(image), hot(cursor_.hot_x), hot(cursor_.hot_y)));
}

// What is shown.

Placement VirtualMachineView::Implementation::placement() const {
  return view::qt::place({static_cast<int>(frame_.size.width), static_cast<int>(frame_.size.height)},
                         view_.size(), view_.devicePixelRatioF(), view_.mapTo(view_.window(), QPoint(0, 0)));
}

void VirtualMachineView::Implementation::paint(QPainter& painter, const QRegion& region) {
  if (ratio_ != view_.devicePixelRatioF()) size_changed();
  const Placement placed = placement();
  if (placed.is_empty()) return painter.fillRect(region.boundingRect(), kDark);
  painter.scale(1 / placed.ratio, 1 / placed.ratio);
  painter.translate(placed.origin);
  // All but the picture: nothing is painted twice.
  const QRect all(QPoint(-1, -1), view::qt::physical_size(view_.size(), placed.ratio) + QSize(3, 3));
  for (const QRect& border : QRegion(all) - placed.target) painter.fillRect(border, kDark);

  // Not copied: the painter is done before the frame changes.
  const QImage picture(reinterpret_cast<const uchar*>(frame_.pixels.data()), placed.picture.width(),
                       placed.picture.height(), placed.picture.width() * 4, QImage::Format_RGB32);
  const bool is_whole = placed.target.width() % placed.picture.width() == 0 &&
                        placed.target.height() % placed.picture.height() == 0;
  painter.setRenderHint(QPainter::SmoothPixmapTransform, !is_whole);
  if (placed.is_exact()) {
    painter.drawImage(placed.target.topLeft(), picture);
  } else {
    painter.drawImage(placed.target, picture);
  }
  if (is_over_ || !cursor_.is_visible || cursor_.pixels.empty()) return;
  painter.setClipRect(placed.target);
  const QPointF at = QPointF(placed.target.topLeft()) + QPointF(cursor_.x, cursor_.y) * placed.scale();
  painter.drawImage(QRectF(at, QSizeF(cursor_.size.width, cursor_.size.height) * placed.scale()),
                    image_of(cursor_));
}

void VirtualMachineView::Implementation::set_visible(bool is_visible) {
  if (!shown_) return;
  notifier_->setEnabled(is_visible);
  if (!is_visible) return;
  look();
  size_changed();
}

void VirtualMachineView::Implementation::size_changed() {
  ratio_ = view_.devicePixelRatioF();
  if (placement().scale() != cursor_scale_) update_cursor();
  if (reconfigures) follow_timer_.start();
}

void VirtualMachineView::Implementation::set_reconfigures(bool wanted) {
  reconfigures = wanted;
  if (!wanted) return;
  for (Implementation* other : all()) {
    if (other != this && key_ && other->key_ == key_) other->reconfigures = false;
  }
  size_changed();
}

void VirtualMachineView::Implementation::follow() {
  if (!reconfigures || !shown_ || !view_.isVisible() || shown_->state() != VirtualMachineState::running)
    return;
  const QSize size = view::qt::physical_size(view_.size(), ratio_);
  const auto extent = [](int pixels) {
    return std::clamp(static_cast<uint32_t>(pixels), view::kLeastExtent, view::kMostExtent);
  };
  const VirtioGraphicsScanoutConfiguration wanted{.width = extent(size.width()),
                                                  .height = extent(size.height()),
                                                  .pixels_per_inch = view::pixels_per_inch_for(ratio_)};
  if (asked_ == wanted) return;
  asked_ = wanted;
  shown_->reconfigure(wanted);
}

// The clipboards. A guest whose view is not the one that is worked in neither sees what is copied elsewhere
// nor puts anything in its place; but it may take a moment to copy what the user wanted before going
// elsewhere.

void VirtualMachineView::Implementation::take_clipboard() {
  constexpr int kMoment = 3000;
  if (!shown_) return;
  const uint64_t changes = shown_->clipboard_changes();
  if (std::exchange(last_clipboard_, changes) == changes) return;
  given_.reset();  // The guest has something else.
  if (!has_focus_ && (!left_.isValid() || left_.elapsed() > kMoment)) return;
  const ClipboardContents contents = shown_->clipboard();
  if (!contents.is_empty()) view::qt::set_desktop_contents(contents);
}

void VirtualMachineView::Implementation::give_clipboard() {
  if (!shown_ || !has_focus_) return;
  ClipboardContents contents = view::qt::desktop_contents();
  if (contents.is_empty() || given_ == contents) return;
  given_ = contents;
  shown_->set_clipboard(std::move(contents));
}

// Input.

bool VirtualMachineView::Implementation::key(const QKeyEvent& event) {
  const auto key = view::qt::key_of(event);
  if (!shown_ || !key) return false;
  if (event.isAutoRepeat()) return true;
  const bool is_pressed = event.type() == QEvent::KeyPress;
  const Qt::KeyboardModifier modifier = modifier_of(event.key());
  if (!is_pressed) {
    modifiers_.erase(*key);
  } else if (modifier != Qt::NoModifier) {
    modifiers_[*key] = modifier;
  } else {
    release_lost_modifiers(event);
  }
  shown_->send(KeyEvent{.key = *key, .pressed = is_pressed});
  return true;
}

// A window manager that takes Alt-Tab takes the release of Alt, too.
void VirtualMachineView::Implementation::release_lost_modifiers(const QKeyEvent& event) {
  std::erase_if(modifiers_, [&](const auto& held) {
    if (event.modifiers().testFlag(held.second)) return false;
    shown_->send(KeyEvent{.key = held.first, .pressed = false});
    return true;
  });
}

void VirtualMachineView::Implementation::send_pointer(QPointF place, Qt::MouseButtons buttons,
                                                      QPointF wheel) {
  if (!shown_) return;
  const QPointF at = placement().to_picture(place);
  const auto inside = [](double part) { return std::clamp(part, 0.0, 1.0); };
  shown_->send(PointerEvent{.x = inside(at.x()),
                            .y = inside(at.y()),
                            .buttons = {.left = buttons.testFlag(Qt::LeftButton),
                                        .right = buttons.testFlag(Qt::RightButton),
                                        .middle = buttons.testFlag(Qt::MiddleButton),
                                        .back = buttons.testFlag(Qt::BackButton),
                                        .forward = buttons.testFlag(Qt::ForwardButton)},
                            .wheel_x = wheel.x(),
                            .wheel_y = wheel.y()});
}

void VirtualMachineView::Implementation::pointer(const QMouseEvent& event) {
  send_pointer(event.position(), event.buttons());
}

void VirtualMachineView::Implementation::wheel(const QWheelEvent& event) {
  constexpr double kNotch = 120;  // Eighths of a degree, see QWheelEvent.
  // Qt counts towards the left.
  const QPointF turned(-event.angleDelta().x() / kNotch, event.angleDelta().y() / kNotch);
  if (!turned.isNull()) send_pointer(event.position(), event.buttons(), turned);
}

void VirtualMachineView::Implementation::gesture(const QNativeGestureEvent& event) {
  if (!shown_) return;
  for (const GestureEvent& step : gestures_.translate(event)) shown_->send(step);
}

void VirtualMachineView::Implementation::set_focus(bool has_focus) {
  has_focus_ = has_focus;
  if (!has_focus && shown_) {
    shown_->release_all();
    modifiers_.clear();
  }
  if (has_focus) give_clipboard();
  if (!has_focus) left_.start();
  update_capture();
}

void VirtualMachineView::Implementation::set_over(bool is_over) {
  is_over_ = is_over;
  view_.update(placement().to_widget(cursor_part()));
  update_capture();
}

void VirtualMachineView::Implementation::set_captures(bool wanted) {
  captures = wanted;
  update_capture();
}

void VirtualMachineView::Implementation::update_capture() {
  const bool wanted = captures && shown_ && has_focus_ && is_over_;
  if (std::exchange(is_grabbing_, wanted) == wanted) return;
  wanted ? view_.grabKeyboard() : view_.releaseKeyboard();
}

}  // namespace alcove
