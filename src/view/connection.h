// Moves an RFB session's bytes over a stream, with which it lives and dies.
#pragma once

#include <alcove/clipboard.h>
#include <fcntl.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <memory>
#include <string>

#include "view/asio.h"
#include "view/viewer.h"

namespace alcove::view {

// What can be told to end.
class Closable {
 public:
  virtual ~Closable() = default;
  virtual void close() = 0;
  // The guest copied something.
  virtual void clipboard_changed(const ClipboardContents&) {}
};

// `Stream` reads some bytes with async_read_some() and writes all with async_write_all(), and close() ends
// both. All on the thread of its loop.
template <class Stream>
class Connection final : public Closable, public std::enable_shared_from_this<Connection<Stream>> {
 public:
  Connection(asio::io_context& loop, Stream stream, std::unique_ptr<Viewer> viewer)
      : stream_(std::move(stream)),
        viewer_(std::move(viewer)),
        event_(loop, ::fcntl(viewer_->event(), F_DUPFD_CLOEXEC, 0)) {}

  void run() {
    read();
    watch();
    flush();
  }
  void close() override {
    if (std::exchange(closed_, true)) return;
    error_code ignored;
    event_.close(ignored);
    stream_.close();
  }
  void clipboard_changed(const ClipboardContents& contents) override {
    if (!contents.text) return;  // RFB has nothing else.
    viewer_->session().clipboard_changed(*contents.text);
    flush();
  }

 private:
  void read() {
    stream_.async_read_some(asio::buffer(received_),
                            [self = this->shared_from_this()](const error_code& error, size_t size) {
                              if (self->closed_) return;
                              if (error) return self->close();
                              self->received(size);
                            });
  }
  void received(size_t size) {
    if (!viewer_->session().receive(std::span(received_).first(size))) return close();
    flush();
    if (!closed_) read();
  }
  // The descriptor is non-blocking; what it counts is of no interest.
  void watch() {
    event_.async_read_some(asio::buffer(count_),
                           [self = this->shared_from_this()](const error_code& error, size_t) {
                             if (error || self->closed_) return;
                             self->viewer_->session().display_changed();
                             self->flush();
                             self->watch();
                           });
  }
  void flush() {
    if (closed_ || !sending_.empty()) return;
    sending_ = viewer_->session().take_output();
    if (sending_.empty()) return;
    stream_.async_write_all(asio::buffer(sending_),
                            [self = this->shared_from_this()](const error_code& error, size_t) {
                              if (self->closed_) return;
                              if (error) return self->close();
                              self->sending_.clear();
                              self->flush();
                            });
  }

  Stream stream_;
  std::unique_ptr<Viewer> viewer_;
  asio::posix::stream_descriptor event_;
  std::array<uint8_t, 16384> received_{};
  std::array<uint8_t, 8> count_{};
  std::string sending_;
  bool closed_ = false;
};

}  // namespace alcove::view
