// The list of runs, with what they used and how that goes over time.

const COLUMNS = [
  ["run", "run", (run) => run.run], ["crew", "crew", (run) => run.crew], ["status", "status", (run) => run.status],
  ["started", "started", (run) => run.started], ["seconds", "duration", (run) => run.seconds], ["tokens", "tokens", (run) => run.tokens],
  ["usd", "cost", (run) => run.usd], ["steps", "steps", (run) => run.steps], ["events", "events", (run) => run.events],
];
const TREND = 40; // runs at most, and the room of how many there is at least
const FEWEST = 12;

class Runs {
  constructor() {
    this.runs = [];
    this.sort = ["started", -1];
    this.text = el("input", { type: "search", placeholder: "Search", "aria-label": "Search runs", on: { input: () => this.draw(), keydown: (event) => event.stopPropagation() } });
    this.crew = el("select", { "aria-label": "Only this crew", on: { change: () => this.draw() } });
    this.status = el("select", { "aria-label": "Only this status", on: { change: () => this.draw() } });
    this.said = el("span", { class: "matches", role: "status" });
    this.trends = el("div", { class: "trends" });
    this.head = el("tr", {});
    this.body = el("tbody", {});
    this.element = el("main", { class: "runs" },
      el("header", { class: "runs-head" }, el("h1", {}, "Runs"),
        el("div", { class: "filter", role: "search" }, el("label", { class: "find" }, icon("search"), this.text), this.crew, this.status, this.said), themeButton()),
      el("div", { class: "table" }, el("table", {}, el("caption", { class: "sr" }, "Runs, the newest first unless sorted otherwise"), el("thead", {}, this.head), this.body)));
    this.element.children[0].after(this.trends);
    this.look();
  }

  async look() {
    try {
      const runs = await api.runs();
      if (JSON.stringify(runs) !== JSON.stringify(this.runs)) {
        this.runs = runs;
        this.draw();
      }
      this.said.classList.remove("bad");
    } catch (error) {
      say(this.said, error.message === "Failed to fetch" ? "crewkit view has ended" : error.message);
      this.said.classList.add("bad");
    }
    setTimeout(() => (document.hidden ? document.addEventListener("visibilitychange", () => this.look(), { once: true }) : this.look()), 2000);
  }

  draw() {
    options(this.crew, "all crews", this.runs.map((run) => run.crew));
    options(this.status, "any status", this.runs.map((run) => run.status));
    const text = this.text.value.trim().toLowerCase();
    const shown = this.runs.filter((run) =>
      (!this.crew.value || run.crew === this.crew.value) && (!this.status.value || run.status === this.status.value) &&
      (!text || `${run.run} ${run.crew} ${run.status} ${run.why}`.toLowerCase().includes(text)));
    const [by, way] = this.sort;
    const value = COLUMNS.find(([name]) => name === by)[2];
    shown.sort((a, b) => way * (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0));
    this.said.textContent = this.runs.length ? `${number(shown.length)} of ${count(this.runs.length, "run")}` : "";
    this.drawTrends(shown);
    const focused = this.head.contains(document.activeElement) ? document.activeElement.textContent : "";
    clear(this.head).append(...COLUMNS.map(([name, label]) => this.column(name, label)));
    if (focused) [...this.head.querySelectorAll("button")].find((each) => each.textContent === focused)?.focus();
    clear(this.body).append(...shown.slice(0, 1000).map((run) => this.row(run)));
    if (!this.runs.length) this.body.append(el("tr", {}, el("td", { colspan: COLUMNS.length, class: "none" }, "No runs yet. Begin one: crewkit run FILE")));
  }

  column(name, label) {
    const [by, way] = this.sort;
    const sorted = by === name ? (way > 0 ? "ascending" : "descending") : "none";
    return el("th", { scope: "col", class: `c-${name}`, "aria-sort": sorted }, el("button", { type: "button", on: { click: () => {
      this.sort = [name, by === name ? -way : name === "run" || name === "crew" || name === "status" ? 1 : -1];
      this.draw();
    } } }, label));
  }

  row(run) {
    const href = `/runs/${encodeURIComponent(run.run)}`;
    return el("tr", { on: { click: (event) => { if (!event.target.closest("a") && !getSelection().toString()) location.assign(href); } } },
      el("td", { class: "c-run" }, el("a", { href }, run.run), run.origin ? el("span", { class: "aside" }, ` from ${run.origin}`) : ""),
      el("td", { class: "c-crew" }, run.crew),
      el("td", { class: "c-status" }, pill(run.status), run.waiting ? el("span", { class: "aside" }, ` ${count(run.waiting, "question")}`) : ""),
      el("td", { class: "c-started" }, clock(run.started, true)),
      el("td", { class: "c-seconds" }, duration(run.seconds)),
      el("td", { class: "c-tokens" }, run.tokens ? number(run.tokens) : ""),
      el("td", { class: "c-usd" }, run.steps ? money(run.usd, run.unpriced) : ""),
      el("td", { class: "c-steps" }, run.steps || ""),
      el("td", { class: "c-events" }, number(run.events)));
  }

  /** Draw, for each crew, its last runs: how long, how many tokens, how dear, and how they ended. */
  drawTrends(shown) {
    const crews = new Map();
    for (const run of shown) crews.set(run.crew, [...(crews.get(run.crew) || []), run]);
    const cards = [...crews].filter(([, runs]) => runs.length > 1).sort((a, b) => b[1].length - a[1].length).slice(0, 3);
    clear(this.trends).append(...cards.map(([crew, runs]) => {
      const last = [...runs].sort((a, b) => (a.started < b.started ? -1 : 1)).slice(-TREND);
      const over = last.filter((run) => !["running", "paused"].includes(run.status));
      const good = over.filter((run) => run.status === "completed").length;
      return el("div", { class: "trend", role: "group", "aria-label": `Trend of ${crew}` },
        el("h2", {}, crew, el("span", { class: "aside" }, ` ${over.length ? `${percent(good / over.length)} of the last ${over.length} completed` : "none is over"}`)),
        el("div", { class: "sparks" }, [["duration", (run) => run.seconds, duration], ["tokens", (run) => run.tokens, short], ["cost", (run) => run.usd, money]].map(([label, value, write]) => spark(label, last, value, write))));
    }));
  }
}

/** Draw a bar for each run, the newest at the right. */
function spark(label, runs, value, write) {
  const most = Math.max(...runs.map(value), 1e-9);
  const [step, height] = [10, 30];
  const width = Math.max(runs.length, FEWEST) * step;
  const left = width - runs.length * step;
  return el("figure", { class: "spark" },
    el("figcaption", {}, label, el("b", {}, write(value(runs.at(-1))))),
    el("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": `${label}: from ${write(value(runs[0]))} to ${write(value(runs.at(-1)))}, ${write(most)} at most` },
      el("path", { svg: true, class: "floor", d: `M0 ${height - 0.5}H${width}` }),
      runs.map((run, i) => {
        const tall = Math.max((height * value(run)) / most, 1.5);
        return el("rect", { svg: true, class: tone(run.status), x: left + i * step, y: height - tall, width: step - 2, height: tall },
          el("title", { svg: true }, `${run.run}: ${write(value(run))}, ${run.status}`));
      })));
}

function options(select, all, values) {
  const names = [...new Set(values)].sort();
  const known = [...select.options].slice(1).map((option) => option.value);
  if (select.options.length && names.join("\n") === known.join("\n")) return;
  const chosen = select.value;
  clear(select).append(el("option", { value: "" }, all), ...names.map((name) => el("option", { value: name }, name)));
  select.value = names.includes(chosen) ? chosen : "";
}
