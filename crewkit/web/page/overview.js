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
