// The transcript's blocks: a task, a turn, a call. Each is made of one node and its steps.

function figures(run, node) {
  const [input = 0, output = 0, usd = 0, unpriced = 0, steps = 0] = node.used || [];
  const parts = [];
  if (input + output) parts.push(el("span", { title: `${number(input)} tokens in, ${number(output)} out` }, `${number(input)} → ${number(output)} tok`));
  if (steps || usd) parts.push(el("span", {}, money(usd, unpriced)));
  if (node.bars.length) parts.push(el("span", {}, duration(run.seconds(node))));
  return el("span", { class: "figures" }, parts);
}

function heading(run, node, sign, name, ...aside) {
  return el("header", { class: "block-head" },
    el("span", { class: `sign ${tone(node.status)}` }, icon(sign)),
    el("h3", {}, name), el("span", { class: "aside" }, ...aside),
    figures(run, node),
    el("a", { class: "anchor", href: hashOf(node.path), "aria-label": `Link to ${node.path || "the run"}`, title: "Link to this step" }, icon("link")));
}

// Tasks

function taskBlock(run, node) {
  const started = run.data(node, "task.started");
  const { name, aside, icon: sign } = told(run, node);
  const assignment = run.own(node).find((event) => event.data.kind === "assignment");
  return el("div", {},
    heading(run, node, sign, name, aside ? [aside, " "] : "", pill(node.status)),
    started.needs?.length ? line("after", ...started.needs.map((need) => [stepLink(run, sibling(node.path, need), need), " "])) : "",
    started.assigned ? line("assigned", started.assigned) : "",
    assignment?.data.content ? labelled(`assignment`, eventText(assignment, ["content"], { prose: true }), `${assignment.data.sender} → ${assignment.data.to}`) : "",
    others(run, node));
}

function sibling(path, name) {
  const cut = path.lastIndexOf("/");
  return cut < 0 ? name : `${path.slice(0, cut)}/${name}`;
}

function taskEnd(run, node) {
  const finished = run.newest(node, "task.finished");
  const data = finished.data;
  const why = data.error?.message || data.why || "";
  const words = { completed: "Result", failed: "Failed", skipped: "Skipped" }[data.status] || data.status;
  return el("div", { class: `ending ${tone(data.status)}` },
    el("header", { class: "block-head" },
      el("span", { class: `sign ${tone(data.status)}` }, icon("task")), el("h3", {}, `${words}`, el("span", { class: "of" }, ` of ${node.path}`)),
      el("span", { class: "figures" }, data.seconds !== undefined ? duration(data.seconds) : "")),
    why ? el("p", { class: "why" }, data.error?.type ? el("b", {}, `${data.error.type}: `) : "", oneLine(why, 2000)) : "",
    data.capped ? line("capped", String(data.capped)) : "",
    originView(data.label),
    data.output !== undefined && data.output !== null ? eventText(finished, ["output"], { prose: typeof data.output === "string" }) : "");
}

function iterationBlock(run, node) {
  const data = run.data(node, "iteration.started");
  return el("div", {}, heading(run, node, "iteration", node.title, pill(node.status)), data.reason ? line("because", data.reason) : "", others(run, node));
}

function colleagueBlock(run, node) {
  return el("div", {}, heading(run, node, "agent", node.title, "answers a colleague"), others(run, node));
}

/** Show who tried where an answer was not accepted, and why. */
function fallbackBlock(run, node) {
  const escalated = run.newest(node, "task.escalated");
  const data = escalated?.data || {};
  const assignment = run.own(node).find((event) => event.data.kind === "assignment");
  return el("div", {},
    heading(run, node, "fallback", `Escalated to ${data.to || node.title}`),
    data.why ? line("because", oneLine(data.why, 2000)) : "",
    data.answer ? labelled("not accepted", eventText(escalated, ["answer"], { prose: true })) : "",
    assignment?.data.content ? labelled("assignment", eventText(assignment, ["content"], { prose: true }), `${assignment.data.sender} → ${assignment.data.to}`) : "",
    others(run, node));
}

function stepBlock(run, node) {
  const { name, aside, icon: sign } = told(run, node);
  return el("div", {}, heading(run, node, sign, [name, sign === "agent" ? el("span", { class: "of" }, ` ${aside}`) : ""]), run.own(node).map((event) => verdict(event) || ""), others(run, node));
}

// Turns

function turnBlock(run, node) {
  const closed = run.data(node, "round.closed");
  if (closed.why) return el("div", {}, heading(run, node, "turn", `Round ${told(run, node).name}`), el("p", { class: "retry" }, oneLine(closed.why, 600)));
  const step = run.child(node, "model");
  const started = step && run.newest(step, "model.started");
  const answered = step && run.newest(step, "model.finished");
  const decision = run.newest(node, "decision.made");
  const number = node.path.slice(node.path.lastIndexOf("/") + 1);
  const name = answered?.data.model || started?.data.model || "";
  const turns = run.node(node.up).children.filter((child) => child.kind === "turn").length;
  return el("div", {},
    heading(run, node, "turn", [`Turn ${number}`, turns > 1 ? el("span", { class: "of" }, ` of ${turns}`) : ""], el("span", { class: "who" }, node.agent || ""), name ? chip(name, "model") : ""),
    node.children.filter((child) => BEFORE.has(child.kind)).map((child) => beforeView(run, child)),
    started ? sentView(run, node, started) : "",
    step ? stepTrouble(run, step) : "",
    step ? others(run, step) : "",
    said(run, node, answered, decision),
    decision ? decisionCard(run, node, decision) : "",
    node.children.map((child) => verdicts(run, child)),
    others(run, node));
}

/** Steps of a turn that are told before what was sent. */
const BEFORE = new Set(["inbox", "summary", "offer"]);

function beforeView(run, node) {
  return el("div", { "data-path": node.path }, node.kind === "summary" ? summaryView(run, node) : "", others(run, node));
}

/** Show what stands from now on for a conversation's oldest messages, who wrote it, and what that cost. */
function summaryView(run, node) {
  const event = run.own(node).find((each) => each.data.compressed_from);
  const answered = run.data(node, "model.finished");
  if (!event) return node.status === "running" ? el("p", { class: "note live" }, "summarising …") : stepTrouble(run, node);
  return el("details", { class: "summary" },
    el("summary", {}, icon("summary"), el("b", {}, ` ${count(event.data.compressed_from.length, "oldest message")} summarised`), " ",
      answered.model ? chip(answered.model, "model") : el("span", { class: "aside" }, "in sentences of theirs"), figures(run, node)),
    eventText(event, ["content"], { prose: true }), originView(event.data.label), stepTrouble(run, node));
}

/** Show what is new in a turn, and a way to all that was sent. */
function sentView(run, node, started) {
  const { new: ids = [], count: all = 0, dropped = 0, summary } = started.data.messages || {};
  const fresh = ids.map((id) => run.message(node.task, id)).filter((event) => event && event.data.role !== "assistant");
  const box = el("div", { class: "sent" }, fresh.map((event) => messageView(run, node, event)));
  const rest = all + (dropped && !summary ? 1 : 0) - fresh.length;
  if (rest > 0) {
    const list = el("div", { class: "all-sent", hidden: true });
    const words = `All ${number(all)} messages that were sent${dropped ? `, ${number(dropped)} older ones ${summary ? "as a summary" : "left out"}` : ""}`;
    const press = button(words, () => {
      list.hidden = !list.hidden;
      press.setAttribute("aria-expanded", String(!list.hidden));
      if (!list.hidden && !list.children.length) {
        for (const event of run.sent(node)) if (event) list.append(messageView(run, node, event, true));
      }
    }, { "aria-expanded": "false" });
    box.append(el("div", { class: "more" }, press), list);
  }
  return box;
}

function messageView(run, node, event, whole = false) {
  const { role, content = "", tool_calls: calls = [], label, compressed_from: from } = event.data;
  if (role === "tool" && !whole) return toolMessage(run, event);
  if (role === "user" && !whole && isAssignment(run, node, content)) return el("div", { class: "message user brief" }, el("span", { class: "label" }, "told"), stepLink(run, run.way(node).findLast((each) => each.kind === "fallback" || each.kind === "task")?.path ?? node.task, "the assignment"));
  const words = { system: "who it is", user: "told", assistant: "said", tool: "result" }[role] || role;
  const folded = role === "system" && !whole;
  const body = [
    content ? eventText(event, ["content"], { prose: role !== "tool" }) : "",
    calls.map((call) => el("code", { class: "call" }, callText(call.name, call.arguments))),
    originView(label),
    from ? el("p", { class: "note" }, `stands for ${count(from.length, "earlier message")}`) : "",
  ];
  if (folded && !content) return "";
  if (folded) return el("details", { class: `message ${role}` }, el("summary", {}, el("span", { class: "label" }, words), oneLine(content, 110)), body);
  return el("div", { class: `message ${role}` }, el("span", { class: "label" }, words), body);
}

/** Say whether a text is the assignment, which the block of the task, or of whom it was escalated to, shows. */
function isAssignment(run, node, content) {
  return run.way(node).some((each) => run.own(each).some((event) => event.data.kind === "assignment" && event.data.content === content));
}

/** A result that was shown with its call is pointed to, not repeated. */
function toolMessage(run, event) {
  const path = event.path || "";
  const call = run.node(path);
  if (!call || call.kind !== "tool") return el("div", { class: "message tool" }, el("span", { class: "label" }, "result"), eventText(event, ["content"]));
  return el("div", { class: "message tool brief" }, el("span", { class: "label" }, "result"),
    stepLink(run, path, told(run, call).name), event.data.content ? ` ${count(event.data.content.length, "character")}` : "");
}

function stepTrouble(run, step) {
  return run.own(step).filter((event) => event.type === "model.finished" && event.data.failed).map((event) =>
    el("p", { class: "trouble" }, el("b", {}, `Attempt ${event.attempt || 1} failed. `), `${event.data.failed.type}: ${oneLine(event.data.failed.message, 800)}`));
}

function said(run, node, answered, decision) {
  const event = answered && run.message(node.task, answered.data.message);
  if (!event) return node.status === "running" ? el("p", { class: "note live" }, "thinking …") : "";
  const reason = answered.data.finish_reason;
  return [
    event.data.content ? el("div", { class: "message assistant" }, el("span", { class: "label" }, "said"), eventText(event, ["content"], { prose: true, open: event.data.content.length < 4000 })) : "",
    reason === "length" || reason === "content_filter" ? el("p", { class: "trouble" }, `The answer was cut off: ${reason}`) : "",
  ];
}

// The decision card

function decisionCard(run, node, event) {
  const { offered = [], withheld = [], chosen = [], temperature, budget = {} } = event.data;
  const called = new Set(chosen.map((call) => call.tool));
  const turn = node.path;
  return el("div", { class: "decision", role: "group", "aria-label": "Decision" },
    line("decided", chosen.length
      ? chosen.map((call, i) => el("div", { class: "choice" }, el("a", { href: hashOf(`${turn}/tool:${i}`) }, el("code", { class: "call" }, callText(call.tool, call.arguments, 600)))))
      : el("b", {}, "to answer")),
    line("could call", offered.length ? offered.map((tool) => [chip(tool, called.has(tool) ? "chosen" : ""), " "]) : el("span", { class: "none" }, "nothing")),
    withheld.length ? line("withheld", withheld.map((each) => el("div", { class: "held" }, chip(each.tool, "withheld"), ` ${each.by}: ${each.why}`))) : "",
    line("left", budgetView(run, budget)),
    temperature !== undefined && temperature !== null ? line("temperature", temperature) : "",
    routeView(run, node));
}

function budgetView(run, budget) {
  const caps = run.head.beginning.limits || {};
  const parts = Object.entries(budget).filter(([, left]) => left !== null && left !== undefined);
  if (!parts.length) return el("span", { class: "none" }, "no cap");
  return parts.map(([name, left]) => el("span", { class: "budget" },
    caps[name] ? meter(left / caps[name], left < 0.15 * caps[name]) : "",
    name === "usd" ? money(left) : `${number(left)} ${name}`));
}

function routeView(run, node) {
  const step = run.child(node, "model");
  const route = step && run.data(step, "model.started").route;
  if (!route) return "";
  const considered = (route.considered || []).map((each) => `${each.route}: ${each.why}`).join("; ");
  return line("route", `${(route.order || []).join(" → ")}${considered ? ` (${considered})` : ""}`);
}

// Verdicts and people

/** Show what checked a turn's or a call's result, and who decided. */
function verdicts(run, node) {
  if (node.kind === "ask") return askView(run, node);
  if (node.kind !== "step" || run.isThread(node)) return "";
  const shown = run.own(node).map((event) => verdict(event) || "").filter(Boolean);
  if (!shown.length) return "";
  return el("div", { "data-path": node.path }, shown, node.children.map((child) => (child.kind === "ask" ? askView(run, child) : "")));
}

function verdict(event) {
  const data = event.data;
  if (event.type !== "guardrail.checked" && event.type !== "condition.checked") return null;
  const what = event.type === "guardrail.checked" ? "guardrail" : "condition";
  return el("div", { class: `verdict ${data.verdict === "allow" ? "ok" : "bad"}` }, icon("check"),
    el("span", {}, el("b", {}, data.guardrail || data.condition || what), " ", pill(data.verdict === "allow" ? "ok" : data.verdict, data.verdict), data.why ? ` ${data.why}` : ""),
    data.values ? el("span", { class: "aside" }, oneLine(JSON.stringify(data.values), 300)) : "");
}

function askView(run, node) {
  return el("div", { class: "asks", "data-path": node.path }, questionsOf(run, node).map(([asked, decision]) => oneAsk(run, node, asked, decision)));
}

/** Pair a step's questions with what was decided. */
function questionsOf(run, node) {
  const events = run.own(node);
  const decisions = new Map(events.filter((event) => event.type === "approval.decided").map((event) => [event.data.id, event]));
  return events.filter((event) => event.type === "approval.requested").map((event) => [event, decisions.get(event.data.id)]);
}

const ASKED = new Set(["id", "kind", "question", "tool", "definition", "arguments", "output", "binding", "expires"]);

function oneAsk(run, node, asked, decision) {
  const data = asked.data;
  const about = Object.entries(data).filter(([name, value]) => !ASKED.has(name) && value !== null && value !== "");
  const state = decision ? (decision.data.expired ? "expired" : decision.data.decision) : "waiting";
  return el("div", { class: `question ${tone(state)}`, role: "group", "aria-label": "Approval" },
    el("div", { class: "question-head" }, icon("ask"), el("b", {}, data.question || "A person was asked"),
      pill(state, { approve: "approved", deny: "denied" }[state] || state)),
    data.tool ? el("code", { class: "call" }, callText(data.tool, data.arguments)) : "",
    data.output !== undefined ? eventText(asked, ["output"], { prose: typeof data.output === "string" }) : "",
    about.map(([name, value]) => line(name.replace(/_/g, " "), typeof value === "string" ? oneLine(value, 2000) : el("code", {}, oneLine(JSON.stringify(value), 2000)))),
    decision
      ? el("p", { class: "decided" }, el("b", {}, decision.data.by || (decision.data.expired ? "nobody" : "someone")), ` decided at ${clock(decision.ts, true)}, `,
          `after ${duration((Date.parse(decision.ts) - Date.parse(asked.ts)) / 1000)}`, decision.data.note ? `: “${decision.data.note}”` : "",
          decision.data.arguments ? el("code", { class: "call" }, callText(data.tool, decision.data.arguments)) : "")
      : waiting(run, asked),
    el("p", { class: "note" }, `${data.id} · asked at ${clock(asked.ts, true)}${data.expires && !decision ? ` · counts as a no from ${clock(data.expires, true)} on` : ""}`));
}

function waiting(run, asked) {
  if (["completed", "cancelled", "denied"].includes(run.head.status)) return el("p", { class: "note" }, "Nobody decided before the run ended.");
  if (!api.served) return el("p", { class: "note" }, "Nobody had decided when this page was written.");
  return decideForm(asked);
}
