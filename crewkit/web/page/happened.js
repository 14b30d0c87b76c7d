// What may happen at any place of a run: memory, retries, waits, breakers, limits, notes, and kinds this page does not know.

const KNOWN = new Set([
  "run.started", "run.resumed", "run.forked", "run.paused", "run.finished", "run.signal", "task.started", "task.finished", "task.left",
  "task.escalated", "iteration.started", "iteration.finished", "agent.started", "agent.finished", "message.recorded", "round.closed",
  "model.started", "model.finished", "decision.made", "tool.checked", "tool.started", "tool.finished", "guardrail.checked",
  "condition.checked", "approval.requested", "approval.decided", "journal.damaged",
]);

function others(run, node) {
  return run.own(node).map((event) => other(run, event)).filter(Boolean);
}

const SAYINGS = {
  "memory.searched": (run, event) => memoryView(run, event),
  "memory.recalled": (run, event) => casesView(event),
  "memory.written": (run, event) => writtenView(event),
  "retry.scheduled": (run, { data }) => el("p", { class: "retry" }, icon("iteration"), ` tried again after ${duration(data.seconds || 0)}: ${oneLine(data.why || "", 600)}${data.route ? ` (${data.route})` : ""}`),
  "limit.exceeded": (run, { data }) => el("p", { class: "trouble" }, el("b", {}, "Limit reached. "), data.why || `${data.level}: ${data.limit}`),
  "breaker.changed": (run, { data }) => el("p", { class: data.state === "closed" ? "note" : "retry" }, icon("breaker"), ` ${breakerOf(data)}`),
  "conflict.resolved": (run, event) => conflictView(run, event),
  "map.started": (run, { data }) => line("for each of", count(data.items || 0, "item")),
  "plan.proposed": (run, event) => planView(run, event),
  "plan.failed": (run, { data }) => el("p", { class: "retry" }, icon("iteration"), ` planned anew: ${oneLine(data.why || "", 600)}`),
  "wait.started": (run, event) => line("waits", `${waitsFor(event.data)}, since ${clock(event.ts, true)}`),
  "wait.finished": (run, event) => [line("came", `${cameOf(event.data)}, at ${clock(event.ts, true)}`), event.data.output !== undefined && event.data.outcome === "arrived" ? line("with", eventText(event, ["output"])) : ""],
  "wait.refused": (run, { data }) => el("p", { class: "retry" }, icon("check"), ` An event told by ${data.by || "somebody"} was refused: ${oneLine(data.why || "", 1000)}`),
  "inbox.read": (run, { data }) => (data.messages || []).map((message) => el("div", { class: "message inbox" }, el("span", { class: "label" }, "from outside"), el("div", {}, el("b", {}, message.by || "somebody"), ": ", oneLine(message.text || "", 2000)))),
  "undo.started": (run, { data }) => data.calls
    ? el("p", { class: "retry" }, icon("iteration"), ` ${count(data.calls.length, "effect")} to be undone${data.why ? `: ${oneLine(data.why, 600)}` : ""}`)
    : line("undo", el("code", { class: "call" }, callText(data.tool || "", data.arguments))),
  "undo.finished": (run, { data }) => undoneView(data),
  note: (run, { data }) => line("note", oneLine(data.text || "", 2000)),
};

function other(run, event) {
  const say = SAYINGS[event.type];
  if (say) return say(run, event);
  if (KNOWN.has(event.type)) return null;
  const { data } = event;
  return el("details", { class: "unknown" }, el("summary", {}, el("code", {}, event.type), " ", oneLine(JSON.stringify(data), 120)), textView(JSON.stringify(data, null, 2)));
}

/** Show who contradicted whom, and by which rule one of them counts. */
function conflictView(run, event) {
  const { rule = "", chosen = "", why = "", about = "", parties = [], tried = [] } = event.data;
  return el("div", { class: "conflict", role: "group", "aria-label": "Conflict" },
    el("div", { class: "memory-head" }, icon("conflict"), el("b", {}, count(parties.length, "contradicting result")), about ? ` about ${about}` : ""),
    el("ul", { class: "parties" }, parties.map((party) => el("li", { class: party.task === chosen ? "counts" : "" },
      el("div", {}, stepLink(run, sibling(event.path.split("/resolved")[0], party.task), party.task), el("span", { class: "aside" }, party.agent && party.agent !== party.task ? ` ${party.agent}` : ""),
        party.task === chosen ? [" ", pill("ok", "counts")] : ""),
      textView(typeof party.value === "string" ? party.value : JSON.stringify(party.value, null, 2) ?? "", { prose: typeof party.value === "string" }),
      party.evidence ? line("evidence", textView(typeof party.evidence === "string" ? party.evidence : JSON.stringify(party.evidence, null, 2), { prose: typeof party.evidence === "string" })) : "",
      originView(party.label)))),
    tried.map((each) => line("undecided", `${each.rule}: ${each.why}`)),
    line("decided", `by ${rule}${why ? `: ${why}` : ""}`));
}

/** Show a plan: its tasks, who does each, and after what. */
function planView(run, event) {
  const { by = "", tasks = [], kept = [] } = event.data;
  const plan = event.path.replace(/\/proposal$/, "");
  return line("planned", el("div", {}, `${count(tasks.length, "task")} by ${by}`, kept.length ? `; kept: ${kept.join(", ")}` : "",
    el("ul", {}, tasks.map((task) => el("li", {}, stepLink(run, `${plan}/${task.name}`, task.name),
      el("span", { class: "aside" }, ` ${task.agent}${task.needs?.length ? ` after ${task.needs.join(", ")}` : ""}`))))));
}

function undoneView({ undone, left = {}, tool = "", failed }) {
  if (failed) return el("p", { class: "trouble" }, el("b", {}, `${tool} failed. `), oneLine(failed.message || failed.type || "", 1000));
  if (!undone) return line("undone", `by ${tool}`);
  return [
    Object.entries(undone).map(([path, by]) => line("undone", `${path}, by ${by}`)),
    Object.entries(left).map(([path, why]) => el("p", { class: "trouble" }, el("b", {}, `${path} stays. `), oneLine(why, 1000)))];
}

function breakerOf(data) {
  const whose = data.tool ? `of ${data.tool}` : "of all tools";
  const until = data.until ? `, until ${clock(data.until)}` : "";
  return `The circuit ${whose} is ${data.state}${until}${data.why ? `: ${oneLine(data.why, 600)}` : ""}`;
}

function waitsFor(data) {
  if (data.for !== "event") return `until ${clock(data.until, true)}`;
  return `for the event ${data.event}${data.deadline ? `, until ${clock(data.deadline, true)} at most` : ""}`;
}

function cameOf(data) {
  return { arrived: `told by ${data.by || "somebody"}`, due: "the time came" }[data.outcome] || `nothing came by ${clock(data.deadline, true)}`;
}

// Memory

/** Show which earlier cases an agent was told of, and why these. */
function casesView(event) {
  const { hits = [], chosen = [], text = "", label } = event.data;
  return el("div", { class: "memory", role: "group", "aria-label": "Earlier cases" },
    el("div", { class: "memory-head" }, icon("memory"), el("b", {}, "looked for earlier cases"),
      el("span", { class: "aside" }, `${count(hits.length, "candidate")}, ${number(chosen.length)} told to the agent`)),
    chosen.length ? el("ul", { class: "cases" }, chosen.map((each) => el("li", {}, chip(each.as || "case", each.as === "warning" ? "effect" : "chosen"), ` ${each.task ? `${each.task}: ` : ""}${each.why || ""} `, el("code", { class: "aside" }, each.id || "")))) : "",
    text ? el("details", { class: "unknown" }, el("summary", {}, "What the agent was told"), eventText(event, ["text"], { prose: true })) : "",
    originView(label));
}

function writtenView(event) {
  const { count: many = 0, sources = [], namespace, ids = [], unchanged = 0, removed = 0, refused = {} } = event.data;
  const episode = (event.path || "").endsWith("/episode");
  const what = episode ? "what became of the task" : `${count(many, "passage")}${sources.some(Boolean) ? ` of ${sources.filter(Boolean).join(", ")}` : ""}`;
  const more = [unchanged ? `${number(unchanged)} unchanged` : "", removed ? `${number(removed)} removed` : "", namespace ? `in ${namespace}` : ""].filter(Boolean).join(", ");
  return el("div", { class: "memory" }, el("div", { class: "memory-head" }, icon("memory"), el("b", {}, "remembered"), ` ${what}`,
    el("span", { class: "aside", title: ids.slice(0, 20).join(", ") || undefined }, more)),
    Object.entries(refused).map(([source, why]) => el("p", { class: "retry" }, `${source} was refused: ${why}`)));
}

function memoryView(run, event) {
  const { query = "", hits = [], namespace } = event.data;
  const used = new Set(run.head.hits?.[event.seq] || []);
  const most = Math.max(...hits.map((hit) => hit.score || 0), 1e-9);
  return el("div", { class: "memory", role: "group", "aria-label": "Memory" },
    el("div", { class: "memory-head" }, icon("memory"), el("b", {}, "recalled"), query ? ` “${oneLine(query, 300)}”` : "",
      el("span", { class: "aside" }, `${count(hits.length, "hit")}, ${number(used.size)} used${namespace ? ` · ${namespace}` : ""}`)),
    hits.length ? el("table", { class: "hits" },
      el("thead", {}, el("tr", {}, ["score", "passage", "scored by", "used"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, hits.map((hit, i) => el("tr", { class: used.has(i) ? "used" : "" },
        el("td", { class: "score" }, meter((hit.score || 0) / most), (hit.score ?? 0).toFixed(2)),
        el("td", {}, placeOf(hit), " ", originView(hit.label)),
        el("td", { class: "aside" }, Object.entries(hit.parts || {}).map(([name, part]) => `${name} ${part}`).join(", ")),
        el("td", {}, used.has(i) ? el("span", { class: "yes" }, "used") : ""))))) : "");
}

function placeOf(hit) {
  const place = hit.source || hit.id || "";
  return hit.start === undefined || hit.start === null ? place : `${place}:${hit.start}${hit.end === undefined || hit.end === null ? "" : `-${hit.end}`}`;
}

/** Say of a text that is not trusted where it is from. */
function originView(label) {
  if (!label || label.trusted || (typeof label === "string" && !label.startsWith("not trusted"))) return "";
  const words = (text) => el("p", { class: "origin", title: "A text from outside the crew: data, never an instruction" }, text);
  if (typeof label === "string") return words(label.replace(/^not trusted/, "untrusted"));
  const sources = (label.sources || []).map((source) => (typeof source === "string" ? source : JSON.stringify(source))).join(", ");
  return words(`untrusted${sources ? `, from ${sources}` : ""}`);
}

// The run's own history

const REASONS = { approval: "a person must decide", wait: "it waits", interrupted: "it was interrupted", error: "no worker could go on" };

function historyOf(event) {
  const { data } = event;
  const process = data.pid ? ` by process ${data.pid} on ${data.host}` : "";
  switch (event.type) {
    case "run.started": return `started${process}`;
    case "run.resumed": return `resumed${process}${changesOf(data)}`;
    case "run.forked": return `forked from ${data.origin || "another run"}${data.at?.length ? ` at ${data.at.join(", ")}` : ""}${process}${changesOf(data)}`;
    case "run.paused": return `paused${data.reason ? ": " : ""}${data.reason === "pause" ? `asked for by ${data.by || "somebody"}` : REASONS[data.reason] || data.reason || ""}${data.until ? `; goes on by itself at ${clock(data.until, true)}` : ""}`;
    case "run.signal": return `${signalOf(data)} by ${data.by || "somebody"}`;
    case "run.finished": return `finished: ${data.status}. ${oneLine(data.why || "", 400)}`;
    case "limit.exceeded": return `limit reached: ${oneLine(data.why || data.limit || "", 400)}`;
    case "breaker.changed": return breakerOf(data);
    default: return `${event.type}: ${oneLine(data.why || "", 400)}`;
  }
}

function signalOf(data) {
  if (data.signal === "event") return `event “${data.event}” told`;
  if (data.signal === "message") return `message${data.to ? ` to ${data.to}` : " to the agents"}: “${oneLine(data.text || "", 300)}”, left`;
  return data.signal === "late" ? `the end of ${data.path} told late` : `${data.signal} asked for`;
}

/** Say what a fork or a resume found changed, and what is done again by it. */
function changesOf(data) {
  const parts = [["changed since", Object.entries(data.changed || {}).map(([name, what]) => `${name} (${what})`)], ["done again", data.forgets || []], ["which may repeat", data.repeats || []]];
  return parts.filter(([, names]) => names.length).map(([label, names]) => `; ${label}: ${names.join(", ")}`).join("");
}
