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
// pages that are not in front get nothing. Messages as in clipboard_message.h.
const picture = 'image/png';
let shared;   // What both have had, as told by key().
let arrived;  // From the guest, while this page was not in front.

async function read() {
  if (!navigator.clipboard.read) return {text: await navigator.clipboard.readText(), picture: new Uint8Array()};
  const contents = {text: '', picture: new Uint8Array()};
  for (const item of await navigator.clipboard.read()) {
    if (item.types.includes('text/plain')) contents.text = await (await item.getType('text/plain')).text();
    if (item.types.includes(picture))
      contents.picture = new Uint8Array(await (await item.getType(picture)).arrayBuffer());
  }
  return contents;
}
async function key(contents) {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', contents.picture));
  return contents.text + '\0' + hash.join();
}
async function give(socket) {
  if (!document.hasFocus() || !navigator.clipboard || socket.readyState !== WebSocket.OPEN) return;
  if (arrived) return take(arrived);
  try {
    const contents = await read();
    const now = await key(contents);
    if (now === shared || (contents.text === '' && contents.picture.length === 0)) return;
    shared = now;
    const text = new TextEncoder().encode(contents.text);
    const length = new DataView(new ArrayBuffer(4));
    length.setUint32(0, text.length);
    socket.send(new Blob([length, text, contents.picture]));
  } catch {}
}
async function take(contents) {
  arrived = contents;
  if (!document.hasFocus() || !navigator.clipboard) return;
  try {
    const parts = {};
    if (contents.text !== '') parts['text/plain'] = new Blob([contents.text], {type: 'text/plain'});
    if (contents.picture.length > 0) parts[picture] = new Blob([contents.picture], {type: picture});
    if (navigator.clipboard.write) {
      await navigator.clipboard.write([new ClipboardItem(parts)]);
    } else {
      await navigator.clipboard.writeText(contents.text);
    }
    arrived = undefined;
    shared = await key(await read());  // Browsers make other pictures of those that they are given.
  } catch {}
}
function open(address) {
  const socket = new WebSocket(address);
  socket.binaryType = 'arraybuffer';
  socket.onmessage = event => {
    const length = new DataView(event.data).getUint32(0);
    take({text: new TextDecoder().decode(new Uint8Array(event.data, 4, length)),
          picture: new Uint8Array(event.data, 4 + length)});
  };
  return socket;
}

function connect() {
  status.replaceChildren('Connecting…');
  const address = name => new URL(name, location.href.replace(/^http/, 'ws')).href;
  const rfb = new RFB(screen, address(`socket?ratio=${devicePixelRatio}`), {shared: true});
  const clipboard = open(address('clipboard'));
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
  });
  const onFocus = () => give(clipboard);
  window.addEventListener('focus', onFocus);
  clipboard.onopen = onFocus;
  rfb.addEventListener('desktopname', event => { document.title = event.detail.name; });
  rfb.addEventListener('disconnect', event => {
    window.removeEventListener('focus', onFocus);
    clipboard.close();
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
