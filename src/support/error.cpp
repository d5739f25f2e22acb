#include <alcove/error.h>
#include <alcove/usb.h>

namespace alcove {

std::string_view to_string(ErrorCode code) {
  if (code == kUSBControllerNotFound) return "usb_controller_not_found";
  if (code == kUSBDeviceAlreadyAttached) return "usb_device_already_attached";
  if (code == kUSBDeviceInitializationFailure) return "usb_device_initialization_failure";
  if (code == kUSBDeviceNotFound) return "usb_device_not_found";
  switch (code) {
    case ErrorCode::internal:
      return "internal";
    case ErrorCode::invalid_virtual_machine_configuration:
      return "invalid_virtual_machine_configuration";
    case ErrorCode::invalid_virtual_machine_state:
      return "invalid_virtual_machine_state";
    case ErrorCode::invalid_virtual_machine_state_transition:
      return "invalid_virtual_machine_state_transition";
    case ErrorCode::invalid_disk_image:
      return "invalid_disk_image";
    case ErrorCode::virtual_machine_limit_exceeded:
      return "virtual_machine_limit_exceeded";
    case ErrorCode::network_error:
      return "network_error";
    case ErrorCode::out_of_disk_space:
      return "out_of_disk_space";
    case ErrorCode::operation_cancelled:
      return "operation_cancelled";
    case ErrorCode::not_supported:
      return "not_supported";
    case ErrorCode::save:
      return "save";
    case ErrorCode::restore:
      return "restore";
  }
  return "unknown";
}

std::string Error::message() const {
  std::string text = where.empty() ? what : where + ": " + what;
  if (!hint.empty()) text += " (" + hint + ")";
  return text;
}

}  // namespace alcove
