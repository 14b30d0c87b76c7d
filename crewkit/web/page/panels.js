// Beside the transcript: what agents said to each other, and the events as the journal has them.

function messagesPanel(run) {
  const threads = run.threads;
  const talks = threads.filter((thread) => thread.events.some((event) => ["question", "answer", "review", "handoff"].includes(event.data.kind)));
  const rest = threads.filter((thread) => !talks.includes(thread));
  return el("div", { class: "panel messages", tabindex: "-1", role: "region", "aria-label": "Messages between agents" }, el("h2", { class: "sr" }, "Messages"),
    talks.length ? talks.map((thread) => threadView(run, thread)) : el("p", { class: "none" }, "No agent asked another."),
    rest.length ? el("h2", {}, "Assignments and reports") : "", rest.map((thread) => threadView(run, thread)));
}

function threadView(run, thread) {
  const said = thread.events.filter((event) => event.type === "message.recorded");
  const closed = thread.events.find((event) => event.type === "round.closed");
  const rounds = Math.max(...said.map((event) => event.data.round || 1), 1);
  const cap = closed?.data.cap ?? run.head.beginning.limits?.rounds;
  const first = said[0]?.data || {};
  const talk = ["question", "review", "handoff"].includes(first.kind);
  return el("div", { class: "thread", role: "group", "aria-label": thread.name },
    el("header", {}, el("h3", {}, talk ? [first.sender, " and ", first.to] : thread.name),
      el("span", { class: "aside" }, talk ? `in ${thread.task} · ` : "", talk ? `${rounds}${cap ? ` of ${cap}` : ""} round${rounds === 1 && !cap ? "" : "s"}` : "",
        " ", stepLink(run, thread.task, "show the task"))),
    said.map((event) => speech(run, event, first.sender)),
    closed ? el("p", { class: "trouble" }, el("b", {}, "Closed. "), closed.data.why || `${closed.data.rounds} of ${closed.data.cap} rounds`) : "");
}

function speech(run, event, first) {
  const { sender, to, kind, round, content = "" } = event.data;
  return el("div", { class: `speech ${sender === first ? "mine" : "theirs"} ${kind === "failure" ? "bad" : ""}` },
    el("div", { class: "by" }, el("b", {}, sender), ` → ${to}`, el("span", { class: "aside" }, ` ${kind}${round ? `, round ${round}` : ""} · ${clock(event.ts)}`)),
    content ? eventText(event, ["content"], { prose: true }) : "",
    originView(event.data.label));
}

// Events: one line each, drawn only where it can be seen.

const LINE = 26;

class Events {
  constructor(run) {
    this.run = run;
    this.filter = null;
    this.open = null;
    this.body = el("div", { class: "rows" });
    this.view = el("div", { class: "event-list", tabindex: "0", role: "list", "aria-label": "Events", on: { scroll: () => this.draw(), keydown: (event) => this.key(event) } }, this.body);
    this.detail = el("div", { class: "event-detail", "aria-live": "polite" });
    this.element = el("div", { class: "panel events", tabindex: "-1", role: "region", "aria-label": "Events of the journal" }, el("h2", { class: "sr" }, "Events"), this.view, this.detail);
    new ResizeObserver(() => this.draw(true)).observe(this.view);
    this.refresh();
  }

  refresh() {
    this.events = [...this.run.events.values()].filter((event) => !this.filter || this.filter(event)).sort((a, b) => a.seq - b.seq);
    this.body.style.height = `${this.events.length * LINE}px`;
    this.draw(true);
  }

  draw(anew = false) {
    const first = Math.max(Math.floor(this.view.scrollTop / LINE) - 6, 0);
    const last = Math.min(first + Math.ceil((this.view.clientHeight || 900) / LINE) + 12, this.events.length);
    if (!anew && this.first === first && this.last === last) return;
    [this.first, this.last] = [first, last];
    clear(this.body);
    for (let i = first; i < last; i++) this.body.append(this.row(i));
  }

  row(i) {
    const event = this.events[i];
    return el("div", { class: `event${this.open === event.seq ? " open" : ""}${this.run.forgotten.has(event.seq) ? " forgotten" : ""}`, role: "listitem", style: { top: `${i * LINE}px` }, on: { click: () => this.show(event) } },
      el("span", { class: "seq" }, event.seq), el("time", {}, clock(event.ts)), el("code", {}, event.type), el("span", { class: "path" }, event.path || ""),
      el("span", { class: "aside" }, oneLine(JSON.stringify(event.data).slice(0, 400), 200)));
  }

  show(event) {
    this.open = event.seq;
    const close = button("Close", () => { this.open = null; clear(this.detail); this.draw(true); });
    const at = event.path !== undefined && this.run.node(event.path.replace(/\/0$/, "")) ? stepLink(this.run, event.path.replace(/\/0$/, ""), "show the step") : "";
    add(clear(this.detail), el("header", {}, el("b", {}, `${event.seq} ${event.type}`), el("span", { class: "aside" }, `${event.ts} · ${event.path || "the run"}${event.seg ? ` · ${event.seg}` : ""}${this.run.forgotten.has(event.seq) ? " · begun again since" : ""}`), " ", at, " ", close),
      event.cut ? el("p", { class: "note" }, "Long texts are cut here.") : "", textView(JSON.stringify(event.data, null, 2), { open: JSON.stringify(event.data).length < 20000 }));
    this.draw(true);
  }

  key(event) {
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const at = this.events.findIndex((each) => each.seq === this.open);
    const to = Math.min(Math.max(at + step, 0), this.events.length - 1);
    if (!this.events[to]) return;
    if (to * LINE < this.view.scrollTop) this.view.scrollTop = to * LINE;
    if ((to + 1) * LINE > this.view.scrollTop + this.view.clientHeight) this.view.scrollTop = (to + 1) * LINE - this.view.clientHeight;
    this.show(this.events[to]);
  }
}
