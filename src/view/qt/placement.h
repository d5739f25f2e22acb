// Where a picture lies in a widget.
#pragma once

#include <alcove/graphics.h>

#include <QPointF>
#include <QRect>
#include <QRectF>
#include <QSize>
#include <QSizeF>

namespace alcove::view::qt {

// Physical pixels are counted from `origin`, the whole pixel of the window that is nearest the widget's
// corner: with fractional scales the corner may lie between two.
struct Placement {
  double ratio = 1;          // Physical pixels for each of the widget's.
  QPointF origin;            // From the widget's corner, in physical pixels: less than one.
  QSize picture;             // The guest's pixels.
  QRect target{0, 0, 0, 0};  // In physical pixels.

  bool is_empty() const { return target.isEmpty() || picture.isEmpty(); }
  // One of the guest's pixels is one of the screen's.
  bool is_exact() const { return target.size() == picture; }
  double scale() const { return is_empty() ? 1 : static_cast<double>(target.width()) / picture.width(); }
  // A place in the widget as one in the picture, 0 to 1 within it.
  QPointF to_picture(QPointF place) const;
  // What must be painted for a part of the picture: whole pixels of the widget, the neighbours that scaling
  // mixes in among them.
  QRect to_widget(const QRect& part) const;
};

// The widget's size in physical pixels.
QSize physical_size(QSize widget, double ratio);
// The picture as large as fits, in the middle, with its proportions. `corner`: the widget's in its window.
Placement place(QSize picture, QSize widget, double ratio, QPoint corner);

}  // namespace alcove::view::qt
