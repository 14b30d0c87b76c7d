// Making elements. Text from a run only ever becomes a text node: nothing here parses markup.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: attributes by name, `on` for listeners, `style` for properties; then children and texts. */
function el(tag, attributes = {}, ...children) {
  const space = tag === "svg" || attributes.svg ? SVG : "";
  const node = space ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false || name === "svg") continue;
    if (name === "on") for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
    else if (name === "style") for (const [key, each] of Object.entries(value)) node.style.setProperty(key, each);
    else node.setAttribute(name, value === true ? "" : READ.has(name) ? safe(String(value)) : String(value));
  }
  add(node, ...children);
  return node;
}

/** Append elements, and anything else as harmless text; lists are opened, nothing is left out but null and false. */
function add(node, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    node.append(child instanceof Node ? child : safe(String(child)));
  }
  return node;
}

/** Attributes that people see or hear. */
const READ = new Set(["title", "aria-label", "placeholder"]);

/** Put a text in the place of all that an element holds. */
function say(node, text) {
  return add(clear(node), text);
}

function clear(node) {
  node.textContent = "";
  return node;
}

/** Write out whatever would hide itself or turn the text around: controls, direction overrides, blanks that no one sees. */
const UNSAFE =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]|[\u{e0000}-\u{e007f}]/gu;

function safe(text) {
  return text.replace(/\r\n/g, "\n").replace(UNSAFE, escaped);
}

function escaped(char) {
  const code = char.codePointAt(0);
  const digits = (width) => code.toString(16).padStart(width, "0");
  return code < 0x100 ? `\\x${digits(2)}` : code < 0x10000 ? `\\u${digits(4)}` : `\\U${digits(8)}`;
}

// Icons: 16 by 16, drawn with the text's colour.

const ICONS = {
  run: "M3 3h4v4H3zM9 3h4v4H9zM3 9h4v4H3zM9 9h4v4H9z",
  task: "M3 4.5A1.5 1.5 0 0 1 4.5 3h7A1.5 1.5 0 0 1 13 4.5v7a1.5 1.5 0 0 1-1.5 1.5h-7A1.5 1.5 0 0 1 3 11.5zM5.5 8l2 2 3.2-4",
  agent: "M8 8a2.6 2.6 0 1 0 0-5.2A2.6 2.6 0 0 0 8 8zM3 13.4c.5-2.4 2.4-3.7 5-3.7s4.500 1.300 5 3.700",
  turn: "M3 4.200A1.200 1.200 0 0 1 4.200 3h7.600A1.200 1.200 0 0 1 13 4.200v5.100a1.200 1.200 0 0 1-1.200 1.200H7L4.300 13v-2.500h-.1A1.200 1.200 0 0 1 3 9.300z",
  model: "M8 2.500l1.300 3.700 3.700 1.300-3.700 1.300L8 12.500 6.700 8.800 3 7.500l3.700-1.300z",
  tool: "M9.800 3.100a3.200 3.200 0 0 0-2.600 4.300L3.300 11.300a1 1 0 0 0 1.400 1.400l3.900-3.900a3.200 3.200 0 0 0 4.300-2.600L11.200 7.800 9 7 8.200 4.800z",
  memory: "M3 4.500C3 3.700 5.200 3 8 3s5 .7 5 1.500S10.800 6 8 6 3 5.300 3 4.500zM3 4.500v7C3 12.300 5.200 13 8 13s5-.7 5-1.500v-7M3 8c0 .8 2.200 1.500 5 1.500S13 8.800 13 8",
  ask: "M8 13.500a5.500 5.500 0 1 0 0-11 5.500 5.500 0 0 0 0 11zM6.300 6.400a1.700 1.700 0 1 1 2.600 1.400c-.6.4-.9.7-.9 1.400M8 11.200v.1",
  check: "M8 2.500l4.500 1.700v3.600c0 2.700-1.800 4.800-4.500 5.700-2.700-.9-4.500-3-4.500-5.700V4.200z",
  iteration: "M12.500 8a4.500 4.500 0 1 1-1.400-3.200M12.500 2.800v2.400h-2.400",
  fallback: "M4 13V6.500A2.500 2.500 0 0 1 6.500 4H12M9.500 1.500L12 4 9.500 6.500",
  wait: "M8 13.500a5.500 5.500 0 1 0 0-11 5.500 5.500 0 0 0 0 11zM8 5v3.200l2 1.300",
  summary: "M3 4h10M3 8h7M3 12h4M12.500 9v4M10.800 11.300l1.700 1.700 1.700-1.700",
  conflict: "M3 4l4 4-4 4M13 4L9 8l4 4",
  breaker: "M2.500 8H6M10 8h3.500M6 8l3.600-3M6 8a.1.1 0 1 0 0-.1M10 8a.1.1 0 1 0 0-.1",
  crew: "M3 3h10v10H3zM3 8h10M8 3v10",
  search: "M7 11.500a4.500 4.500 0 1 0 0-9 4.500 4.500 0 0 0 0 9zM10.300 10.300l3.200 3.200",
  theme: "M8 13.500a5.500 5.500 0 1 0 0-11zM8 2.500a5.500 5.500 0 0 0 0 11",
  help: "M5.800 6.200a2.200 2.200 0 1 1 3.300 1.900c-.7.4-1.100.9-1.100 1.700M8 12.500v.1",
  link: "M6.700 9.300l2.600-2.600M7.300 4.700l1-1a2.600 2.600 0 0 1 3.700 3.700l-1 1M8.700 11.300l-1 1A2.600 2.600 0 0 1 4 8.600l1-1",
  copy: "M6 6h7v7H6zM3 10V3h7",
  left: "M10 3.500L5.500 8l4.500 4.500",
  down: "M3.500 6L8 10.500 12.500 6",
  right: "M6 3.500L10.500 8 6 12.500",
};

function icon(name, label = "") {
  const attributes = { viewBox: "0 0 16 16", class: "icon", ...(label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" }) };
  return el("svg", attributes, el("path", { svg: true, d: ICONS[name] || ICONS.task }));
}

// Figures.

const number = (value) => Math.round(value).toLocaleString("en-US");
const short = (value) =>
  value < 1000 ? String(Math.round(value)) : value < 999950 ? `${trim(value / 1000)}k` : `${trim(value / 1e6)}M`;
const trim = (value) => (value < 10 ? value.toFixed(1).replace(/\.0$/, "") : Math.round(value).toString());
const count = (many, word, words = `${word}s`) => `${number(many)} ${many === 1 ? word : words}`;
const percent = (part) => `${(100 * part).toFixed(part > 0 && part < 0.1 ? 1 : 0)} %`;

function money(usd, unpriced = 0) {
  if (unpriced && !usd) return "unknown";
  const digits = usd >= 100 ? 0 : usd >= 1 ? 2 : usd >= 0.01 ? 3 : 4;
  return `$${usd.toFixed(usd ? digits : 0).replace(/(\.\d\d)0+$/, "$1")}${unpriced ? " +?" : ""}`;
}

function duration(seconds) {
  if (seconds < 0.0005) return "0 s";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

const pad = (value) => String(value).padStart(2, "0");

function clock(ts, day = false) {
  const moment = new Date(ts);
  if (Number.isNaN(moment.getTime())) return ts || "";
  const time = `${pad(moment.getHours())}:${pad(moment.getMinutes())}:${pad(moment.getSeconds())}`;
  if (!day) return time;
  return `${moment.getFullYear()}-${pad(moment.getMonth() + 1)}-${pad(moment.getDate())} ${time}`;
}

/** Put a text on one line, not longer than this. */
function oneLine(text, longest = 160) {
  const line = String(text).slice(0, longest * 4).replace(/\s+/g, " ").trim();
  return line.length > longest ? `${line.slice(0, longest - 1)}…` : line;
}

function json(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Write a call as people write one: search(query="x", limit=5). */
function callText(tool, args, longest = Infinity) {
  const given = parsed(args);
  const inside =
    given && typeof given === "object" && !Array.isArray(given)
      ? Object.entries(given).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(", ")
      : given === undefined || given === null || given === "" ? "" : json(given);
  const text = `${tool}(${inside})`;
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}

/** Read arguments, which a model writes as JSON text; what is no JSON stays as it is. */
function parsed(args) {
  if (typeof args !== "string") return args;
  try {
    return JSON.parse(args);
  } catch {
    return args;
  }
}
