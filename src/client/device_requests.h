#pragma once

#include <alcove/error.h>

#include <functional>

#include "config/json.h"

namespace alcove::client {

// How devices reach their machine's process: the request's reply, or why there is none, on the executor.
class DeviceRequests {
 public:
  using Handler = std::move_only_function<void(Result<config::Json>)>;
  virtual ~DeviceRequests() = default;
  virtual void request_for_device(config::Json request, Handler handler) = 0;
};

}  // namespace alcove::client
