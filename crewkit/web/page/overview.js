// The run as a whole: why it ended, what went in and came out, who waited for whom, what happened to it.

function overviewBlock(run, node) {
  const { head } = run;
  const { inputs = {}, target, cwd, limits = {}, crewkit } = head.beginning;
  return el("div", { class: "overview" },
    el("div", { class: "columns-2" },
      el("section", {}, el("h3", {}, "Tasks"), tasksView(run)),
      el("section", {}, el("h3", {}, "Limits"), limitsView(run, limits))),
    graphView(run),
    Object.keys(inputs).length ? el("section", {}, el("h3", {}, "Inputs"), Object.entries(inputs).map(([name, value]) =>
      line(name, textView(typeof value === "string" ? value : JSON.stringify(value, null, 2), { prose: typeof value === "string" })))) : "",
    outputView(run),
    head.origin ? forkView(head) : "",
    el("section", {}, el("h3", {}, "History"), historyView(run)),
    el("section", { class: "small" },
      line("models", modelsOf(run).join(", ") || "none"),
      line("crew file", `${target || "begun from code"}${cwd ? `, in ${cwd}` : ""}`),
      crewkit ? line("crewkit", crewkit) : ""),
    others(run, node));
}

/** Say whether the run was written, or kept, without what was said in it. */
function dropped(run) {
  return run.head.beginning.dropped === "content";
}

function outputView(run) {
  const { output } = run.head;
  if (output === undefined || output === null || dropped(run)) return "";
  const event = run.newest(run.root, "run.finished");
  return el("section", {}, el("h3", {}, "Output"), event ? eventText(event, ["output"], { prose: typeof output === "string" }) : textView(json(output)));
}

/** Return the crew's tasks with how each stands, in the order of the crew. */
function tasksOf(run) {
  const declared = run.head.beginning.tasks || [];
  const known = new Map(run.root.children.filter((node) => node.kind === "task").map((node) => [node.path, node]));
  const tasks = declared.map((task) => ({ ...task, node: known.get(task.name) }));
  const names = new Set(declared.map((task) => task.name));
  for (const [name, node] of known) if (!names.has(name)) tasks.push({ name, needs: [], agent: node.agent, node });
  return tasks.map((task) => {
    const end = task.node ? run.data(task.node, "task.finished") : {};
    return { ...task, status: task.node ? task.node.status : "not begun", why: end.error?.message || end.why || "" };
  });
}

function tasksView(run) {
  return el("ul", { class: "tasks" }, tasksOf(run).map((task) => el("li", { class: task.node ? tone(task.node.status) : "mute" },
    el("span", { class: "dot" }), task.node ? stepLink(run, task.name, task.name) : el("b", {}, task.name),
    el("span", { class: "aside" }, ` ${task.agent && task.agent !== task.name ? task.agent : task.kind || ""}`),
    el("span", { class: "state" }, task.status),
    task.why && task.status !== "completed" ? el("p", { class: "why" }, oneLine(task.why, 400)) : "")));
}

function limitsView(run, limits) {
  const { used } = run.head;
  const waits = [...run.nodes.values()].some((node) => node.kind === "ask" || node.kind === "wait");
  const spent = { tokens: used.in + used.out, usd: used.usd, steps: used.steps, seconds: used.seconds };
  const rows = Object.entries(limits).filter(([, cap]) => cap !== null);
  if (!rows.length) return el("p", { class: "none" }, "none");
  return el("div", { class: "limits" }, rows.map(([name, cap]) => el("div", { class: "limit" },
    el("span", { class: "label" }, name),
    spent[name] === undefined ? "" : meter(spent[name] / cap, spent[name] > 0.85 * cap),
    el("span", {}, spent[name] === undefined ? `at most ${number(cap)}` : `${name === "usd" ? money(spent.usd, used.unpriced) : number(spent[name])} of ${name === "usd" ? money(cap) : number(cap)}`))),
    waits ? el("p", { class: "note" }, "Waiting does not count.") : "");
}

function modelsOf(run) {
  const names = new Set();
  for (const event of run.events.values()) if (event.type === "model.finished" && event.data.model) names.add(event.data.model);
  return [...names].sort();
}

function forkView(head) {
  const { origin, inherited } = head;
  return el("section", {}, el("h3", {}, "Ancestry"),
    line("forked from", api.served && origin.origin ? el("a", { class: "step-link", href: `/runs/${encodeURIComponent(origin.origin)}` }, origin.origin) : origin.origin || "another run",
      `${origin.at?.length ? ` at ${origin.at.join(", ")}` : ""}${origin.by ? `, by ${origin.by}` : ""}`),
    (origin.edits || []).map((edit) => line("edited", String(edit))),
    origin.forgets?.length ? line("done again", origin.forgets.join(", ")) : "",
    inherited ? line("inherited", `${number(inherited.in)} tokens in, ${number(inherited.out)} out, ${money(inherited.usd, inherited.unpriced)}: paid by the run it was forked from`) : "");
}

function historyView(run) {
  const events = run.own(run.root).filter((event) => TELLS_OF_THE_RUN.has(event.type));
  return el("ol", { class: "history" }, events.map((event) => el("li", {}, el("time", {}, clock(event.ts, true)), ` ${historyOf(event)}`)));
}

// The graph of tasks: a column for each depth, arrows from what is needed to who needs it.

const BOX = { width: 142, height: 40, across: 42, down: 16 };

function graphView(run) {
  const tasks = tasksOf(run);
  if (tasks.length < 2 || tasks.length > 400) return "";
  const places = layout(tasks);
  const width = Math.max(...[...places.values()].map((place) => place.x)) + BOX.width + 2;
  const height = Math.max(...[...places.values()].map((place) => place.y)) + BOX.height + 2;
  const arrows = tasks.flatMap((task) => needsOf(task).filter((need) => places.has(need)).map((need) => arrow(places.get(need), places.get(task.name), tasks.find((each) => each.name === task.name))));
  const boxes = tasks.map((task) => taskBox(run, task, places.get(task.name)));
  return el("section", {}, el("h3", {}, "Graph"),
    el("div", { class: "graph", tabindex: "0", role: "group", "aria-label": "Graph of the tasks" },
      el("svg", { viewBox: `0 0 ${width} ${height}`, width, height, style: { "min-width": `${Math.round(0.75 * width)}px` } }, arrows, boxes)));
}

function needsOf(task) {
  return [...new Set([...(task.needs || []), ...(task.any_of || []).flat()])];
}

function layout(tasks) {
  const byName = new Map(tasks.map((task) => [task.name, task]));
  const depths = new Map();
  const depth = (name, way = new Set()) => {
    if (depths.has(name)) return depths.get(name);
    if (way.has(name)) return 0;
    way.add(name);
    const needs = needsOf(byName.get(name)).filter((need) => byName.has(need));
    const found = needs.length ? 1 + Math.max(...needs.map((need) => depth(need, way))) : 0;
    depths.set(name, found);
    return found;
  };
  const columns = [];
  for (const task of tasks) (columns[depth(task.name)] ||= []).push(task.name);
  const rows = new Map();
  for (const column of columns) {
    // Each below what it needs, so that arrows cross seldom.
    const wish = (name) => {
      const needs = needsOf(byName.get(name)).filter((need) => rows.has(need));
      return needs.length ? needs.reduce((sum, need) => sum + rows.get(need), 0) / needs.length : 0;
    };
    column.sort((a, b) => wish(a) - wish(b)).forEach((name, i) => rows.set(name, i - (column.length - 1) / 2));
  }
  const least = Math.min(...rows.values());
  return new Map([...rows].map(([name, row]) => [name, { x: 1 + depths.get(name) * (BOX.width + BOX.across), y: 1 + (row - least) * (BOX.height + BOX.down) }]));
}

function arrow(from, to, task) {
  const [x1, y1, x2, y2] = [from.x + BOX.width, from.y + BOX.height / 2, to.x, to.y + BOX.height / 2];
  const bend = Math.max((x2 - x1) / 2, 20);
  const tip = `M${x2 - 6} ${y2 - 3.5}L${x2} ${y2}L${x2 - 6} ${y2 + 3.5}`;
  return el("path", { svg: true, class: `arrow${task.node?.red ? " red" : ""}`, d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}${tip}` });
}

function taskBox(run, task, { x, y }) {
  const box = el("g", { svg: true, class: `box ${task.node ? tone(task.node.status) : "mute"}`, transform: `translate(${x} ${y})` },
    el("title", { svg: true }, `${task.name}: ${task.status}${task.why ? `. ${oneLine(task.why, 300)}` : ""}`),
    el("rect", { svg: true, width: BOX.width, height: BOX.height, rx: 7 }),
    el("circle", { svg: true, cx: 14, cy: BOX.height / 2, r: 4 }),
    el("text", { svg: true, x: 26, y: 17 }, oneLine(task.name, 17)),
    el("text", { svg: true, x: 26, y: 31, class: "aside" }, oneLine([task.agent === task.name ? task.kind : task.agent, task.when ? "when …" : "", task.until ? "until …" : ""].filter(Boolean).join(" · "), 21)));
  if (!task.node) return box;
  return el("a", { svg: true, href: hashOf(task.name), "aria-label": `${task.name}, ${task.status}` }, box);
}
