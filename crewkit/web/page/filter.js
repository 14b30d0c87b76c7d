// Search and filters: which steps match, with what is around them.

class Filter {
  /** changed: called with the paths that are shown (null: all) and a test for events (null: all). */
  constructor(run, changed) {
    this.run = run;
    this.changed = changed;
    this.matches = [];
    this.input = el("input", { type: "search", placeholder: "Search", "aria-label": "Search all that was said, called and returned", on: { input: () => this.soon(), keydown: (event) => this.key(event) } });
    this.selects = Object.fromEntries(["task", "agent", "tool", "type"].map((name) => [name, el("select", { "aria-label": `Only this ${name}`, on: { change: () => this.apply() } })]));
    this.errors = el("button", { type: "button", class: "toggle", "aria-pressed": "false", on: { click: () => this.toggleErrors() } }, "errors");
    this.said = el("span", { class: "matches", role: "status" });
    this.clearing = button("Clear", () => this.reset(), { hidden: true });
    this.element = el("div", { class: "filter", role: "search" }, el("label", { class: "find" }, icon("search"), this.input), Object.values(this.selects), this.errors, this.said, this.clearing);
    this.names();
  }

  names() {
    const { agents, tools, types, tasks } = this.run.names();
    for (const [name, values] of Object.entries({ agent: agents, tool: tools, type: types, task: tasks })) {
      const select = this.selects[name];
      const chosen = select.value;
      clear(select).append(el("option", { value: "" }, `all ${name}s`), ...values.map((value) => el("option", { value }, oneLine(value, 40))));
      select.value = chosen;
      select.hidden = values.length < 2;
    }
  }

  get wanted() {
    const { task, agent, tool, type } = this.selects;
    return { text: this.input.value.trim().toLowerCase(), task: task.value, agent: agent.value, tool: tool.value, type: type.value, errors: this.errors.getAttribute("aria-pressed") === "true" };
  }

  toggleErrors() {
    this.errors.setAttribute("aria-pressed", String(!this.wanted.errors));
    this.apply();
  }

  reset() {
    this.input.value = "";
    for (const select of Object.values(this.selects)) select.value = "";
    this.errors.setAttribute("aria-pressed", "false");
    this.apply();
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.apply(), 180);
  }

  apply() {
    clearTimeout(this.timer);
    const wanted = this.wanted;
    const active = Object.values(wanted).some(Boolean);
    searched = wanted.text;
    this.clearing.hidden = !active;
    this.matches = [];
    this.at = -1;
    if (!active) {
      this.said.textContent = "";
      this.changed(null, null);
      return;
    }
    const test = (event) => this.event(event, wanted);
    const shown = new Set();
    for (const node of this.run.walk()) {
      if (node.path === "" || !this.node(node, wanted, test)) continue;
      this.matches.push(node.path);
      for (const each of this.run.way(node)) shown.add(each.path);
    }
    this.said.textContent = this.matches.length ? count(this.matches.length, "step") : "nothing found";
    this.changed(shown, test);
  }

  node(node, wanted, test) {
    if (wanted.errors && !this.bad(node)) return false;
    if (!wanted.text && !wanted.task && !wanted.agent && !wanted.tool && !wanted.type) return true;
    return this.run.own(node).some(test);
  }

  bad(node) {
    if (BAD.has(node.status) || node.status === "interrupted") return true;
    const { verdict } = this.run.data(node, "guardrail.checked", "condition.checked");
    return verdict !== undefined && verdict !== "allow";
  }

  event(event, wanted) {
    if (wanted.type && event.type !== wanted.type) return false;
    if (wanted.agent && event.agent !== wanted.agent) return false;
    if (wanted.task && event.task !== wanted.task && !(event.task || "").startsWith(`${wanted.task}/`)) return false;
    if (wanted.tool && event.data.tool !== wanted.tool) return false;
    return !wanted.text || holds(event.data, wanted.text) || (event.path || "").toLowerCase().includes(wanted.text);
  }

  /** Return the next step that matches, going round. */
  next(way = 1) {
    if (!this.matches.length) return undefined;
    this.at = (this.at + way + this.matches.length) % this.matches.length;
    this.said.textContent = `${number(this.at + 1)} of ${count(this.matches.length, "step")}`;
    return this.matches[this.at];
  }

  key(event) {
    if (event.key === "Enter") {
      event.preventDefault();
      if (this.timer) this.apply();
      const path = this.next(event.shiftKey ? -1 : 1);
      if (path !== undefined) location.hash = hashOf(path);
    } else if (event.key === "Escape") {
      this.reset();
      this.input.blur();
    }
    event.stopPropagation();
  }
}

/** What is searched for at the moment, in small letters. */
let searched = "";

function holds(value, text) {
  if (typeof value === "string") return value.toLowerCase().includes(text);
  if (typeof value === "number") return String(value).includes(text);
  if (!value || typeof value !== "object") return false;
  for (const each of Object.values(value)) if (holds(each, text)) return true;
  return false;
}

/** Mark what is searched for in what is drawn, without touching the elements. */
function highlight(root) {
  if (!window.CSS?.highlights) return;
  CSS.highlights.delete("found");
  if (searched.length < 2) return;
  const ranges = [];
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (texts.nextNode() && ranges.length < 2000) {
    const text = texts.currentNode.data.toLowerCase();
    for (let at = text.indexOf(searched); at >= 0 && ranges.length < 2000; at = text.indexOf(searched, at + searched.length)) {
      const range = new Range();
      range.setStart(texts.currentNode, at);
      range.setEnd(texts.currentNode, Math.min(at + searched.length, texts.currentNode.data.length));
      ranges.push(range);
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
}
