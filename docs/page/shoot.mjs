// Takes the pictures of docs/page/shoot: `node shoot.mjs URL points|heat`.

import { createRequire } from "node:module";
import { writeFileSync } from "node:fs";
import { deflateSync } from "node:zlib";

const { chromium } = createRequire(import.meta.url)("playwright-core");
const [url, what] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

async function tab(colorScheme, width, height, deviceScaleFactor = 1) {
  const context = await browser.newContext({ colorScheme, viewport: { width, height }, deviceScaleFactor });
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

/** Waits until the picture has something to show: a session near its verdict, and one dead. */
async function settle(page, seconds) {
  await page.waitForTimeout(seconds * 1000);
  await page.evaluate(async () => {
    const end = performance.now() + 60_000;
    const isThere = () => ghosts.length > 1 && [...points.values()].filter((point) => shareOf(point) > 0.6).length > 2;
    while (performance.now() < end && !asHeat && !isThere()) await new Promise((done) => setTimeout(done, 100));
  });
}

/** A small PNG: its 256 most frequent colours, of 5 bits a part, and the nearest one for the others. */
async function save(page, name) {
  const shot = await page.screenshot();
  const { width, height, data } = await page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const c = new OffscreenCanvas(image.width, image.height).getContext("2d");
    c.drawImage(image, 0, 0);
    const { data } = c.getImageData(0, 0, image.width, image.height);
    let text = "";
    for (let i = 0; i < data.length; i += 4) text += String.fromCharCode(data[i], data[i + 1], data[i + 2]);
    return { width: image.width, height: image.height, data: btoa(text) };
  }, shot.toString("base64"));
  const rgb = Buffer.from(data, "base64"), key = (i) => (rgb[i] >> 3) << 10 | (rgb[i + 1] >> 3) << 5 | rgb[i + 2] >> 3;
  const seen = new Map();
  for (let i = 0; i < rgb.length; i += 3) {
    const colour = seen.get(key(i)) ?? { count: 0, exact: new Map() };
    const exact = rgb.readUIntBE(i, 3);
    colour.count++;
    colour.exact.set(exact, (colour.exact.get(exact) ?? 0) + 1);
    seen.set(key(i), colour);
  }
  const most = (counts) => [...counts].reduce((a, b) => b[1] > a[1] ? b : a)[0];
  const palette = [...seen.values()].sort((a, b) => b.count - a.count).slice(0, 256).map((colour) => most(colour.exact));
  const near = new Map();
  const nearest = (exact) => {
    if (!near.has(exact)) {
      const parts = (colour) => [colour >> 16, colour >> 8 & 255, colour & 255], own = parts(exact);
      const far = palette.map((colour) => parts(colour).reduce((sum, part, i) => sum + (part - own[i]) ** 2, 0));
      near.set(exact, far.indexOf(Math.min(...far)));
    }
    return near.get(exact);
  };
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) rows[y * (width + 1) + x + 1] = nearest(rgb.readUIntBE((y * width + x) * 3, 3));
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 3, 0, 0, 0], 8);
  const colours = Buffer.alloc(palette.length * 3);
  palette.forEach((colour, i) => colours.writeUIntBE(colour, i * 3, 3));
  const png = [Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head), chunk("PLTE", colours), chunk("IDAT", deflateSync(rows, { level: 9 })), chunk("IEND", Buffer.alloc(0))];
  writeFileSync(new URL(`${name}.png`, import.meta.url), Buffer.concat(png));
}
function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name), data]), whole = Buffer.alloc(body.length + 8);
  whole.writeUInt32BE(data.length, 0);
  body.copy(whole, 4);
  let crc = ~0;
  for (const byte of body) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc >>> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  whole.writeUInt32BE(~crc >>> 0, body.length + 4);
  return whole;
}

if (what === "points") {
  const light = await tab("light", 1280, 840), dark = await tab("dark", 1280, 840), phone = await tab("dark", 360, 740, 2);
  await dark.waitForTimeout(5000);
  await dark.evaluate(() => openDetail([...points.values()].find((point) => point.s.name === "dock/lamp-101").s));
  await settle(light, 60);
  await save(light, "points-light");
  await settle(dark, 0);
  await save(dark, "session-dark");
  await phone.evaluate(() => scrollTo(0, document.getElementById("picture").offsetTop - 70));
  await settle(phone, 0);
  await save(phone, "phone-dark");
} else {
  const light = await tab("light", 1280, 840), dark = await tab("dark", 1280, 840);
  await settle(light, 60);
  await save(light, "heat-light");
  await save(dark, "heat-dark");
}
await browser.close();
