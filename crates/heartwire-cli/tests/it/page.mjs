// Drives the page in a browser, for page.rs: `node page.mjs STORY URL TOKEN`. It prints a line where
// the test is to do something, and waits for a line that says that it is done.

import { createRequire } from "node:module";
import { accessSync, constants } from "node:fs";
import { createInterface } from "node:readline";
import assert from "node:assert/strict";

const [story, url, token] = process.argv.slice(2);
const PATIENCE = 60_000;

const told = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
/** Has the test do something; its answer. */
async function please(what) {
  console.log(what);
  const { value, done } = await told.next();
  return done ? process.exit(1) : value;
}

function skip(why) {
  console.log(`skipped: ${why}`);
  process.exit(0);
}

function installed(names) {
  for (const directory of process.env.PATH.split(":")) {
    for (const name of names) {
      try {
        accessSync(`${directory}/${name}`, constants.X_OK);
        return `${directory}/${name}`;
      } catch { /* not here */ }
    }
  }
  return skip("chromium is not installed");
}

const executablePath = installed(["chromium", "chromium-browser", "google-chrome"]);
let chromium;
try {
  ({ chromium } = createRequire(import.meta.url)("playwright-core"));
} catch {
  skip("playwright-core is not installed (npm install playwright-core)");
}

// What the browser itself says of requests that fail, where a story has them fail.
const LOST = /ERR_(CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|INCOMPLETE_CHUNKED_ENCODING|SOCKET_NOT_CONNECTED)|status of 503/;
const forgive = (pattern) => wrong.splice(0, wrong.length, ...wrong.filter((complaint) => !pattern.test(complaint)));

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
await please("ready");
const wrong = [];

/** A tab, in which every complaint of the browser and every request to another place is a fault. */
async function tab(options = {}, complaints = wrong) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("console", (message) => {
    // The browser advises against what `watchDrawing` does.
    if (["error", "warning"].includes(message.type()) && !message.text().includes("getImageData")) complaints.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`exception: ${error.stack}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:")) complaints.push(`request: ${request.url()}`);
  });
  page.on("dialog", (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.goto(url);
  return page;
}

/** Asks the page until it says yes, or something else that is true. */
async function until(what, page, question, argument) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const answer = await page.evaluate(question, argument);
    if (answer) return answer;
    assert(Date.now() < deadline, `not seen: ${what}; the page: ${await page.locator("body").innerText()}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** Lets `window.drawn(name)` say what is drawn of a session: its share of silence, and its colour. */
const watchDrawing = (page) => page.evaluate(() => {
  window.drawn = (name) => {
    const point = [...points.values()].find((point) => point.s.name === name);
    if (!point?.drawnY) return undefined;
    const scale = devicePixelRatio, canvas = document.getElementById("sky");
    const pixel = (x, y) => [...canvas.getContext("2d").getImageData(x * scale, y * scale, 1, 1).data];
    const { left, plot } = layout;
    return { share: (point.x - left) / plot, away: Boolean(point.awayUntil), pixel: pixel(point.x, point.drawnY) };
  };
});
const hasPoints = (page, count) => until(`${count} points`, page, (count) => points.size === count && [...points.values()].every((point) => point.drawnY), count);
const logHas = (page, kind, ...parts) => until(`${kind} ${parts}`, page, ([kind, parts]) => {
  const row = [...document.querySelectorAll(`#log li.${kind}`)].find((row) => parts.every((part) => row.innerText.includes(part)));
  return row?.innerText;
}, [kind, parts]);

const stories = {
  /** Three sessions, of which `frozen` hangs, and comes back. */
  async silence() {
    const page = await tab();
    await hasPoints(page, 3);
    await until("the number", page, () => document.getElementById("alive").textContent.startsWith("3"));
    await watchDrawing(page);
    const well = await page.evaluate(() => drawn("frozen"));
    assert(well.pixel[3] > 0, "a point is painted");
    // The stream is made anew for it, and has no data from before.
    const withData = page.waitForResponse((answer) => answer.url().includes(",data"));
    await page.getByLabel("data").check();
    await withData;

    // Looked for in the page itself, so that a busy machine does not miss it.
    await page.evaluate(() => setInterval(() => {
      const seen = drawn("frozen");
      if (seen && !seen.away && seen.share > 0.7 && seen.share < 1) window.late ??= { ...seen, other: drawn("beating") };
    }, 40));
    await please("freeze");
    const late = await until("the frozen session near its verdict", page, () => window.late);
    const [red, , blue] = late.pixel;
    assert(red > blue + 60, `it is painted as one that is late: ${late.pixel}`);
    const { other } = late;
    assert(other.share < late.share, `the other one is not: ${JSON.stringify(late)}`);
    const verdict = await logHas(page, "verdict", "frozen", "is dead");
    await logHas(page, "away", "frozen", "is away");
    await until("a hollow point", page, () => [...points.values()].some((point) => point.s.name === "frozen" && point.awayUntil));
    console.log(`verdict ${verdict.match(/silent for ([0-9.]+) s/)[1]}`);

    await please("thaw");
    await logHas(page, "back", "frozen");
    await until("it beats again", page, () => [...points.values()].some((point) => point.s.name === "frozen" && !point.awayUntil && shareOf(point) < 0.5));

    // As a heat map: every session is in one of its cells.
    await page.getByRole("button", { name: "Heat map" }).click();
    await until("the heat map", page, () => asHeat && heat && heat.counts.flat().reduce((a, b) => a + b, 0) + heat.away === 3);
    await page.getByRole("button", { name: "Heat map" }).click();
    await hasPoints(page, 3);

    // Names and data are text, whatever they look like.
    const hostile = "<img src=x onerror=\"document.title='owned'\">";
    await logHas(page, "data", hostile, "<script>");
    await page.getByRole("button", { name: hostile }).first().click();
    await until("its detail", page, (name) => document.getElementById("detail-title").textContent === name, hostile);
    await until("its trace", page, () => beatsAt.length > 1);
    assert.equal(await page.locator("#detail img, #log img, #rows img, #log script").count(), 0);
    assert.match(await page.title(), /^3 alive/);
  },

  /** From the search to the end of a session, with the keys alone. */
  async keys() {
    const page = await tab();
    await hasPoints(page, 3);
    const focus = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent);
    // In the picture: arrows choose, Enter opens, Escape goes back.
    for (let tabs = 0; await focus() !== "sky"; tabs++) {
      assert(tabs < 20, "Tab reaches the picture");
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("ArrowRight");
    const chosen = await until("a chosen point", page, () => picked && points.get(picked).s.name);
    await until("it is said", page, (name) => document.getElementById("say").textContent.startsWith(`${name}: silent for`), chosen);
    await page.keyboard.press("Enter");
    assert.equal(await focus(), "detail-title");
    assert.equal(await page.locator("#detail-title").textContent(), chosen);
    await page.keyboard.press("Escape");
    assert.equal(await focus(), "sky");

    await page.keyboard.press("/");
    assert.equal(await focus(), "search");
    await page.keyboard.type("nothing like it");
    await until("nothing", page, () => document.getElementById("none").textContent.startsWith("No session has a name"));
    await page.keyboard.press("Control+a");
    await page.keyboard.type("victim");
    await until("one row", page, () => document.getElementById("list").dataset.count === "1");
    await page.keyboard.press("ArrowDown");
    assert.equal(await focus(), "a victim");
    await page.keyboard.press("Enter");
    assert.equal(await focus(), "detail-title");
    await until("what is needed", page, () => document.getElementById("kick-needs").textContent.includes("token"));
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    assert.equal(await focus(), "kick");
    await page.keyboard.press("Enter");
    assert(await page.getByRole("dialog", { name: "Disconnect this client?" }).isVisible());
    // A wrong token first: it is refused, and not kept.
    for (let tabs = 0; await page.evaluate(() => document.activeElement.name) !== "token"; tabs++) {
      assert(tabs < 10, "Tab reaches the token");
      await page.keyboard.press("Tab");
    }
    await page.keyboard.type("not the token of this server");
    await page.keyboard.press("Enter");
    await until("a refusal", page, () => document.getElementById("ask-wrong").textContent.includes("token"));
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    forgive(/status of 401/);
    await page.locator("[name=token]").focus();
    await page.keyboard.press("Control+a");
    await page.keyboard.type(token);
    await page.keyboard.press("Enter");
    await logHas(page, "offline", "victim", "kicked");
    await until("the dialog is closed", page, () => !document.getElementById("ask").open);
    await until("its end", page, () => document.getElementById("detail-state").textContent.startsWith("This session has ended"));
    forgive(/status of 404/);
    await page.keyboard.press("Escape");
    // In this tab, and nowhere else.
    assert.deepEqual(await page.evaluate(() => [Object.values(sessionStorage), localStorage.length, document.cookie]), [[token], 0, ""]);

    await page.getByRole("button", { name: "Drain…" }).click();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "Drain…" }).click();
    await page.locator("[name=window]").fill("60");
    await page.getByRole("button", { name: "Drain it" }).click();
    await logHas(page, "offline", "shutdown");
    await logHas(page, "stopped", "stopped");
    forgive(LOST);
  },

  /** Light, dark, small; and nothing in it runs but its own script. */
  async looks() {
    const backs = [];
    for (const colorScheme of ["light", "dark"]) {
      const page = await tab({ colorScheme, reducedMotion: "reduce" });
      await hasPoints(page, 3);
      const contrast = await page.evaluate(() => {
        const light = (colour) => {
          const [r, g, b] = colour.match(/[0-9.]+/g).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const least = [];
        for (const at of document.querySelectorAll("h2, dt, dd, th, td, #about, #summary, #legend li, .soft, #state")) {
          if (!at.textContent || !at.checkVisibility()) continue;
          let behind = at;
          while (behind && getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
          const [a, b] = [light(getComputedStyle(at).color), light(getComputedStyle(behind ?? document.documentElement).backgroundColor)];
          least.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), at.textContent.slice(0, 30)]);
        }
        return least.sort(([a], [b]) => a - b)[0];
      });
      assert(contrast[0] >= 4.5, `${colorScheme}: text of little contrast: ${contrast}`);
      backs.push(await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor));
    }
    assert.notEqual(backs[0], backs[1]);

    const phone = await tab({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    await hasPoints(phone, 3);
    await phone.locator("#rows button").first().tap();
    await until("its detail", phone, () => beatsAt.length > 0);
    const sticksOut = await phone.evaluate(() => {
      const all = [...document.querySelectorAll("button, input, select, canvas, h2, #detail, section")].filter((at) => at.checkVisibility() && !at.closest(".out"));
      const out = all.filter((at) => at.getBoundingClientRect().left < 0 || at.getBoundingClientRect().right > 360.5);
      return [document.documentElement.scrollWidth, ...out.map((at) => at.id || at.textContent)];
    });
    assert.deepEqual(sticksOut, [360]);
    await phone.getByRole("button", { name: "Close" }).tap();
    await phone.getByRole("button", { name: "Drain…" }).tap();
    assert(await phone.getByRole("dialog", { name: "Drain this server?" }).isVisible());

    // What finds its way into the page by a fault of it does not run.
    const complaints = [];
    const page = await tab({}, complaints);
    await page.evaluate(() => {
      document.body.insertAdjacentHTML("beforeend", "<img src=\"data:,\" onerror=\"document.title = 'owned'\"><i style=\"color: red\"></i>");
      const script = document.createElement("script");
      script.textContent = "document.title = 'owned'";
      document.body.append(script);
    });
    await until("refusals", page, () => true);
    for (const what of ["event handler", "inline style", "inline script"]) {
      assert(complaints.some((complaint) => complaint.includes("Content Security Policy") && complaint.includes(what)), `no ${what}: ${complaints}`);
    }
    assert.doesNotMatch(await page.title(), /owned/);
    const elsewhere = await page.evaluate(() => fetch("http://127.0.0.1:9/").then(() => "sent", () => "refused"));
    assert.equal(elsewhere, "refused");
    assert(complaints.some((complaint) => complaint.includes("connect-src")), `${complaints}`);
  },

  /** The server goes away, and another one comes in its place. */
  async restart() {
    const page = await tab();
    await hasPoints(page, 3);
    await please("stop");
    await until("what is wrong", page, () => /Cannot reach the server.*This picture is .* old/.test(document.getElementById("trouble").textContent));
    await until("its state", page, () => document.getElementById("state").textContent === "out of reach");
    await page.waitForTimeout(1500);
    assert.equal(await page.evaluate(() => points.size), 3, "the picture stays as it was");
    await please("start");
    await until("it is there again", page, () => document.getElementById("trouble").hidden && document.getElementById("state").textContent === "ready");
    await hasPoints(page, 2);
    await until("events", page, () => document.getElementById("stream").textContent === "live");
    await please("freeze");
    await logHas(page, "verdict", "is dead");
    forgive(LOST);
  },
};

try {
  await stories[story]();
  assert.deepEqual(wrong, [], "nothing is wrong");
  console.log("done");
} finally {
  await browser.close();
}
process.exit(0);
