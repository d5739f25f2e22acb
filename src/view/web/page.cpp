#include "view/web/page.h"

namespace alcove::view::web {

namespace {

constexpr std::string_view kHead = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>)";

constexpr std::string_view kRest = R"(</title>
<style>
  html, body { margin: 0; height: 100%; background: #202020; color: #e0e0e0; font: 14px sans-serif; overflow: hidden; }
  #screen { position: absolute; inset: 0; }
  #status { position: absolute; inset: auto 0 50%; text-align: center; }
  #status button { font: inherit; margin-left: 1em; }
</style>
</head>
<body>
<div id="screen"></div>
<div id="status" role="status">Connecting…</div>
<script type="module" src="view.js"></script>
</body>
</html>
)";

constexpr std::string_view kScript = R"(import RFB from './novnc/core/rfb.js';

const screen = document.getElementById('screen');
const status = document.getElementById('status');
const address = new URL('socket', location.href.replace(/^http/, 'ws'));

// A view that was cut off is opened again by hand: the machine may have ended.
function offer(text) {
  const again = document.createElement('button');
  again.textContent = 'Connect';
  again.onclick = connect;
  status.replaceChildren(text, again);
}

function connect() {
  status.replaceChildren('Connecting…');
  const rfb = new RFB(screen, address.href, {shared: true});
  rfb.resizeSession = true;  // The guest follows this window,
  rfb.scaleViewport = true;  // and where it does not, its picture fits in.
  rfb.background = '#202020';
  rfb.addEventListener('connect', () => {
    status.replaceChildren();
    document.body.dataset.state = 'connected';
    rfb.focus();
  });
  rfb.addEventListener('desktopname', event => { document.title = event.detail.name; });
  rfb.addEventListener('disconnect', event => {
    document.body.dataset.state = 'disconnected';
    offer(event.detail.clean ? 'Disconnected.' : 'The connection was lost.');
  });
}

connect();
)";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<' || c == '>' || c == '&' || c == '"') {
      out += "&#" + std::to_string(static_cast<int>(c)) + ";";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::string page(std::string_view title) {
  return std::string(kHead) + escaped(title) + std::string(kRest);
}

std::string_view script() {
  return kScript;
}

}  // namespace alcove::view::web
