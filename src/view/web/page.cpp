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
  #screen { position: absolute; top: 0; left: 0; }
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

// The guest gets the size in the screen's pixels. A size that is not a whole number of these would be blurred: the
// picture is a little smaller then.
function fit() {
  const whole = extent => {
    for (let size = Math.floor(extent); size > extent - 32; --size) {
      const pixels = size * devicePixelRatio;
      if (Math.abs(pixels - Math.round(pixels)) < 1e-3) return size;
    }
    return Math.floor(extent);
  };
  screen.style.width = whole(innerWidth) + 'px';
  screen.style.height = whole(innerHeight) + 'px';
}
window.addEventListener('resize', fit);
fit();

// Once, when pages are zoomed or the window comes to another screen.
function whenRatioChanges(then) {
  matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener('change', then, {once: true});
}

// A view that was cut off is opened again by hand: the machine may have ended.
function offer(text) {
  const again = document.createElement('button');
  again.textContent = 'Connect';
  again.onclick = connect;
  status.replaceChildren(text, again);
}

// The clipboards of this desktop and the guest, as far as the browser lets pages at it: it may ask its user first, and
// pages that are not in front get nothing.
let shared;
async function give(rfb) {
  if (!document.hasFocus() || !navigator.clipboard) return;
  try {
    const text = await navigator.clipboard.readText();
    if (text === '' || text === shared) return;
    shared = text;
    rfb.clipboardPasteFrom(text);
  } catch {}
}
async function take(text) {
  shared = text;
  try {
    await navigator.clipboard.writeText(text);
  } catch {}
}

function connect() {
  status.replaceChildren('Connecting…');
  const address = new URL(`socket?ratio=${devicePixelRatio}`, location.href.replace(/^http/, 'ws'));
  const rfb = new RFB(screen, address.href, {shared: true});
  let isAgain = false;
  whenRatioChanges(() => {
    fit();
    isAgain = true;
    rfb.disconnect();
  });
  rfb.resizeSession = true;  // The guest follows this window,
  rfb.scaleViewport = true;  // and where it does not, its picture fits in.
  rfb.background = '#202020';
  rfb.addEventListener('connect', () => {
    status.replaceChildren();
    document.body.dataset.state = 'connected';
    rfb.focus();
    give(rfb);
  });
  const onFocus = () => give(rfb);
  window.addEventListener('focus', onFocus);
  rfb.addEventListener('clipboard', event => take(event.detail.text));
  rfb.addEventListener('desktopname', event => { document.title = event.detail.name; });
  rfb.addEventListener('disconnect', event => {
    window.removeEventListener('focus', onFocus);
    if (isAgain) return connect();
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
