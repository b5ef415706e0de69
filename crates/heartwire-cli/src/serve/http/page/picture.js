// The picture: its axes, and the points in it.

const calmly = matchMedia("(prefers-reduced-motion: reduce)"), dark = matchMedia("(prefers-color-scheme: dark)");
let colours, dots;

/** `#rrggbb` as three numbers, and a mixture of two of them. */
const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const mix = (a, b, t) => `rgb(${parts(a).map((part, i) => Math.round(part + (parts(b)[i] - part) * t))})`;
const level = (share) => share >= 0.8 ? "hot" : share >= 0.5 ? "warm" : "calm";

/** Blue, amber, vermilion: told apart by colour-blind people, and by place and form besides. */
function ramp(share) {
  if (share < 0.4) return mix(colours.calm, colours.calm, 0);
  if (share < 0.65) return mix(colours.calm, colours.warm, (share - 0.4) / 0.25);
  return mix(colours.warm, colours.hot, clamp((share - 0.65) / 0.25, 0, 1));
}

function theme() {
  const style = getComputedStyle(document.documentElement);
  colours = {};
  for (const name of ["sunk", "card", "ink", "soft", "line", "calm", "warm", "hot", "glow", "focus"]) colours[name] = style.getPropertyValue(`--${name}`).trim();
  dots = undefined;
  show();
}

/** A canvas's context, cleared, with its size in the page's pixels. */
function sheet(canvas) {
  const scale = devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const c = canvas.getContext("2d");
  c.setTransform(scale, 0, 0, scale, 0, 0);
  c.clearRect(0, 0, width, height);
  c.font = "12px system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";
  return { c, width, height };
}

/** Dots of all shares of silence, drawn once and copied. */
function makeDots(radius) {
  const scale = devicePixelRatio || 1, side = radius * 6;
  const made = [];
  for (let step = 0; step <= 20; step++) {
    const canvas = el("canvas", { width: side * scale, height: side * scale });
    const c = canvas.getContext("2d");
    c.scale(scale, scale);
    const colour = ramp(step / 20);
    const glow = c.createRadialGradient(side / 2, side / 2, radius * 0.6, side / 2, side / 2, radius * 3);
    glow.addColorStop(0, colour.replace(")", dark.matches ? ", 0.3)" : ", 0.16)").replace("rgb", "rgba"));
    glow.addColorStop(1, colour.replace(")", ", 0)").replace("rgb", "rgba"));
    c.fillStyle = glow;
    c.fillRect(0, 0, side, side);
    c.fillStyle = colour;
    c.beginPath();
    c.arc(side / 2, side / 2, radius, 0, 7);
    c.fill();
    made.push(canvas);
  }
  return { radius, side, scale, made };
}

let layout;                     // where the axes are, for the pointer
let picked;                     // the session under the pointer or the keys
let cell;                       // the same in the heat map: { i, j }

function drawSky() {
  if (asHeat) drawHeat();
  else drawPoints();
}

function axes(c, width, height, left, right, bottom) {
  const lineX = width - right, plot = lineX - left, top = 30;
  layout = { left, lineX, plot, top, bottom: height - bottom, width };
  const calm = clamp((stats?.policy?.interval_ms ?? 0) / (stats?.policy?.timeout_ms || Infinity), 0, 1);
  c.textBaseline = "middle";
  if (calm > 0 && !asHeat) {
    c.fillStyle = colours.calm;
    c.globalAlpha = 0.07;
    c.fillRect(left, top, plot * calm, height - bottom - top);
    c.globalAlpha = 1;
    c.textAlign = "left";
    c.fillStyle = colours.soft;
    const long = `a heartbeat every ${time(stats.policy.interval_ms)}`;
    c.fillText(c.measureText(long).width < plot * calm - 12 ? long : "in time", left + 8, 16, plot * calm);
  }
  c.strokeStyle = colours.line;
  c.fillStyle = colours.soft;
  c.lineWidth = 1;
  c.textAlign = "center";
  for (const share of [0.25, 0.5, 0.75]) {
    const x = Math.round(left + plot * share) + 0.5;
    c.beginPath();
    if (!asHeat) { c.moveTo(x, top); c.lineTo(x, height - bottom); }
    c.stroke();
    c.fillText(`${share * 100} %${share === 0.25 && plot > 640 ? " of its timeout" : ""}`, x, height - bottom / 2);
  }
  c.textAlign = "left";
  c.fillText(plot > 460 ? "just heard" : "0", left + 2, height - bottom / 2);
}

function verdictLine(c, height, bottom) {
  const { lineX, top } = layout;
  c.strokeStyle = c.fillStyle = colours.hot;
  c.lineWidth = 2;
  c.beginPath();
  c.moveTo(lineX, top - 6);
  c.lineTo(lineX, height - bottom);
  c.stroke();
  c.textAlign = "right";
  const timeout = stats?.policy?.timeout_ms;
  c.fillText(layout.plot > 320 && timeout ? `verdict after ${time(timeout)} of silence` : "verdict", lineX + 2, 16);
}

function drawPoints() {
  const { c, width, height } = sheet($("sky"));
  if (!colours || !width) return;
  const bottom = 30, phone = width < 560, still = calmly.matches;
  let unlimited = false;
  for (const point of points.values()) unlimited ||= !timeoutOf(point);
  axes(c, width, height, unlimited ? (phone ? 46 : 84) : 16, phone ? 56 : 100, bottom);
  const { left, lineX, plot, top } = layout, span = height - bottom - top - 16;
  c.fillStyle = colours.soft;
  c.textAlign = "center";
  c.fillText("away", (lineX + width) / 2, height - bottom / 2);
  if (unlimited) c.fillText(phone ? "none" : "no timeout", (left - 8) / 2 + 2, height - bottom / 2);

  const radius = points.size < 60 ? 6 : points.size < 400 ? 4.5 : points.size < 1200 ? 3.4 : 2.7;
  if (dots?.radius !== radius || dots.scale !== (devicePixelRatio || 1)) dots = makeDots(radius);
  const at = now(), late = [];
  for (const point of points.values()) {
    const share = shareOf(point);
    const fold = (point.y * 7.31) % 1;
    const x = point.awayUntil ? lineX + 14 + fold * (width - lineX - 28)
      : share === undefined ? 12 + fold * (left - 32)
      : left + Math.min(share, 1.03) * plot;
    // It glides back where it was heard again, and runs with its silence.
    const easing = still || point.x === undefined || x >= point.x && x - point.x < 8 ? 1 : 0.16;
    point.x = point.x === undefined ? x : point.x + (x - point.x) * easing;
    const y = point.drawnY = top + 8 + point.y * span;
    const dim = search && !point.s.name?.includes(search) ? 0.12 : 1;
    if (point.awayUntil) {
      c.globalAlpha = dim * 0.9;
      c.strokeStyle = colours.soft;
      c.lineWidth = 1.6;
      c.beginPath();
      c.arc(point.x, y, radius, 0, 7);
      c.stroke();
    } else {
      const seen = clamp((point.x - left) / plot, 0, 1);
      // It fades until its next heartbeat is due; one that is overdue is plain to see again.
      const interval = point.s.interval_ms && timeoutOf(point) ? clamp(point.s.interval_ms / timeoutOf(point), 0.05, 1) : 0.34;
      const faded = 1 - 0.68 * clamp(seen / interval, 0, 1);
      c.globalAlpha = dim * Math.max(faded, clamp((seen - interval) * 3, 0, 1));
      c.drawImage(dots.made[Math.round(seen * 20)], point.x - dots.side / 2, y - dots.side / 2, dots.side, dots.side);
      if (seen >= 0.8 && share !== undefined) {
        c.strokeStyle = colours.hot;
        c.lineWidth = 1.5;
        c.beginPath();
        c.arc(point.x, y, radius + 3.5, 0, 7);
        c.stroke();
      }
      if (share > 0.5) late.push(point);
    }
    if (point.flash && !still) {
      const age = (at - point.flash) / 900;
      if (age > 1) point.flash = 0;
      else {
        c.globalAlpha = 1 - age;
        c.strokeStyle = colours.glow;
        c.lineWidth = 1.5;
        c.beginPath();
        c.arc(point.x, y, radius + 14 * age, 0, 7);
        c.stroke();
      }
    }
  }
  c.globalAlpha = 1;
  verdictLine(c, height, bottom);
  // The names of the newest verdicts and of those that are next, where there is space for them.
  const taken = picked && points.has(picked) ? [points.get(picked).drawnY] : [];
  const hasSpace = (y) => taken.length < 9 && !taken.some((other) => Math.abs(other - y) < 17) && taken.push(y);
  drawGhosts(c, top, span, at, still, hasSpace);
  late.sort((a, b) => shareOf(b) - shareOf(a));
  c.fillStyle = colours.ink;
  for (const point of late.slice(0, 20)) if (hasSpace(point.drawnY)) label(c, named(point.s), point.x, point.drawnY, radius + 8);
  c.globalAlpha = 1;
  const point = points.get(picked);
  if (point) {
    c.strokeStyle = colours.focus;
    c.lineWidth = 2.5;
    c.beginPath();
    c.arc(point.x, point.drawnY, radius + 7, 0, 7);
    c.stroke();
    tip(point.x, point.drawnY, `${named(point.s)}: ${told(point)}`);
  } else tip();
}

function label(c, text, x, y, gap) {
  const short = [...text].slice(0, 24).join("") + ([...text].length > 24 ? "…" : "");
  const wide = c.measureText(short).width;
  const leftOf = x - gap - wide > layout.left;
  c.textAlign = "left";
  c.lineWidth = 4;
  c.strokeStyle = colours.sunk;
  c.lineJoin = "round";
  c.strokeText(short, leftOf ? x - gap - wide : x + gap, y + 0.5);
  c.fillText(short, leftOf ? x - gap - wide : x + gap, y + 0.5);
}

/** Verdicts of the last seconds: a ring that opens, and a cross that stays a while. */
function drawGhosts(c, top, span, at, still, hasSpace) {
  while (ghosts.length && (at - ghosts[0].at > 12_000 || ghosts.length > 300)) ghosts.shift();
  for (const ghost of [...ghosts].reverse()) {
    const age = at - ghost.at, y = top + 8 + ghost.y * span, x = layout.lineX;
    c.globalAlpha = 1 - age / 12_000;
    c.strokeStyle = c.fillStyle = colours.hot;
    c.lineWidth = 2.2;
    c.beginPath();
    c.moveTo(x - 5, y - 5); c.lineTo(x + 5, y + 5);
    c.moveTo(x + 5, y - 5); c.lineTo(x - 5, y + 5);
    c.stroke();
    if (age < 1400 && !still) {
      c.globalAlpha = 1 - age / 1400;
      c.beginPath();
      c.arc(x, y, 6 + 26 * Math.sqrt(age / 1400), 0, 7);
      c.stroke();
    }
    c.globalAlpha = 1 - age / 12_000;
    if (age < 9000 && hasSpace(y)) label(c, ghost.name, x, y, 10);
  }
  c.globalAlpha = 1;
}

const told = (point) => {
  const { s } = point, share = shareOf(point);
  if (point.awayUntil) return `away, waits ${time(Math.max(0, point.awayUntil - clock()))} more`;
  if (share === undefined) return `silent for ${time(silenceOf(point))}, no timeout`;
  return `silent for ${time(silenceOf(point))}, ${percent(share)} of its timeout${s.rtt_ms == null ? "" : `, round trip ${time(s.rtt_ms)}`}`;
};

function tip(x, y, text) {
  const at = $("tip");
  at.hidden = text === undefined;
  if (at.hidden) return;
  at.textContent = text;
  const left = clamp(x - at.offsetWidth / 2, 4, $("sky").clientWidth - at.offsetWidth - 4);
  const above = y - at.offsetHeight - 14;
  at.style.translate = `${left}px ${above < 0 ? y + 16 : above}px`;
}
