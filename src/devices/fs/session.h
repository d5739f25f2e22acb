// What requests mean: a guest's conversation with a file server.
#pragma once

#include <atomic>

#include "devices/fs/dax_window.h"
#include "devices/fs/request.h"
#include "share/server.h"

namespace alcove::devices::fs {

// Any thread.
class Session {
 public:
  // `window`: null if there is none.
  explicit Session(share::Server& server, DaxWindow* window = nullptr) : server_(server), window_(window) {}

  // EAGAIN for a read that would have the host wait, unless it `may_wait`, and for a lock that somebody has.
  Reply process(Request& request, bool may_wait = true);
  Dialect dialect() const { return {.extended_set_attribute = extended_set_attribute_}; }
  // The guest begins anew.
  void reset();

 private:
  Reply dispatch(Request& request, bool may_wait);
  Reply initialize(const Request& request);
  Reply process_attributes(const Request& request);
  Reply process_names(const Request& request);
  Reply process_files(Request& request, bool may_wait);
  Reply process_mappings(const Request& request);
  Reply open(const Request& request);
  Reply process_directories(const Request& request);
  Reply process_extended_attributes(const Request& request);
  void forget(const Request& request);
  Reply read(Request& request, bool may_wait);
  Reply write(const Request& request);

  share::Server& server_;
  DaxWindow* const window_;
  std::atomic<bool> is_initialized_ = false;
  std::atomic<bool> extended_set_attribute_ = false;
};

}  // namespace alcove::devices::fs
