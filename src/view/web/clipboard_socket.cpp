#include "view/web/clipboard_socket.h"

#include <utility>

#include "view/web/clipboard_message.h"

namespace alcove::view::web {

namespace beast = boost::beast;

ClipboardSocket::ClipboardSocket(Socket socket, const Subject& subject)
    : socket_(std::move(socket)), subject_(subject) {
  constexpr size_t kHead = 4;
  socket_.read_message_max(Clipboard::maximum_size() + kHead);
}

void ClipboardSocket::close() {
  beast::get_lowest_layer(socket_).close();
}

void ClipboardSocket::clipboard_changed(const ClipboardContents& contents) {
  waiting_ = format_clipboard(contents);
  flush();
}

void ClipboardSocket::read() {
  socket_.async_read(received_, [self = shared_from_this()](const error_code& error, size_t) {
    if (error) return self->close();
    const asio::const_buffer bytes = self->received_.cdata();
    auto contents = parse_clipboard({static_cast<const uint8_t*>(bytes.data()), bytes.size()});
    self->received_.clear();
    self->received_.shrink_to_fit();
    if (!contents) return self->close();
    // What is too much is lost.
    if (Clipboard* const shared = self->subject_.machine.clipboard())
      (void)shared->set_contents(*std::move(contents));
    self->read();
  });
}

void ClipboardSocket::flush() {
  if (!sending_.empty() || waiting_.empty()) return;
  sending_ = std::exchange(waiting_, {});
  socket_.async_write(asio::buffer(sending_), [self = shared_from_this()](const error_code& error, size_t) {
    self->sending_ = {};
    error ? self->close() : self->flush();
  });
}

}  // namespace alcove::view::web
