// The outline beside the timeline: one row for each node, drawn only where it can be seen.

const ROW = 30;

class Outline {
  /** chosen: called with the path of a row that somebody went to. */
  constructor(run, chosen) {
    this.run = run;
    this.chosen = chosen;
    this.closed = new Set();
    this.selected = "";
    this.filter = null; // null, or the set of paths that match
    this.zoom = null; // null, or [from, to] in seconds
    this.body = el("div", { class: "rows" });
    this.ground = el("div", { class: "ground" });
    this.axis = el("div", { class: "axis" });
    this.tree = el("div", {
      class: "tree", role: "treegrid", tabindex: "0", "aria-label": "Outline and timeline of the run", "aria-readonly": "true",
      on: { keydown: (event) => this.key(event), scroll: () => this.draw() },
    }, this.ground, this.body);
    this.element = el("section", { class: "outline", "aria-label": "Outline" },
      el("div", { class: "columns", "aria-hidden": "true" },
        el("span", { class: "c-name" }, "step"), el("span", { class: "c-tokens" }, "tokens"),
        el("span", { class: "c-cost" }, "cost"), el("span", { class: "c-time" }, "time"), this.axis),
      this.tree);
    new ResizeObserver(() => this.resized()).observe(this.tree);
    this.closeAtFirst();
    this.refresh();
  }

  /** Of a large run, only tasks are open at first; what is on the way to a failure is open too. */
  closeAtFirst() {
    if (this.run.nodes.size < 400) return;
    for (const node of this.run.nodes.values()) {
      if (node.kind === "task" && node.children.length && !node.red && !node.children.some((child) => child.kind === "task")) this.closed.add(node.path);
    }
  }

  /** Work the rows out anew: the run, the filter, or what is open has changed. */
  refresh() {
    this.rows = [];
    this.collect(this.run.root, 0);
    this.places = new Map(this.rows.map((row, i) => [row.node.path, i]));
    this.body.style.height = `${this.rows.length * ROW}px`;
    this.tree.setAttribute("aria-rowcount", this.rows.length);
    this.resized();
  }

  collect(node, level) {
    const children = this.childrenOf(node);
    if (this.filter && !this.filter.has(node.path) && node.path !== "") return;
    const shown = this.filter ? children.filter((child) => this.filter.has(child.path)) : children;
    const open = this.filter ? true : !this.closed.has(node.path);
    this.rows.push({ node, level, parent: shown.length > 0, open });
    if (open) for (const child of shown) this.collect(child, level + 1);
  }

  /** Return a node's children as the outline has them: without what its row tells already. */
  childrenOf(node) {
    return node.children.flatMap((child) => {
      if (child.kind === "model") return child.status === "completed" && child.bars.length < 2 ? [] : [child];
      if (child.kind === "turn" && !this.run.child(child, "model") && !child.events.length) return this.childrenOf(child);
      if (this.run.isThread(child)) return [];
      if (child.kind === "step" && child.children.length === 0) {
        const { verdict } = this.run.data(child, "guardrail.checked", "condition.checked");
        if (verdict === "allow") return [];
      }
      return [child];
    });
  }

  resized() {
    this.room = Math.max(this.axis.clientWidth, 40);
    const { time } = this.run.head;
    this.scale = this.zoom ? new Scale(time, ...this.zoom) : new Scale(time);
    const axis = drawAxis(this.run, this.scale, this.room);
    this.axis.replaceWith(axis);
    this.axis = axis;
    const ground = drawGround(this.run, this.scale, this.room);
    ground.style.height = `${this.rows.length * ROW}px`;
    this.ground.replaceWith(ground);
    this.ground = ground;
    this.draw(true);
  }

  draw(anew = false) {
    const first = Math.max(Math.floor(this.tree.scrollTop / ROW) - 8, 0);
    const last = Math.min(first + Math.ceil((this.tree.clientHeight || 900) / ROW) + 16, this.rows.length);
    if (!anew && this.first === first && this.last === last) return;
    [this.first, this.last] = [first, last];
    clear(this.body);
    for (let i = first; i < last; i++) this.body.append(this.row(i));
    this.mark();
  }

  row(i) {
    const { node, level, parent, open } = this.rows[i];
    const { icon: sign, name, verb, aside } = told(this.run, node);
    const [input = 0, output = 0, usd = 0, unpriced = 0, steps = 0] = node.used || [];
    const seconds = this.run.seconds(node);
    const flag = tone(node.status);
    const figures = [input + output ? `${short(input + output)} tokens` : "", steps || usd ? money(usd, unpriced) : "", node.bars.length ? duration(seconds) : "", node.red ? "on the way to what failed" : ""].filter(Boolean).join(", ");
    const label = [node.kind === "turn" ? `turn ${name}` : name, verb, oneLine(aside || "", 240), `${node.status}.`, figures].filter(Boolean).join(" ");
    return el("div", {
      class: `row ${node.kind} ${flag}${node.red ? " red" : ""}`, role: "row", id: `row-${i}`, "aria-level": level + 1, "aria-rowindex": i + 1,
      "aria-label": oneLine(label, 400), ...(parent ? { "aria-expanded": String(open) } : {}),
      style: { top: `${i * ROW}px`, "--level": level },
      on: { click: () => this.choose(node.path), dblclick: () => this.toggle(node.path) },
    },
      el("span", { class: "c-name", role: "gridcell" },
        el("button", { class: "twist", tabindex: "-1", "aria-hidden": "true", ...(parent ? {} : { disabled: true }),
          on: { click: (event) => { event.stopPropagation(); this.toggle(node.path); } } }, parent ? icon(open ? "down" : "right") : ""),
        el("span", { class: `sign ${flag}` }, icon(sign)),
        el("span", { class: "name" }, node.kind === "turn" ? el("span", { class: "no" }, name) : name, verb ? ` ${verb}` : ""),
        el("span", { class: "aside" }, oneLine(aside || "", 120)),
        node.bad && node.kind !== "tool" && node.kind !== "model" ? el("span", { class: "badge", title: `${node.bad} calls below came to nothing` }, node.bad) : ""),
      el("span", { class: "c-tokens", role: "gridcell" }, input + output ? short(input + output) : ""),
      el("span", { class: "c-cost", role: "gridcell" }, steps || usd ? money(usd, unpriced) : ""),
      el("span", { class: "c-time", role: "gridcell" }, node.bars.length ? duration(seconds) : ""),
      el("span", { class: "c-line", role: "gridcell", "aria-hidden": "true" }, drawBars(this.run, node, this.scale)));
  }

  mark() {
    const place = this.places.get(this.selected);
    for (const row of this.body.children) row.setAttribute("aria-selected", String(row.id === `row-${place}`));
    if (place === undefined) this.tree.removeAttribute("aria-activedescendant");
    else this.tree.setAttribute("aria-activedescendant", `row-${place}`);
  }

  /** Show which row is selected, opening what is around it; without telling anybody. */
  select(path) {
    const way = this.run.way(this.run.node(path) || this.run.root);
    const closed = way.slice(0, -1).filter((node) => this.closed.delete(node.path));
    if (closed.length) this.refresh();
    // What has no row of its own is told by the nearest one around it.
    this.selected = [...way].reverse().find((node) => this.places.has(node.path))?.path ?? "";
    this.reveal();
    this.mark();
  }

  reveal() {
    const place = this.places.get(this.selected);
    if (place === undefined) return;
    const top = place * ROW;
    const { scrollTop, clientHeight } = this.tree;
    if (top < scrollTop) this.tree.scrollTop = top - ROW;
    else if (top + ROW > scrollTop + clientHeight) this.tree.scrollTop = top + 2 * ROW - clientHeight;
    this.draw();
  }

  choose(path) {
    this.select(path);
    this.chosen(this.selected);
  }

  toggle(path) {
    if (this.filter) return;
    if (!this.closed.delete(path)) this.closed.add(path);
    this.refresh();
  }

  /** Open all, or close all that holds steps. */
  toggleAll() {
    if (this.closed.size) this.closed.clear();
    else for (const { node, parent } of this.rows) if (parent && node.path !== "") this.closed.add(node.path);
    this.refresh();
  }

  key(event) {
    const place = this.places.get(this.selected) ?? -1;
    const row = this.rows[place];
    const go = (to) => this.rows[to] && this.choose(this.rows[to].node.path);
    const page = Math.max(Math.floor(this.tree.clientHeight / ROW) - 1, 1);
    const actions = {
      ArrowDown: () => go(Math.min(place + 1, this.rows.length - 1)),
      j: () => go(Math.min(place + 1, this.rows.length - 1)),
      ArrowUp: () => go(Math.max(place - 1, 0)),
      k: () => go(Math.max(place - 1, 0)),
      PageDown: () => go(Math.min(place + page, this.rows.length - 1)),
      PageUp: () => go(Math.max(place - page, 0)),
      Home: () => go(0),
      End: () => go(this.rows.length - 1),
      ArrowRight: () => (row?.parent && !row.open ? this.toggle(this.selected) : go(place + 1)),
      ArrowLeft: () => {
        if (row?.parent && row.open && this.selected !== "") this.toggle(this.selected);
        else if (row) this.choose(row.node.up || "");
      },
      "*": () => this.toggleAll(),
    };
    const action = !event.ctrlKey && !event.metaKey && !event.altKey && actions[event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }
}
