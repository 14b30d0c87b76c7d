// One clock for the whole run. Long stretches in which nothing was under way are folded; the rest is to scale.

const FOLD = 0.05; // of the width, each
const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];

class Scale {
  constructor(time, from = 0, to = time.end) {
    this.from = from;
    this.to = Math.max(to, from + 1e-6);
    this.folds = time.folds.filter(([start, end]) => end > this.from && start < this.to);
    this.fold = Math.min(FOLD, 0.35 / Math.max(this.folds.length, 1));
    const folded = this.folds.reduce((sum, [start, end]) => sum + Math.min(end, this.to) - Math.max(start, this.from), 0);
    this.perSecond = (1 - this.fold * this.folds.length) / Math.max(this.to - this.from - folded, 1e-6);
  }

  /** Return the place of a second, from 0 at the left to 1 at the right; outside of it beyond. */
  at(seconds) {
    let place = 0;
    let now = this.from;
    for (const [start, end] of this.folds) {
      const left = Math.max(start, this.from);
      const right = Math.min(end, this.to);
      if (seconds <= left) break;
      place += (left - now) * this.perSecond;
      if (seconds < right) return place + ((seconds - left) / (right - left)) * this.fold;
      place += this.fold;
      now = right;
    }
    return place + (seconds - now) * this.perSecond;
  }

  /** Return the marks of the axis: places with a label each. */
  ticks(room) {
    const wanted = Math.max(Math.floor(room / 72), 2);
    const busy = 1 / this.perSecond;
    const step = STEPS.find((each) => busy / each <= wanted) || Math.ceil(busy / wanted / 86400) * 86400;
    const marks = [];
    let last = -1;
    for (let at = Math.ceil(this.from / step) * step; at <= this.to && marks.length < 200; at = next(at, step, this.folds)) {
      const place = this.at(at);
      if ((place - last) * room > 44 && place * room < room - 20) marks.push([(last = place), tickLabel(at, step)]);
    }
    return marks;
  }
}

/** Return the next mark of the axis; those inside a fold are passed over. */
function next(at, step, folds) {
  const after = at + step;
  const fold = folds.find(([start, end]) => after > start && after < end);
  return fold ? Math.ceil(fold[1] / step) * step : after;
}

function tickLabel(seconds, step) {
  if (seconds < 1 && step < 0.1) return seconds < step / 2 ? "0" : `${Math.round(seconds * 1000)} ms`;
  if (step < 1) return `${seconds.toFixed(step < 0.01 ? 3 : step < 0.1 ? 2 : 1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${pad(Math.round(seconds % 60))}`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${pad(Math.round((seconds % 3600) / 60))}`;
  return `${Math.floor(seconds / 86400)} d ${Math.round((seconds % 86400) / 3600)} h`;
}

const SAID = {
  work: "at work", running: "running", failed: "failed", interrupted: "interrupted", retry: "waiting to try again",
  wait: "waiting", pause: "no process had the run in hand",
};

/** Draw a node's bars into a row of the timeline. */
function drawBars(run, node, scale) {
  const track = el("div", { class: "track" });
  for (const [start, end, kind, flavour] of shownBars(run, node)) {
    const left = Math.max(scale.at(start), 0);
    const right = Math.min(scale.at(end), 1);
    if (right < 0 || left > 1) continue;
    const title = `${SAID[kind]}: ${duration(end - start)}, from ${duration(start)} on`;
    const style = { left: `${left * 100}%`, width: `${Math.max(right - left, 0) * 100}%` };
    track.append(el("div", { class: `bar ${kind} ${flavour}`, style, title }));
  }
  return track;
}

const LEAVES = new Set(["model", "summary", "tool", "ask", "wait"]);

/** Return a node's bars with what they are of: a turn shows its model call too, and any step how long a person was asked. */
function shownBars(run, node) {
  const own = (each) => each.bars.map((bar) => [...bar, LEAVES.has(each.kind) ? each.kind : "whole"]);
  const inner = node.kind === "turn" ? ["model", "summary", "ask"] : node.kind === "tool" ? ["ask"] : [];
  return [...own(node), ...node.children.filter((child) => inner.includes(child.kind)).flatMap(own)];
}

/** Draw what all rows share: marks, folds, and where a process took the run up again. */
function drawGround(run, scale, room) {
  const ground = el("div", { class: "ground", "aria-hidden": "true" });
  for (const [place] of scale.ticks(room)) ground.append(el("i", { class: "mark", style: { left: `${place * 100}%` } }));
  for (const [start, end] of scale.folds) {
    const left = Math.max(scale.at(start), 0);
    ground.append(el("i", { class: "fold", style: { left: `${left * 100}%`, width: `${Math.max(Math.min(scale.at(end), 1) - left, 0) * 100}%` } }));
  }
  for (const [, start] of run.head.time.segments.slice(1)) {
    const place = scale.at(start);
    if (place > 0 && place < 1) ground.append(el("i", { class: "resumed", style: { left: `${place * 100}%` } }));
  }
  return ground;
}

function drawAxis(run, scale, room) {
  const axis = el("div", { class: "axis", "aria-hidden": "true" });
  for (const [place, label] of scale.ticks(room)) axis.append(el("span", { style: { left: `${place * 100}%` } }, label));
  for (const [start, end] of scale.folds) {
    const middle = (Math.max(scale.at(start), 0) + Math.min(scale.at(end), 1)) / 2;
    const label = duration(end - start);
    axis.append(el("span", { class: "folded", style: { left: `${middle * 100}%` }, title: `${label} in which nothing was under way, folded` }, "⋯"));
  }
  for (const [seg, start] of run.head.time.segments.slice(1)) {
    const place = scale.at(start);
    if (place > 0 && place < 1) axis.append(el("b", { style: { left: `${place * 100}%` }, title: `resumed by process ${seg}` }, "▸"));
  }
  return axis;
}
