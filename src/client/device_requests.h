#pragma once

#include <alcove/error.h>

#include <functional>
#include <utility>
#include <vector>

#include "config/json.h"
#include "support/unique_fd.h"

namespace alcove::client {

// How devices reach their machine's process: the request's reply, or why there is none, on the executor.
class DeviceRequests {
 public:
  using Handler = std::move_only_function<void(Result<config::Json>)>;
  virtual ~DeviceRequests() = default;
  virtual void request_for_device(config::Json request, Handler handler,
                                  std::vector<UniqueFd> descriptors = {}) = 0;
  // Runs the task on the executor, later.
  virtual void post_for_device(std::move_only_function<void()> task) = 0;
  // Fails what the machine's process need not be asked for; on the executor, later.
  template <class T>
  void refuse(std::move_only_function<void(Result<T>)> completion, Error error) {
    post_for_device([completion = std::move(completion), error = std::move(error)]() mutable {
      completion(std::unexpected(std::move(error)));
    });
  }
};

}  // namespace alcove::client
