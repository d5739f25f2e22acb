// The desktop's clipboard, as a view shares it with its guest.
#pragma once

#include <alcove/clipboard.h>

class QMimeData;

namespace alcove::view::qt {

// What is on the desktop's clipboard, in the forms that guests take; nothing for what this program put there
// for a guest.
ClipboardContents contents_of(const QMimeData* data);
ClipboardContents desktop_contents();
void set_desktop_contents(const ClipboardContents& contents);

}  // namespace alcove::view::qt
