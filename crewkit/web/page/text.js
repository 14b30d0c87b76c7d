// Texts from a run: short ones whole, long ones cut with a way to all of them, huge ones in pieces that are laid out
// only where they are seen.

const LINES = 16;
const CHARS = 1600;
const PIECE = 20000;
const HUGE = 200000;

/**
 * Show a text.
 *
 * `whole`: for a text that the page was sent the beginning of: { length, get }, where get fetches all of it.
 * `prose`: set as text to read, not as code. `open`: at full length at once.
 */
function textView(text, { whole = null, prose = false, open = false, label = "" } = {}) {
  const box = el("div", { class: `text${prose ? " prose" : ""}`, role: "group", ...(label ? { "aria-label": label } : {}) });
  const body = el("div", { class: "text-body", dir: "auto" });
  const state = { text, raw: false, open, pretty: prose ? null : formatted(text) };
  const draw = () => {
    clear(box);
    clear(body);
    const shown = state.pretty !== null && !state.raw ? state.pretty : state.text;
    const head = state.open ? shown : beginning(shown);
    if (prose && head.length <= HUGE) setOut(body, head);
    else fill(body, head);
    const length = whole && !state.open ? whole.length : state.text.length;
    const cut = head.length < shown.length || (whole && !state.open);
    body.classList.toggle("cut", Boolean(cut));
    add(box, body, more(state, draw, { cut, length, whole }), tools(state, draw));
  };
  draw();
  return box;
}

/** Offer all of a text that is cut. */
function more(state, draw, { cut, length, whole }) {
  const fold = () => { state.open = false; draw(); };
  if (!cut) return state.open && state.text.length > CHARS ? el("div", { class: "text-more" }, button("Show less", fold)) : "";
  return el("div", { class: "text-more" }, button(`Show all ${number(length)} characters`, async (event) => {
    if (whole) {
      event.target.disabled = true;
      event.target.textContent = "Fetching …";
      state.text = await whole.get();
      state.pretty = null;
      whole = null;
    }
    state.open = true;
    draw();
  }));
}

/** Offer what else can be done with a text: read JSON as it came or set out in lines, copy it. */
function tools(state, draw) {
  const bar = el("div", { class: "text-tools" });
  if (state.pretty !== null) bar.append(button(state.raw ? "Formatted" : "As it came", () => { state.raw = !state.raw; draw(); }));
  if (navigator.clipboard && state.text.length > 40) bar.append(button("Copy", (event) => {
    navigator.clipboard.writeText(state.text).then(() => { event.target.textContent = "Copied"; }, () => {});
  }));
  return bar.children.length ? bar : "";
}

function button(label, press, attributes = {}) {
  return el("button", { type: "button", class: "plain", on: { click: press }, ...attributes }, label);
}

/** Return the lines of a text that are shown at first. */
function beginning(text) {
  let end = Math.min(text.length, CHARS);
  let at = -1;
  for (let lines = 0; lines < LINES; lines++) {
    at = text.indexOf("\n", at + 1);
    if (at < 0 || at >= end) return text.length <= CHARS * 1.25 && lines < LINES && text.split("\n", LINES + 3).length <= LINES + 2 ? text : text.slice(0, end);
  }
  return text.slice(0, Math.min(at, end));
}

const MARKED = /^(?:#{1,6} .*|<\/?result(?: task="[^"\n]*")?>)$|<\/?untrusted-[0-9a-f]{16}(?: from="[^"\n]*")?>/gm;

/** Set a text out to be read: headings stand out, fences around what is not trusted step back. Not a letter is changed. */
function setOut(body, text) {
  let at = 0;
  for (const found of text.matchAll(MARKED)) {
    add(body, text.slice(at, found.index), el("span", { class: found[0].startsWith("#") ? "heading" : "fence" }, found[0]));
    at = found.index + found[0].length;
  }
  add(body, text.slice(at));
}

function fill(body, text) {
  if (text.length <= HUGE) {
    add(body, text);
    return;
  }
  for (let at = 0; at < text.length; ) {
    let end = Math.min(at + PIECE, text.length);
    const line = text.lastIndexOf("\n", end);
    if (line > at && end < text.length) end = line + 1;
    body.append(el("div", { class: "piece" }, text.slice(at, end)));
    at = end;
  }
}

/** Return JSON set out in lines, where a text is a JSON object or list of some size; null where it is not. */
function formatted(text) {
  if (text.length < 60 || text.length > HUGE || !/^\s*[[{]/.test(text)) return null;
  try {
    const pretty = JSON.stringify(JSON.parse(text), null, 2);
    return pretty === text ? null : pretty;
  } catch {
    return null;
  }
}

/** Return what `textView` needs to fetch a text that the page was sent the beginning of. */
function wholeOf(event, ...at) {
  const cut = (event?.cut || []).find(([path]) => path.length === at.length && path.every((part, i) => part === at[i]));
  if (!cut) return null;
  return { length: cut[1], get: async () => at.reduce((value, key) => value[key], (await api.event(event.seq)).data) };
}

/** Show one of an event's texts. */
function eventText(event, at, options = {}) {
  const value = at.reduce((data, key) => data?.[key], event.data);
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "";
  if (!text) return ""; // also where what was said was left out of the run
  return textView(text, { ...options, whole: wholeOf(event, ...at) });
}

/** Show a label and what it stands for, one under the other on a narrow screen. */
function line(label, ...content) {
  return el("div", { class: "line" }, el("div", { class: "label" }, label), el("div", { class: "value" }, ...content));
}

/** Show a part of a whole as a short bar. */
function meter(part, high = false) {
  return el("span", { class: "meter", "aria-hidden": "true" }, el("i", { class: high ? "high" : "", style: { width: `${Math.min(Math.max(100 * part, 0), 100)}%` } }));
}

function chip(text, kind = "", title = "") {
  return el("span", { class: `chip ${kind}`, ...(title ? { title } : {}) }, text);
}

function pill(status, words = "") {
  return el("span", { class: `pill ${tone(status)}` }, words || status || "waiting");
}
