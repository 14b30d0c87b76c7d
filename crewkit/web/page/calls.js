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
    heading(run, node, sign, name, effects.map((effect) => [chip(effect, "effect"), " "]), pill(node.status, node.status === "completed" ? "ok" : node.status)),
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
  if (failed) parts.push(el("p", { class: "trouble" }, el("b", {}, `${failed.type}: `), oneLine(failed.message, 2000), failed.where ? el("span", { class: "aside" }, ` (${failed.where})`) : ""));
  if (data.received !== undefined || data.selected !== undefined) parts.push(sizesView(data));
  const seen = message ? eventText(message, ["content"]) : data.output !== undefined ? eventText(finished, ["output"], { prose: typeof data.output === "string" }) : "";
  if (data.full !== undefined) parts.push(...twoSides(seen, () => eventText(finished, ["full"])));
  else if (!failed || (message && message.data.content !== failed.message)) parts.push(seen);
  parts.push(originView(data.label));
  if (data.stale) parts.push(line("stale", String(data.stale)));
  return parts;
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

// Whatever may happen at any place

/** Show memory, retries, limits, notes, and events of a kind that this page does not know. */
function others(run, node) {
  return run.own(node).map((event) => other(run, event)).filter(Boolean);
}

function other(run, event) {
  const data = event.data;
  switch (event.type) {
    case "memory.searched":
      return memoryView(run, event);
    case "memory.written":
      return line("remembered", `${count(data.count || 0, "passage")}${data.sources?.length ? ` of ${data.sources.join(", ")}` : ""}${data.namespace ? `, in ${data.namespace}` : ""}`);
    case "retry.scheduled":
      return el("p", { class: "retry" }, icon("iteration"), ` tried again after ${duration(data.seconds || 0)}: ${oneLine(data.why || "", 600)}${data.route ? ` (${data.route})` : ""}`);
    case "limit.exceeded":
      return el("p", { class: "trouble" }, el("b", {}, "Limit reached. "), data.why || `${data.level}: ${data.limit}`);
    case "note":
      return line("note", oneLine(data.text || "", 2000));
    default:
      return KNOWN.has(event.type) ? null : el("details", { class: "unknown" }, el("summary", {}, el("code", {}, event.type), " ", oneLine(JSON.stringify(data), 120)), textView(JSON.stringify(data, null, 2)));
  }
}

function memoryView(run, event) {
  const { query = "", hits = [], namespace } = event.data;
  const used = new Set(run.head.hits?.[event.seq] || []);
  const most = Math.max(...hits.map((hit) => hit.score || 0), 1e-9);
  return el("section", { class: "memory", "aria-label": "Memory" },
    el("div", { class: "memory-head" }, icon("memory"), el("b", {}, "recalled"), ` “${oneLine(query, 300)}”`,
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
