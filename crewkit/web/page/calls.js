// The transcript's block of a call: what was asked for, whether it was allowed, what came back, how much of it was seen.

function toolBlock(run, node) {
  const started = run.newest(node, "tool.started");
  const checked = run.newest(node, "tool.checked");
  const finished = run.newest(node, "tool.finished");
  const { name, icon: sign } = told(run, node);
  const args = started ? started.data.arguments : checked?.data.arguments;
  const ask = run.child(node, "ask");
  const effects = (started?.data.effects || []).filter((effect) => effect !== "read");
  return el("div", {},
    heading(run, node, sign, name, effects.map((effect) => [chip(effect, "effect"), " "]), pill(node.status, node.status === "completed" ? "ok" : node.status), finished?.data.cached ? [" ", chip(finished.data.cached.stale ? "stale" : "kept", finished.data.cached.stale ? "effect" : "")] : ""),
    node.path.endsWith("/fallback") ? line("instead of", stepLink(run, node.up, told(run, run.node(node.up)).name)) : "",
    argumentsView(name, args, started || checked),
    checksView(run, node),
    ask ? askView(run, ask) : "",
    attemptsView(run, node),
    others(run, node),
    resultView(run, node, finished));
}

function argumentsView(name, args, event) {
  const given = parsed(args);
  if (given && typeof given === "object" && Object.keys(given).length) {
    return el("dl", { class: "arguments" }, Object.entries(given).map(([key, value]) => [
      el("dt", {}, key),
      el("dd", {}, typeof value === "string" ? textView(value, { whole: typeof args === "object" ? wholeOf(event, "arguments", key) : null }) : el("code", {}, JSON.stringify(value)))]));
  }
  return args === undefined || args === "" || given && typeof given === "object" ? "" : el("div", {}, textView(json(args)));
}

function checksView(run, node) {
  return run.own(node).filter((event) => event.type === "tool.checked" && event.data.verdict !== "allow").map((event) =>
    el("div", { class: `verdict ${event.data.verdict === "deny" ? "bad" : "warn"}` }, icon("check"),
      el("span", {}, el("b", {}, event.data.by), " ", pill(event.data.verdict), event.data.why ? ` ${event.data.why}` : "")));
}

function attemptsView(run, node) {
  const ends = run.own(node).filter((event) => event.type === "tool.finished");
  const starts = run.own(node).filter((event) => event.type === "tool.started");
  if (starts.length < 2) return "";
  return line("attempts", starts.map((event) => {
    const end = ends.find((each) => (each.attempt || 1) === (event.attempt || 1));
    const how = end ? end.data.outcome || end.data.failed?.type || "ok" : "never confirmed";
    return el("div", {}, `${event.attempt || 1}. ${how}, begun ${clock(event.ts)}${event.seg ? ` by ${event.seg}` : ""}`);
  }));
}

function resultView(run, node, finished) {
  if (!finished) return el("p", { class: "note live" }, node.status === "running" ? "running …" : node.status === "waiting" ? "" : "no result");
  const data = finished.data;
  const message = run.message(node.task, data.message);
  const failed = data.error || data.failed;
  const parts = [];
  if (failed) parts.push(el("p", { class: "trouble" }, el("b", {}, failed.message ? `${failed.type}: ` : failed.type), oneLine(failed.message || "", 2000), failed.where ? el("span", { class: "aside" }, ` (${failed.where})`) : ""));
  if (data.received !== undefined || data.selected !== undefined) parts.push(sizesView(data));
  const seen = message ? eventText(message, ["content"]) : data.output !== undefined ? eventText(finished, ["output"], { prose: typeof data.output === "string" }) : "";
  if (data.full) parts.push(...twoSides(seen, () => eventText(finished, ["full"])));
  else if (!failed || (message && message.data.content !== failed.message)) parts.push(seen);
  parts.push(originView(data.label));
  if (data.cached) parts.push(keptView(run, data.cached));
  if (data.late) parts.push(el("p", { class: "retry" }, "Told late, by a process that had lost the task."));
  return parts;
}

/** Say that nothing was called: an earlier result served. */
function keptView(run, { path = "", age = 0, stale }) {
  return el("p", { class: stale ? "retry" : "note" }, stale ? [chip("stale", "effect"), " "] : "", "the result of ", stepLink(run, path, path), `, kept for ${duration(age)}${stale ? ": the call itself failed" : ""}`);
}

/** Show how much a call returned, and how much of it the agent saw. */
function sizesView(data) {
  const { received, selected } = data;
  if (received === undefined || received === selected) return "";
  const part = received ? selected / received : 1;
  return el("div", { class: "sizes" },
    meter(part),
    `${number(received)} characters received, ${number(selected)} selected for the agent (${percent(part)})`);
}

function twoSides(seen, whole) {
  const panel = el("div", {}, seen);
  const tabs = [["What the agent saw", () => seen], ["All that came back", whole]].map(([label, make], i) => {
    const tab = button(label, () => {
      for (const each of tabs) each.setAttribute("aria-pressed", String(each === tab));
      add(clear(panel), make());
    }, { class: "side", "aria-pressed": String(i === 0) });
    return tab;
  });
  return [el("div", { class: "sides", role: "group", "aria-label": "Which part of the result" }, tabs), panel];
}
