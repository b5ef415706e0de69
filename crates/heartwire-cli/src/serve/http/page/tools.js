"use strict";

// What clients choose (names, texts, reasons) reaches the page as text only: `textContent`, canvas text.

const $ = (id) => document.getElementById(id);
const now = () => performance.now();
const clamp = (value, least, most) => Math.min(most, Math.max(least, value));
const put = (id, text) => { const at = $(id); if (at.textContent !== text) at.textContent = text; };
const say = (text) => { $("say").textContent = text; };

/** An element with properties and children; text becomes text. */
function el(tag, props = {}, ...children) {
  const made = Object.assign(document.createElement(tag), props);
  made.append(...children.filter((child) => child != null));
  return made;
}

const whole = (n) => n == null ? "–" : Math.round(n).toLocaleString("en");
const rate = (n) => n == null ? "–" : n < 10 ? n.toFixed(1) : whole(n);
const percent = (share) => `${Math.floor(share * 100)} %`;
function time(ms) {
  if (ms == null) return "–";
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 99_950) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (minutes < 100) return `${minutes} min`;
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${days} d ${hours % 24} h`;
}
function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; n >= 1024 && unit < 4; unit++) n /= 1024;
  return `${n < 10 && unit ? n.toFixed(1) : whole(n)} ${units[unit]}`;
}
const named = (s) => s.name ?? `${s.session} (no name)`;
