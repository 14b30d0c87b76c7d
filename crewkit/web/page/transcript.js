// The transcript: one long page of blocks, of which only those around what is seen exist.

const AHEAD = 1200; // pixels beyond the view that are filled
const MOST = 140; // blocks that exist at once

const BLOCKS = {
  run: overviewBlock, task: taskBlock, end: taskEnd, iteration: iterationBlock, fallback: fallbackBlock, turn: turnBlock, tool: toolBlock,
  colleague: colleagueBlock, step: stepBlock,
};

class Transcript {
  /** seen: called with the path of the block that somebody has scrolled to. */
  constructor(run, seen) {
    this.run = run;
    this.seen = seen;
    this.filter = null;
    this.list = el("div", { class: "blocks" });
    this.element = el("div", { class: "transcript", tabindex: "-1", role: "region", "aria-label": "Transcript", on: { scroll: () => this.scrolled() } }, el("h2", { class: "sr" }, "Transcript"), this.list);
    this.first = this.last = 0;
    this.refresh();
  }

  /** Work out which blocks there are: the run or the filter has changed. */
  refresh() {
    this.items = [];
    this.collect(this.run.root, 0);
    this.places = new Map();
    this.items.forEach((item, i) => {
      if (item.part !== "end") this.places.set(item.node.path, i);
    });
  }

  collect(node, depth) {
    if (this.filter && !this.filter.has(node.path) && node.path !== "") return;
    if (this.run.isThread(node)) return;
    const part = this.part(node);
    if (part) this.items.push({ node, part, depth });
    const inner = ["tool", "task", "colleague", "fallback"].includes(part) ? depth + (node.kind === "task" && depth === 0 && !node.path.includes("/") ? 0 : 1) : depth;
    for (const child of node.children) this.collect(child, inner);
    if (part === "task" && this.run.newest(node, "task.finished")) this.items.push({ node, part: "end", depth });
  }

  /** Return what kind of block a node has; none where another tells of it. */
  part(node) {
    switch (node.kind) {
      case "run": case "task": case "iteration": case "fallback": case "tool":
        return node.kind;
      case "turn":
        return this.run.child(node, "model") || node.events.length ? "turn" : "";
      case "model": case "ask": case "inbox": case "summary": case "offer":
        return "";
      case "recall": case "wait":
        return "step";
      default: {
        const up = this.run.node(node.up);
        if (up?.kind === "tool") return this.run.newest(node, "undo.started") ? "step" : "colleague";
        return up?.kind === "turn" && node.children.every((child) => child.kind === "ask") ? "" : node.events.length ? "step" : "";
      }
    }
  }

  /** Return the place of the block that tells of a node. */
  placeOf(path) {
    for (const node of this.run.way(this.run.node(path) || this.run.root).reverse()) {
      if (this.places.has(node.path)) return this.places.get(node.path);
    }
    return 0;
  }

  /** Show a node's block at the top. */
  show(path) {
    const place = this.placeOf(path);
    this.quiet = true;
    clear(this.list);
    this.first = this.last = place;
    this.more(1);
    this.fill();
    const inner = [...this.list.querySelectorAll("[data-path]")].find((each) => each.dataset.path === path);
    const target = inner || this.blockAt(place);
    if (target) {
      const offset = target.getBoundingClientRect().top - this.element.getBoundingClientRect().top;
      this.element.scrollTop += offset - 8;
      this.fill();
      this.element.scrollTop += target.getBoundingClientRect().top - this.element.getBoundingClientRect().top - 8;
    }
    for (const each of this.list.querySelectorAll(".here")) each.classList.remove("here");
    target?.classList.add("here");
    requestAnimationFrame(() => requestAnimationFrame(() => { this.quiet = false; }));
  }

  /** Draw what is drawn anew, staying where one is. */
  redraw() {
    const top = this.topmost();
    const path = top ? top.dataset.key : "";
    const offset = top ? top.getBoundingClientRect().top - this.element.getBoundingClientRect().top : 0;
    const opened = this.element.contains(document.activeElement) && /TEXTAREA|INPUT/.test(document.activeElement.tagName);
    if (opened) return; // never under somebody's hands
    this.refresh();
    const place = Math.max(this.items.findIndex((item) => keyOf(item) === path), 0);
    this.quiet = true;
    clear(this.list);
    this.first = this.last = place;
    this.more(1);
    this.fill();
    const again = this.blockAt(place);
    if (again) this.element.scrollTop += again.getBoundingClientRect().top - this.element.getBoundingClientRect().top - offset;
    this.fill();
    requestAnimationFrame(() => { this.quiet = false; });
  }

  blockAt(place) {
    return this.list.children[place - this.first];
  }

  /** Make one more block at the end (1) or at the beginning (-1); say whether there was one. */
  more(way) {
    if (way > 0 ? this.last >= this.items.length : this.first <= 0) return false;
    const item = this.items[way > 0 ? this.last : this.first - 1];
    const block = this.block(item);
    if (way > 0) {
      this.list.append(block);
      this.last += 1;
    } else {
      const before = this.list.offsetHeight;
      this.list.prepend(block);
      this.element.scrollTop += this.list.offsetHeight - before;
      this.first -= 1;
    }
    return true;
  }

  block({ node, part, depth }) {
    const name = `${part === "end" ? "End of " : ""}${node.path || "the run"}`;
    const block = el("article", { class: `block ${part} ${tone(node.status)}${node.red ? " red" : ""}`, style: { "--depth": Math.min(depth, 6) }, "data-path": part === "end" ? undefined : node.path, "data-key": keyOf({ node, part }), "aria-label": name });
    try {
      block.append(BLOCKS[part](this.run, node));
    } catch (error) {
      // A run written by another version must not take the page down.
      block.append(el("p", { class: "trouble" }, `This step cannot be shown (${error.message}). Its events are under “Events”.`));
    }
    return block;
  }

  fill() {
    const view = this.element;
    let left = 400;
    while (left-- && view.scrollHeight - view.scrollTop - view.clientHeight < AHEAD && this.more(1));
    while (left-- > 0 && view.scrollTop < AHEAD && this.more(-1));
    this.trim();
  }

  /** Drop blocks far from the view. */
  trim() {
    const view = this.element.getBoundingClientRect();
    while (this.last - this.first > MOST) {
      const above = view.top - this.list.firstChild.getBoundingClientRect().bottom;
      const below = this.list.lastChild.getBoundingClientRect().top - view.bottom;
      if (Math.max(above, below) < 2 * AHEAD) return;
      if (above > below) {
        const before = this.list.offsetHeight;
        this.list.firstChild.remove();
        this.element.scrollTop -= before - this.list.offsetHeight;
        this.first += 1;
      } else {
        this.list.lastChild.remove();
        this.last -= 1;
      }
    }
  }

  topmost() {
    const top = this.element.getBoundingClientRect().top + 24;
    return [...this.list.children].find((block) => block.getBoundingClientRect().bottom > top);
  }

  scrolled() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.fill();
      const top = this.topmost();
      if (top && !this.quiet) this.seen(top.dataset.path ?? top.dataset.key.slice(4));
    });
  }

  /** Make all blocks, for the printer; return how many are left out. */
  all(most = 3000) {
    while (this.first > 0 && this.last - this.first < most && this.more(-1));
    while (this.last - this.first < most && this.more(1));
    return this.items.length - (this.last - this.first);
  }
}

function keyOf({ node, part }) {
  return part === "end" ? `end ${node.path}` : node.path;
}
