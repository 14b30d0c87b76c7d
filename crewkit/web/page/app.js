// The page of one run, put together; and what is shown at which address.

function hashOf(path) {
  return `#/${encodeURIComponent(path).replace(/%2F/g, "/").replace(/%3A/g, ":")}`;
}

function stepLink(run, path, text) {
  return el("a", { class: "step-link", href: hashOf(path) }, text);
}

function labelled(label, content, aside = "") {
  return el("div", { class: "message" }, el("span", { class: "label" }, label, aside ? el("span", { class: "aside" }, ` ${aside}`) : ""), content);
}

const VIEWS = [["transcript", "Transcript"], ["messages", "Messages"], ["events", "Events"]];

class Page {
  constructor(data) {
    this.run = new Run(data);
    this.view = "transcript";
    this.header = el("header", { class: "run-head" });
    this.filter = new Filter(this.run, (paths, test) => this.narrowed(paths, test));
    this.outline = new Outline(this.run, (path) => this.go(path));
    this.transcript = new Transcript(this.run, (path) => this.passed(path));
    this.tabs = el("div", { class: "tabs", role: "tablist", "aria-label": "Views", on: { keydown: (event) => this.turn(event) } });
    this.pane = el("div", { class: "pane" });
    this.split = splitter();
    this.live = el("span", { class: "sr", "aria-live": "polite" });
    this.element = el("main", { class: "page", "data-side": "reading" }, this.header, el("div", { class: "bar-row" }, this.filter.element, this.sides(), this.buttons()),
      el("div", { class: "panes" }, this.outline.element, this.split, el("section", { class: "reading" }, this.tabs, this.pane)), this.live);
    this.drawHeader();
    this.show("transcript");
    window.addEventListener("hashchange", () => this.follow());
    window.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("beforeprint", () => this.beforePrint());
    if (api.served) api.follow(api.run, this.run.head.last, (news) => this.news(news), (lost) => this.element.classList.toggle("lost", lost));
  }

  /** Go where the address says; at first, to what failed or waits. */
  start() {
    this.transcript.show("");
    if (location.hash.length > 1) this.follow();
    this.outline.select(this.at || "");
  }

  // What is shown

  follow() {
    const hash = decodeURIComponent(location.hash.slice(1));
    if (hash.startsWith("/")) {
      const path = hash.slice(1);
      if (!this.run.node(path)) return;
      this.show("transcript");
      this.at = path;
      this.transcript.show(path);
      this.outline.select(path);
      highlight(this.pane);
      const node = this.run.node(path);
      say(this.live, `${told(this.run, node).name} ${node.status}`);
    } else if (VIEWS.some(([view]) => view === hash)) this.show(hash);
  }

  go(path) {
    if (location.hash === hashOf(path)) this.follow();
    else location.hash = hashOf(path);
  }

  /** Somebody scrolled to a block: the outline follows, the address too, without a new place in the history. */
  passed(path) {
    this.at = path;
    this.outline.select(path);
    history.replaceState(null, "", hashOf(path));
    highlight(this.pane);
  }

  show(view) {
    const panels = { transcript: () => this.transcript, messages: () => ({ element: messagesPanel(this.run) }), events: () => (this.events ||= this.makeEvents()) };
    this.view = view;
    const focused = this.tabs.contains(document.activeElement);
    clear(this.tabs).append(...VIEWS.map(([name, label]) => el("a", { role: "tab", href: name === "transcript" ? hashOf(this.at || "") : `#${name}`, "aria-selected": String(name === view), id: `tab-${name}` }, label, this.badge(name))));
    if (focused) this.tabs.querySelector(`#tab-${view}`).focus();
    const { element } = panels[view]();
    this.pane.setAttribute("role", "tabpanel");
    this.pane.setAttribute("aria-labelledby", `tab-${view}`);
    if (this.pane.firstChild !== element) clear(this.pane).append(element);
    if (view === "events") this.events.draw(true);
    if (view !== "transcript") this.element.dataset.side = "reading";
  }

  /** The arrow keys go from tab to tab. */
  turn(event) {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    const at = (VIEWS.findIndex(([name]) => name === this.view) + way + VIEWS.length) % VIEWS.length;
    this.tabs.children[at].click();
  }

  badge(view) {
    const many = view === "messages" ? this.run.threads.length : view === "events" ? this.run.events.size : 0;
    return many ? el("span", { class: "badge" }, short(many)) : "";
  }

  makeEvents() {
    const events = new Events(this.run);
    events.filter = this.test;
    events.refresh();
    return events;
  }

  narrowed(paths, test) {
    this.test = test;
    this.outline.filter = this.transcript.filter = paths;
    this.outline.refresh();
    this.transcript.refresh();
    this.transcript.show(this.filter.matches[0] ?? this.at ?? "");
    if (this.events) {
      this.events.filter = test;
      this.events.refresh();
    }
    highlight(this.pane);
  }

  // The header

  drawHeader() {
    const { head } = this.run;
    const { used, time } = head;
    const tasks = tasksOf(this.run);
    const done = tasks.filter((task) => task.status === "completed").length;
    const failed = tasks.filter((task) => ["failed", "denied"].includes(task.status)).length;
    const skipped = tasks.filter((task) => task.status === "skipped").length;
    const calls = Object.values(used.tools).reduce((sum, many) => sum + many, 0);
    const bad = calls - (used.tools.ok || 0);
    const waited = this.waited();
    const limits = head.beginning.limits || {};
    clear(this.header).append(
      el("div", { class: "title" },
        api.served ? el("a", { class: "back", href: "/" }, icon("left"), "Runs") : "",
        el("h1", {}, head.crew), el("code", { class: "id" }, head.run), pill(head.status), dropped(this.run) ? chip("without content", "", "Texts, arguments, inputs and outputs were left out") : "", el("span", { class: "lost-note" }, "crewkit view has ended"), themeButton(), helpButton()),
      this.banner(),
      el("dl", { class: "stats" },
        stat("tasks", `${done} of ${tasks.length}`, [failed ? `${failed} failed` : "", skipped ? `${skipped} skipped` : ""].filter(Boolean).join(", ") || "completed"),
        stat("duration", duration(time.end), `${duration(used.seconds)} of work${waited ? `, ${duration(waited)} for people` : ""}`),
        stat("tokens", number(used.in + used.out), `${number(used.in)} in, ${number(used.out)} out${used.cached ? `, ${percent(used.cached / Math.max(used.in, 1))} cached` : ""}`, limits.tokens && (used.in + used.out) / limits.tokens, limits.tokens && `of ${number(limits.tokens)} tokens`),
        stat("cost", money(used.usd, used.unpriced), used.unpriced ? `${count(used.unpriced, "call")} of unknown price` : limits.usd ? `of ${money(limits.usd)}` : `${money(used.steps ? used.usd / used.steps : 0)} a step`, limits.usd && used.usd / limits.usd, limits.usd && `of ${money(limits.usd)}`),
        stat("steps", number(used.steps), count(calls, "tool call") + (bad ? `, ${bad} not ok` : ""))));
    document.title = safe(`${head.crew} ${head.run} · ${head.status}`);
  }

  waited() {
    return [...this.run.nodes.values()].filter((node) => node.kind === "ask").reduce((sum, node) => sum + this.run.seconds(node), 0);
  }

  /** Say why the run ended or stands, where that is no success, and lead to it. */
  banner() {
    const { head } = this.run;
    const questions = [...this.run.nodes.values()].filter((node) => node.kind === "ask" && node.status === "waiting");
    const red = this.failure();
    if (questions.length && ["paused", "running", "interrupted"].includes(head.status)) {
      return el("p", { class: "banner warn" }, icon("ask"), `${count(questions.length, "question")} for a person: `, questions.slice(0, 3).map((node) => [stepLink(this.run, node.path, this.run.data(node, "approval.requested").question || node.path), " "]));
    }
    if (head.status === "interrupted") return el("p", { class: "banner warn" }, "Its process died, or was killed, without a word. It can be resumed: ", el("code", {}, `crewkit resume ${head.run}`));
    if (head.status === "running") return "";
    const good = head.status === "completed";
    if (good && !red) return "";
    return el("p", { class: `banner ${good ? "mute" : tone(head.status) === "ok" ? "warn" : tone(head.status)}` }, head.why || `It is ${head.status}.`, red ? [" ", el("a", { href: hashOf(red.path) }, "Go to what failed")] : "");
  }

  /** Return the node at the end of a red path, the first one. */
  failure() {
    return this.failures()[0];
  }

  failures() {
    return [...this.run.walk()].filter((node) => node.red && !node.children.some((child) => child.red));
  }

  // Live

  news(data) {
    const followed = this.nearEnd();
    this.run.merge(data);
    this.drawHeader();
    this.filter.names();
    if (this.outline.filter) this.filter.apply();
    this.outline.refresh();
    if (this.view === "transcript") this.transcript.redraw();
    else this.transcript.refresh();
    if (this.view === "messages") this.show("messages");
    this.events?.refresh();
    if (followed) this.transcript.element.scrollTop = this.transcript.element.scrollHeight;
    const last = data.events.at(-1);
    if (last && (last.type.startsWith("task.") || last.type.startsWith("run.") || last.type === "approval.requested")) say(this.live, `${last.task || "run"} ${last.type.split(".")[1]}`);
  }

  nearEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.transcript.element;
    return this.run.head.status === "running" && this.transcript.last === this.transcript.items.length && scrollTop > 0 && scrollHeight - scrollTop - clientHeight < 40;
  }

  // Hands

  buttons() {
    return el("div", { class: "tools" },
      button("Open or close all", () => this.outline.toggleAll(), { title: "Open or close all rows of the outline (*)" }),
      button("Zoom", () => this.zoom(), { title: "Stretch the timeline to the selected step, and back (z)" }));
  }

  /** On a narrow screen one side is seen at a time. */
  sides() {
    const tabs = [["outline", "Outline"], ["reading", "Transcript"]].map(([side, label]) => button(label, () => {
      this.element.dataset.side = side;
      this.outline.resized();
    }, { class: `side to-${side}` }));
    return el("div", { class: "side-tabs", role: "group", "aria-label": "Side" }, tabs);
  }

  zoom() {
    const node = this.run.node(this.outline.selected);
    const span = node && this.run.span(node);
    this.outline.zoom = this.outline.zoom || !span || node.path === "" ? null : [Math.max(span[0] - 0.02 * (span[1] - span[0]), 0), span[1] + 0.02 * (span[1] - span[0])];
    this.outline.resized();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || /INPUT|TEXTAREA|SELECT/.test(event.target.tagName) || document.querySelector("dialog[open]")) return;
    const failures = () => this.failures().map((node) => node.path);
    const step = (paths, way) => {
      if (!paths.length) return;
      const at = paths.indexOf(this.at);
      this.go(paths[(at + way + paths.length) % paths.length] ?? paths[0]);
    };
    const tasks = () => this.outline.rows.map((row) => row.node).filter((node) => node.kind === "task").map((node) => node.path);
    const actions = {
      "/": () => this.filter.input.focus(), e: () => step(failures(), 1), E: () => step(failures(), -1),
      n: () => { const path = this.filter.next(1); if (path !== undefined) this.go(path); }, N: () => { const path = this.filter.next(-1); if (path !== undefined) this.go(path); },
      "]": () => step(tasks(), 1), "[": () => step(tasks(), -1), o: () => this.outline.tree.focus(), r: () => this.transcript.element.focus(),
      1: () => this.show("transcript"), 2: () => { location.hash = "#messages"; }, 3: () => { location.hash = "#events"; },
      z: () => this.zoom(), "?": help, Escape: () => this.filter.reset(),
      j: () => this.outline.key(event), k: () => this.outline.key(event), "*": () => this.outline.toggleAll(),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }

  beforePrint() {
    if (this.view !== "transcript") return;
    const left = this.transcript.all();
    this.transcript.list.dataset.left = left ? `${number(left)} more blocks were left out of this print` : "";
  }
}

/** Make the bar between the two sides, which the mouse and the arrow keys move. */
function splitter() {
  const bar = el("div", { class: "splitter", role: "separator", tabindex: "0", "aria-orientation": "vertical", "aria-label": "Width of the outline", "aria-valuemin": 25, "aria-valuemax": 75, "aria-valuenow": 50 });
  const set = (percentage) => {
    const value = Math.min(Math.max(percentage, 25), 75);
    bar.setAttribute("aria-valuenow", Math.round(value));
    document.documentElement.style.setProperty("--outline", `${value}%`);
  };
  bar.addEventListener("pointerdown", (down) => {
    bar.setPointerCapture(down.pointerId);
    const { left, width } = bar.parentElement.getBoundingClientRect();
    const move = (event) => set((100 * (event.clientX - left)) / width);
    bar.addEventListener("pointermove", move);
    bar.addEventListener("pointerup", () => bar.removeEventListener("pointermove", move), { once: true });
  });
  bar.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -2, ArrowRight: 2 }[event.key];
    if (!way) return;
    event.preventDefault();
    set(Number(bar.getAttribute("aria-valuenow")) + way);
  });
  return bar;
}

function stat(label, value, aside, part = null, title = "") {
  return el("div", { class: "stat", title: title || undefined }, el("dt", {}, label), el("dd", {}, value),
    el("dd", { class: "aside" }, aside), part ? el("dd", { class: "meter", "aria-hidden": "true" }, el("i", { class: part > 0.85 ? "high" : "", style: { width: `${Math.min(100 * part, 100)}%` } })) : "");
}

// Light and dark, and help

function themeButton() {
  return el("button", { type: "button", class: "icon-button", title: "Light or dark", "aria-label": "Light or dark", on: { click: () => {
    const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("crewkit-theme", document.documentElement.dataset.theme); } catch { /* a file may have no storage */ }
  } } }, icon("theme"));
}

function helpButton() {
  return el("button", { type: "button", class: "icon-button", title: "Keys (?)", "aria-label": "Keys", on: { click: help } }, icon("help"));
}

const KEYS = [
  ["j k ↓ ↑", "next, previous row"], ["→ ←", "open, close, go in, go out"], ["[ ]", "previous, next task"], ["e E", "next, previous failure"],
  ["/", "search; Enter: next"], ["n N", "next, previous match"], ["1 2 3", "transcript, messages, events"], ["o r", "to the outline, to the transcript"],
  ["*", "open or close all rows"], ["z", "zoom the timeline to the step"], ["Esc", "clear the search"], ["?", "these keys"],
];

function help() {
  const dialog = el("dialog", { class: "help", "aria-label": "Keys", on: { close: () => dialog.remove(), click: (event) => { if (event.target === dialog) dialog.close(); } } },
    el("h2", {}, "Keys"), el("dl", {}, KEYS.map(([keys, what]) => [el("dt", {}, keys.split(" ").map((key) => [el("kbd", {}, key), " "])), el("dd", {}, what)])),
    el("form", { method: "dialog" }, el("button", { class: "plain" }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}

async function begin() {
  try {
    const kept = localStorage.getItem("crewkit-theme");
    if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
  } catch { /* a file may have no storage */ }
  const app = document.getElementById("app");
  try {
    if (api.served && !api.run) {
      clear(app).append(new Runs().element);
      return;
    }
    const page = new Page(api.served ? await api.load(api.run) : given.data);
    clear(app).append(page.element);
    page.start();
  } catch (error) {
    clear(app).append(el("p", { class: "page-error", role: "alert" }, error.message));
    throw error;
  } finally {
    document.documentElement.dataset.ready = "true";
  }
}

begin();
