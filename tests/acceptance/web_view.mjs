// See web_view. usage: node web_view.mjs ADDRESS CONSOLE_FILE FOLDER_FOR_PICTURES
import {readFileSync} from 'node:fs';
import http from 'node:http';
import {chromium} from 'playwright-core';

const [address, consoleFile, folder] = process.argv.slice(2);

function check(condition, what) {
  if (!condition) throw new Error('FAILED: ' + what);
  console.log('ok: ' + what);
}

async function until(what, condition) {
  for (let i = 0; i < 300; ++i) {
    if (await condition()) return console.log('ok: ' + what);
    await new Promise(done => setTimeout(done, 200));
  }
  throw new Error('FAILED: waited in vain until ' + what);
}

// What the guest draws, see tests/display/picture.h.
function pixel(x, y) {
  if (x < 24 && y < 24) return [255, 0, 0];
  return [x & 255, y & 255, ((x >> 4) + (y >> 4)) * 16 & 255];
}

// How many of the canvas's pixels are others, and how many there are.
function compare(page, width, height) {
  return page.evaluate(([w, h, source]) => {
    const pixel = eval('(' + source + ')');
    const canvas = document.querySelector('#screen canvas');
    if (!canvas || canvas.width !== w || canvas.height !== h) return -1;
    const {data} = canvas.getContext('2d').getImageData(0, 0, w, h);
    let wrong = 0;
    for (let y = 0; y < h; ++y) {
      for (let x = 0; x < w; ++x) {
        const [r, g, b] = pixel(x, y), at = (y * w + x) * 4;
        if (data[at] !== r || data[at + 1] !== g || data[at + 2] !== b) ++wrong;
      }
    }
    return wrong;
  }, [width, height, pixel.toString()]);
}

function says(text) {
  return () => readFileSync(consoleFile, 'utf8').includes(text);
}

function status(url, headers = {}) {
  return new Promise((done, failed) => {
    const request = http.get(url, {headers}, response => {
      response.resume();
      done(response.statusCode);
    });
    request.on('upgrade', (response, socket) => {
      socket.destroy();
      done(response.statusCode);
    });
    request.on('error', failed);
  });
}

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync'],
});
try {
  const page = await browser.newPage({viewport: {width: 900, height: 640}, bypassCSP: true});
  page.on('pageerror', error => console.log('page: ' + error));
  await page.goto(address);
  await until('the page is connected', () => page.evaluate(() => document.body.dataset.state === 'connected'));
  await until('the guest has followed the window', says('display 0 shows 900x640'));
  await until('the canvas shows what the guest drew', async () => await compare(page, 900, 640) === 0);
  await page.screenshot({path: folder + '/web.png'});

  await page.mouse.move(450, 320);
  await page.mouse.click(225, 160);
  await until('a click reaches the guest', says('button 1 at 25 25'));
  await page.keyboard.press('KeyA');
  await until('a key reaches the guest', says('key 30 down'));

  await page.setViewportSize({width: 700, height: 500});
  await until('the guest follows again', says('display 0 shows 700x500'));
  await until('the canvas shows that', async () => await compare(page, 700, 500) === 0);
  await page.screenshot({path: folder + '/web-smaller.png'});

  // A screen whose pixels are smaller than the page's.
  const dense = await browser.newContext({viewport: {width: 640, height: 480}, deviceScaleFactor: 1.25, bypassCSP: true});
  const densePage = await dense.newPage();
  await densePage.goto(address);
  await until('the guest follows a page of another density in its screen\'s pixels', says('display 0 shows 800x600'));
  await until('its canvas shows that', async () => await compare(densePage, 800, 600) === 0);
  check(await densePage.evaluate(() => {
    const shown = document.querySelector('#screen canvas').getBoundingClientRect();
    return Math.abs(shown.width * devicePixelRatio - 800) + Math.abs(shown.height * devicePixelRatio - 600) < 0.01;
  }), 'pixel by pixel');
  await densePage.screenshot({path: folder + '/web-dense.png'});
  await dense.close();

  const url = new URL(address), socket = address + 'socket';
  const upgrade = {Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13',
                   'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ=='};
  check(await status(url.origin + '/') === 403, 'no page without the token');
  check(await status(url.origin + '/' + '0'.repeat(40) + '/') === 403, 'no page with another token');
  check(await status(socket, {...upgrade, Origin: url.origin}) === 101, 'a socket with token and origin');
  check(await status(socket, {...upgrade, Origin: 'http://evil.example'}) === 403, 'no socket for a foreign origin');
  check(await status(url.origin + '/socket', {...upgrade, Origin: url.origin}) === 403, 'no socket without the token');

  // A page of another origin, with the right address.
  const other = await browser.newPage();
  await other.goto('about:blank');
  const refused = await other.evaluate(at => new Promise(done => {
    const one = new WebSocket(at);
    one.onopen = () => done(false);
    one.onerror = () => done(true);
  }), socket.replace('http', 'ws'));
  check(refused, 'no socket for another page');
  // A message of 2 MiB ends the connection.
  const closed = await page.evaluate(at => new Promise(done => {
    const one = new WebSocket(at);
    one.onopen = () => one.send(new Uint8Array(2 << 20));
    one.onclose = event => done(event.code);
  }), socket.replace('http', 'ws'));
  check(closed === 1009 || closed === 1006, 'a message that is too large ends its connection');
  check(await page.evaluate(() => document.body.dataset.state) === 'connected', 'and no other');
} finally {
  await browser.close();
}
