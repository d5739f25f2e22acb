#include "view/qt/host_clipboard.h"

#include <QBuffer>
#include <QClipboard>
#include <QGuiApplication>
#include <QImage>
#include <QMimeData>

namespace alcove::view::qt {

namespace {

// Marks what a guest copied, so that it is not offered to guests again.
constexpr auto kOfAGuest = "application/x-alcove-guest";
constexpr auto kPng = "image/png";

std::vector<std::byte> bytes_of(const QByteArray& array) {
  const auto* const first = reinterpret_cast<const std::byte*>(array.constData());
  return {first, first + array.size()};
}

QByteArray png_of(const QMimeData& data) {
  if (data.hasFormat(kPng)) return data.data(kPng);
  QByteArray png;
  QBuffer buffer(&png);
  buffer.open(QIODevice::WriteOnly);
  const auto image = qvariant_cast<QImage>(data.imageData());
  if (image.isNull() || !image.save(&buffer, "PNG")) return {};
  return png;
}

}  // namespace

ClipboardContents contents_of(const QMimeData* data) {
  ClipboardContents contents;
  if (!data || data->hasFormat(kOfAGuest)) return contents;
  if (data->hasText()) contents.text = data->text().toStdString();
  if (data->hasImage()) {
    if (const QByteArray png = png_of(*data); !png.isEmpty()) contents.png = bytes_of(png);
  }
  return contents;
}

ClipboardContents desktop_contents() {
  return contents_of(QGuiApplication::clipboard()->mimeData());
}

void set_desktop_contents(const ClipboardContents& contents) {
  auto* const data = new QMimeData;  // The clipboard's, from then on.
  data->setData(kOfAGuest, {});
  if (contents.text) data->setText(QString::fromStdString(*contents.text));
  if (contents.png) {
    const QByteArray png(reinterpret_cast<const char*>(contents.png->data()),
                         static_cast<qsizetype>(contents.png->size()));
    data->setData(kPng, png);
    // For programs that take pictures of other kinds.
    if (const QImage image = QImage::fromData(png, "PNG"); !image.isNull()) data->setImageData(image);
  }
  QGuiApplication::clipboard()->setMimeData(data);
}

}  // namespace alcove::view::qt
