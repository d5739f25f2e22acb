// Errors are values: every call of this library that can fail returns `Result<T>`.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace alcove {

// What kind of failure it is, for a program to act on.
enum class ErrorCode {
  internal = 1,                              // A fault inside Alcove or its virtual machine process.
  invalid_virtual_machine_configuration,     // validate() says which field.
  invalid_virtual_machine_state,             // The call is not allowed in the machine's present state.
  invalid_virtual_machine_state_transition,  // The state changed while the call was under way.
  invalid_disk_image,
  virtual_machine_limit_exceeded,
  network_error,
  out_of_disk_space,
  operation_cancelled,
  not_supported,
  save,
  restore,
};

// The code's name as it stands above ("invalid_disk_image").
std::string_view to_string(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string
      where;  // The field or object concerned, e.g. "storage_devices[1].attachment.path"; may be empty.
  std::string what;  // The cause, one sentence without a final period.
  std::string hint;  // What to do about it; may be empty.

  // "where: what (hint)", leaving out what is empty.
  std::string message() const;

  bool operator==(const Error&) const = default;
};

template <class T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(ErrorCode code, std::string where, std::string what,
                                   std::string hint = {}) {
  return std::unexpected(Error{code, std::move(where), std::move(what), std::move(hint)});
}

}  // namespace alcove
