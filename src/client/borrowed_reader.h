// A display's frames, lent to another process over a socket.
#pragma once

#include <alcove/error.h>

namespace alcove::client {

// What DisplayReader::lend() does: the descriptors of the frames and of the event that tells of new ones.
Result<> lend_display(int socket, int frames, int event);

}  // namespace alcove::client
