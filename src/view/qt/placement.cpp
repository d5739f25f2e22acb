#include "view/qt/placement.h"

#include <algorithm>
#include <cmath>

namespace alcove::view::qt {

QSize physical_size(QSize widget, double ratio) {
  // What is cut off at the edge is not asked for; 1 is not to become 0.999.
  constexpr double kRounding = 1e-6;
  return {static_cast<int>(std::floor(widget.width() * ratio + kRounding)),
          static_cast<int>(std::floor(widget.height() * ratio + kRounding))};
}

Placement place(QSize picture, QSize widget, double ratio, QPoint corner) {
  Placement placement{.ratio = ratio, .origin = {}, .picture = picture};
  const QPointF in_window(corner.x() * ratio, corner.y() * ratio);
  placement.origin = QPointF(std::round(in_window.x()), std::round(in_window.y())) - in_window;
  const QSize room = physical_size(widget, ratio);
  if (picture.isEmpty() || room.isEmpty()) return placement;
  const double scale = std::min(static_cast<double>(room.width()) / picture.width(),
                                static_cast<double>(room.height()) / picture.height());
  QSize size(std::max(1, static_cast<int>(std::lround(picture.width() * scale))),
             std::max(1, static_cast<int>(std::lround(picture.height() * scale))));
  // A guest that follows may have to round its size (to even numbers, say): better a thin border than a blur.
  constexpr int kThin = 8;
  const QSize spare = room - picture;
  if (spare.width() >= 0 && spare.height() >= 0 && spare.width() < kThin && spare.height() < kThin)
    size = picture;
  placement.target =
      QRect(QPoint((room.width() - size.width()) / 2, (room.height() - size.height()) / 2), size);
  return placement;
}

QPointF Placement::to_picture(QPointF point) const {
  if (is_empty()) return {};
  // The middle of the pixel.
  const QPointF physical = point * ratio - origin + QPointF(0.5, 0.5) - target.topLeft();
  return {physical.x() / target.width(), physical.y() / target.height()};
}

QRect Placement::to_widget(const QRect& part) const {
  if (is_empty()) return {};
  const double across = static_cast<double>(target.width()) / picture.width();
  const double down = static_cast<double>(target.height()) / picture.height();
  const double reach = is_exact() ? 0 : 1;  // Of the filter, in the guest's pixels.
  const QPointF begin(target.left() + (part.left() - reach) * across,
                      target.top() + (part.top() - reach) * down);
  const QPointF end(target.left() + (part.left() + part.width() + reach) * across,
                    target.top() + (part.top() + part.height() + reach) * down);
  return QRectF((begin + origin) / ratio, (end + origin) / ratio).toAlignedRect();
}

}  // namespace alcove::view::qt
