// Everything: virtual machines on Linux hosts.
#pragma once

#include <alcove/boot_loader.h>
#include <alcove/clipboard.h>
#include <alcove/console.h>
#include <alcove/devices.h>
#include <alcove/directory_sharing.h>
#include <alcove/disk_image.h>
#include <alcove/efi.h>
#include <alcove/entropy.h>
#include <alcove/error.h>
#include <alcove/executor.h>
#include <alcove/graphics.h>
#include <alcove/input.h>
#include <alcove/literals.h>
#include <alcove/mac_address.h>
#include <alcove/memory_balloon.h>
#include <alcove/network.h>
#include <alcove/platform.h>
#include <alcove/remote_view.h>
#include <alcove/serial_port.h>
#include <alcove/socket.h>
#include <alcove/storage.h>
#include <alcove/usb.h>
#include <alcove/virtual_machine.h>
#include <alcove/virtual_machine_configuration.h>
#include <alcove/window_view.h>
