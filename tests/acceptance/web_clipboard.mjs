// See web_view. The guest copies what is copied here, texts with "echo: " before.
// usage: node web_clipboard.mjs ADDRESS
import {chromium} from 'playwright-core';

const [address] = process.argv.slice(2);

async function until(what, condition) {
  for (let i = 0; i < 100; ++i) {
    if (await condition()) return console.log('ok: ' + what);
    await new Promise(done => setTimeout(done, 100));
  }
  throw new Error('FAILED: waited in vain until ' + what);
}

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync'],
});
try {
  const context = await browser.newContext({permissions: ['clipboard-read', 'clipboard-write']});
  const page = await context.newPage();
  page.on('pageerror', error => console.log('page: ' + error));
  await page.goto(address);
  await until('the page is connected', () => page.evaluate(() => document.body.dataset.state === 'connected'));
  const comesToTheFront = () => page.evaluate(() => window.dispatchEvent(new Event('focus')));

  await page.evaluate(() => navigator.clipboard.writeText('grüße'));
  await comesToTheFront();
  await until('the guest has the text, and the page what the guest copied',
              () => page.evaluate(async () => await navigator.clipboard.readText() === 'echo: grüße'));
  // Nothing goes round in circles.
  await comesToTheFront();
  await page.waitForTimeout(500);
  await until('it stays', () => page.evaluate(async () => await navigator.clipboard.readText() === 'echo: grüße'));

  // Four pixels, in a picture without a text.
  await page.evaluate(async () => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 2;
    const context = canvas.getContext('2d');
    ['#ff0000', '#00ff00', '#0000ff', '#102030'].forEach((colour, i) => {
      context.fillStyle = colour;
      context.fillRect(i % 2, i >> 1, 1, 1);
    });
    const blob = await new Promise(done => canvas.toBlob(done, 'image/png'));
    await navigator.clipboard.write([new ClipboardItem({'image/png': blob})]);
    window.copied = new Promise(done => {
      const write = navigator.clipboard.write.bind(navigator.clipboard);
      navigator.clipboard.write = items => write(items).then(() => done(items[0].types.join()));
    });
  });
  await comesToTheFront();
  await until('the guest has the picture, and gives it back',
              () => page.evaluate(() => Promise.race([window.copied, new Promise(done => setTimeout(done, 50))])
                .then(types => types === 'image/png')));
  const pixels = await page.evaluate(async () => {
    const [item] = await navigator.clipboard.read();
    const bitmap = await createImageBitmap(await item.getType('image/png'));
    const canvas = document.createElement('canvas');
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    const context = canvas.getContext('2d');
    context.drawImage(bitmap, 0, 0);
    return [bitmap.width, bitmap.height, ...context.getImageData(0, 0, 2, 2).data].join();
  });
  if (pixels !== '2,2,255,0,0,255,0,255,0,255,0,0,255,255,16,32,48,255') throw new Error('FAILED: pixels ' + pixels);
  console.log('ok: its pixels');
} finally {
  await browser.close();
}
