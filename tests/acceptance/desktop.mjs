// See desktop. usage: node desktop.mjs ADDRESS FOLDER_FOR_PICTURES
import {chromium} from 'playwright-core';

const [address, folder] = process.argv.slice(2);

async function until(what, condition) {
  for (let i = 0; i < 600; ++i) {
    if (await condition()) return console.log('ok: ' + what);
    await new Promise(done => setTimeout(done, 200));
  }
  throw new Error('FAILED: waited in vain until ' + what);
}

// The canvas's width, height and a sum over its pixels.
function look(page) {
  return page.evaluate(() => {
    const canvas = document.querySelector('#screen canvas');
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let sum = 0;
    for (let at = 0; at < data.length; ++at) sum = (sum * 31 + data[at]) | 0;
    return {width: canvas.width, height: canvas.height, sum};
  });
}

// Until nothing has changed for a second.
async function settled(page) {
  let before = await look(page);
  await until('the desktop is still', async () => {
    await page.waitForTimeout(1000);
    const now = await look(page), same = now.sum === before.sum;
    before = now;
    return same;
  });
  return before;
}

// As a person would: with Shift, which Playwright's own type() leaves out.
async function type(page, text) {
  const shifted = {'|': 'Shift+Backslash'};
  for (const letter of text) {
    await page.keyboard.press(shifted[letter] ?? (/[A-Z]/.test(letter) ? 'Shift+Key' + letter : letter === '\n' ? 'Enter' : letter),
                              {delay: 30});
  }
}

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync'],
});
try {
  const context = await browser.newContext({viewport: {width: 1104, height: 704}, bypassCSP: true,
                                            permissions: ['clipboard-read', 'clipboard-write']});
  const page = await context.newPage();
  await page.goto(address);
  await until('the page is connected', () => page.evaluate(() => document.body.dataset.state === 'connected'));
  await until('the desktop follows the page', async () => {
    const {width, height} = await look(page);
    return width === 1104 && height === 704;
  });
  const before = await settled(page);
  await page.screenshot({path: folder + '/desktop-web.png'});

  // The desktop's own menu, by the pointer.
  await page.mouse.click(900, 600, {button: 'right'});
  await until('a click opens the desktop\'s menu', async () => (await look(page)).sum !== before.sum);
  await settled(page);
  await page.screenshot({path: folder + '/desktop-web-menu.png'});
  await page.keyboard.press('Escape');

  const closed = await settled(page);
  await page.keyboard.press('Control+Alt+KeyT');
  await until('a terminal opens', async () => (await look(page)).sum !== closed.sum);
  await settled(page);
  await type(page, 'echo typed-in-a-browser | sudo tee /dev/ttyS0\n');
  await settled(page);
  await page.screenshot({path: folder + '/desktop-web-terminal.png'});

  // What the page's desktop has copied is pasted in the guest. The page looks at it when it comes to the front.
  await page.evaluate(() => navigator.clipboard.writeText('echo pasted-in-a-browser | sudo tee /dev/ttyS0'));
  await page.evaluate(() => window.dispatchEvent(new Event('focus')));
  await page.waitForTimeout(2000);
  await page.keyboard.press('Control+Shift+KeyV');
  await settled(page);
  await page.keyboard.press('Enter');
  await settled(page);
  await page.screenshot({path: folder + '/desktop-web-pasted.png'});
  // And the other way round: by the terminal's shortcuts all that it shows.
  await type(page, 'clear; echo copied-in-a-browser\n');
  await settled(page);
  await page.keyboard.press('Control+Shift+KeyA');
  await page.keyboard.press('Control+Shift+KeyC');
  await until('the guest\'s clipboard is the page\'s', async () =>
    (await page.evaluate(() => navigator.clipboard.readText())).includes('copied-in-a-browser'));
} finally {
  await browser.close();
}
