// A run: its events, and its tree as the journal's folds made it.

const BAD = new Set(["failed", "error", "timeout", "denied", "deny", "invalid", "unknown_tool", "unknown", "limit"]);
const TELLS_OF_THE_RUN = new Set([
  "run.started", "run.resumed", "run.forked", "run.paused", "run.finished", "run.signal", "limit.exceeded", "breaker.changed",
  "journal.damaged",
]);

class Run {
  constructor(data) {
    this.head = data.head;
    this.events = new Map();
    this.nodes = new Map();
    this.messages = new Map();
    this.merge(data);
  }

  /** Take in new events and new or changed nodes. */
  merge(data) {
    this.head = data.head;
    for (const event of data.events) this.put(event);
    for (const [path, node] of Object.entries(data.nodes)) this.nodes.set(path, { ...node, path });
    for (const node of this.nodes.values()) node.children = [];
    for (const node of this.nodes.values()) {
      if (node.path !== "") this.nodes.get(node.up)?.children.push(node);
    }
    this.root = this.nodes.get("");
    this.forgotten = new Set(data.forgotten || []);
    this.threads = this.sortThreads();
  }

  put(event) {
    this.events.set(event.seq, event);
    const data = event.data;
    if (event.type === "message.recorded" && data.role) {
      this.messages.set(`${event.task || ""}\n${data.id}`, event);
    }
  }

  node(path) {
    return this.nodes.get(path);
  }

  own(node) {
    return node.events.map((seq) => this.events.get(seq)).filter(Boolean);
  }

  /** Return the newest of a node's own events of these types. */
  newest(node, ...types) {
    for (let i = node.events.length - 1; i >= 0; i--) {
      const event = this.events.get(node.events[i]);
      if (event && types.includes(event.type)) return event;
    }
    return undefined;
  }

  data(node, ...types) {
    return this.newest(node, ...types)?.data || {};
  }

  message(task, id) {
    return this.messages.get(`${task || ""}\n${id}`);
  }

  child(node, kind) {
    return node.children.find((child) => child.kind === kind);
  }

  *walk(node = this.root) {
    yield node;
    for (const child of node.children) yield* this.walk(child);
  }

  /** Return the nodes from the run down to this one. */
  way(node) {
    const way = [];
    for (let at = node; at; at = at.path === "" ? undefined : this.nodes.get(at.up)) way.unshift(at);
    return way;
  }

  taskOf(node) {
    return this.way(node).reverse().find((each) => each.kind === "task");
  }

  span(node) {
    const bars = node.bars;
    return bars.length ? [bars[0][0], Math.max(...bars.map((bar) => bar[1]))] : null;
  }

  seconds(node) {
    return node.bars.reduce((sum, [start, end, kind]) => (kind === "pause" || kind === "retry" ? sum : sum + end - start), 0);
  }

  /** Return what was sent to the model in a turn, in order: events of messages, and texts for what is left out. */
  sent(turn) {
    const model = this.child(turn, "model");
    const own = model && this.newest(model, "model.started");
    if (!own) return [];
    const work = this.nodes.get(turn.up);
    const ids = [];
    const before = (n) => Number(n.path.slice(n.path.lastIndexOf("/") + 1));
    const turns = work.children.filter((n) => n.kind === "turn" && before(n) <= before(turn));
    for (const each of turns.sort((a, b) => before(a) - before(b))) {
      const step = this.child(each, "model");
      const started = step && this.newest(step, "model.started");
      ids.push(...(started?.data.messages?.new || []));
    }
    const { dropped = 0, summary } = own.data.messages || {};
    const found = ids.map((id) => this.message(turn.task, id));
    if (!dropped) return found;
    const gap = summary
      ? this.message(turn.task, summary)
      : { data: { role: "left out", content: `${count(dropped, "older message")} of this conversation left out` } };
    return [...found.slice(0, 2), gap, ...found.slice(2 + dropped)];
  }

  /** Say whether a node only holds what agents said to each other. */
  isThread(node) {
    return node.kind === "step" && node.events.length > 0 && this.own(node).every((e) => "kind" in e.data || e.type === "round.closed");
  }

  sortThreads() {
    const threads = new Map();
    for (const node of this.nodes.values()) {
      for (const seq of node.events) {
        const event = this.events.get(seq);
        if (!event || (event.type === "message.recorded" ? !("kind" in event.data) : event.type !== "round.closed")) continue;
        const name = event.data.thread || event.path || "";
        if (!threads.has(name)) threads.set(name, { name, task: event.task || "", events: [] });
        threads.get(name).events.push(event);
      }
    }
    for (const thread of threads.values()) thread.events.sort((a, b) => a.seq - b.seq);
    return [...threads.values()].sort((a, b) => a.events[0].seq - b.events[0].seq);
  }

  /** Return every agent, tool and type that occurs. */
  names() {
    const agents = new Set(), tools = new Set(), types = new Set(), tasks = new Set();
    for (const event of this.events.values()) {
      types.add(event.type);
      if (event.data.tool) tools.add(String(event.data.tool));
      if (event.type === "agent.started" || event.type === "model.started") agents.add(event.agent);
      if (event.type === "task.started" || event.type === "task.finished") tasks.add(event.path);
    }
    const sorted = (set) => [...set].filter(Boolean).sort();
    return { agents: sorted(agents), tools: sorted(tools), types: sorted(types), tasks: [...tasks] };
  }
}

/** Return which of the outline's kinds a node is, its name, and what is said beside it. */
function told(run, node) {
  const segment = node.path.slice(node.path.lastIndexOf("/") + 1);
  switch (node.kind) {
    case "run":
      return { icon: "run", name: node.title, aside: "" };
    case "task": {
      const agent = run.data(node, "task.started").agent || node.agent || "";
      const inner = node.children.some((child) => child.kind === "task");
      const waits = run.child(node, "wait");
      const { kind } = (run.head.beginning.tasks || []).find((each) => each.name === node.path) || {};
      const several = ["conversation", "plan", "conflict"].includes(kind) ? kind : "function";
      const { items } = run.data(node, "map.started");
      const aside = items !== undefined ? count(items, "item") : segment.endsWith("]") && agent === "coordinator" ? "" : inner ? "crew" : waits ? "waits" : agent === segment ? several : agent;
      return { icon: inner ? "crew" : waits ? "wait" : "task", name: segment, aside };
    }
    case "iteration":
      return { icon: "iteration", name: node.title, aside: run.data(node, "iteration.started").reason || "" };
    case "turn": {
      const { why } = run.data(node, "round.closed");
      return { icon: "turn", name: segment, ...(why ? { verb: "ends", aside: why } : decided(run, node)) };
    }
    case "model":
      return { icon: "model", name: "model", aside: node.status === "completed" ? "tried again" : node.title };
    case "tool": {
      const data = run.data(node, "tool.started", "tool.checked");
      const memory = node.events.some((seq) => run.events.get(seq)?.type === "memory.searched");
      const text = callText("", data.arguments, 200).slice(1, -1);
      const name = data.tool || run.data(node, "tool.finished").tool || node.title;
      return { icon: segment === "fallback" ? "fallback" : memory ? "memory" : "tool", name, aside: text };
    }
    case "recall": {
      const { chosen } = run.data(node, "memory.recalled");
      return { icon: "memory", name: "recall", aside: chosen ? `${chosen.length} earlier ${chosen.length === 1 ? "case" : "cases"}` : run.data(node, "memory.searched").query || "" };
    }
    case "summary": {
      const of = run.own(node).find((event) => event.data.compressed_from);
      return { icon: "summary", name: "summary", aside: of ? `of ${count(of.data.compressed_from.length, "message")}` : "" };
    }
    case "inbox": {
      const messages = run.data(node, "inbox.read").messages || [];
      return { icon: "ask", name: "told", aside: messages.map((message) => `${message.by}: ${message.text}`).join("; ") };
    }
    case "wait":
      return { icon: "wait", name: node.status === "waiting" ? "waits" : "waited", aside: node.title };
    case "fallback":
      return { icon: "fallback", name: "escalated", aside: `to ${node.title}` };
    case "ask":
      return { icon: "ask", name: askState(node.status), aside: run.data(node, "approval.requested").question || "" };
    default:
      return toldOfStep(run, node, segment);
  }
}

function askState(status) {
  return { approve: "approved", deny: "denied", waiting: "waits for a person" }[status] || "asked a person";
}

function toldOfStep(run, node, segment) {
  const checked = run.data(node, "guardrail.checked", "condition.checked");
  if (checked.verdict) {
    return { icon: "check", name: checked.guardrail || checked.condition || segment, aside: [checked.verdict, checked.why].filter(Boolean).join(": ") };
  }
  const conflict = run.data(node, "conflict.resolved");
  if (conflict.rule) return { icon: "conflict", name: "conflict", aside: `${conflict.chosen} counts, by ${conflict.rule}` };
  const undone = run.data(node, "undo.started");
  if (undone.tool) return { icon: "iteration", name: undone.tool, aside: `undoes ${undone.of || "it"}` };
  if (undone.calls) return { icon: "iteration", name: "undone", aside: count(undone.calls.length, "effect") };
  const planned = run.data(node, "plan.proposed");
  if (planned.tasks) return { icon: "task", name: "plan", aside: count(planned.tasks.length, "task") };
  const { failed } = run.data(node, "plan.failed");
  if (failed) return { icon: "task", name: "given up", aside: `${Object.keys(failed).join(", ")} failed` };
  if (segment === "episode") return { icon: "memory", name: "remembered", aside: "what became of the task" };
  const up = run.nodes.get(node.up);
  if (up?.kind === "tool") return { icon: "agent", name: node.title, aside: "answers" };
  if (up?.kind === "turn" && !run.child(up, "model")) return { icon: "agent", name: node.title, aside: `round ${up.path.slice(up.path.lastIndexOf("/") + 1)}` };
  return { icon: "task", name: node.title, aside: "" };
}

function decided(run, node) {
  const decision = run.data(node, "decision.made");
  const chosen = decision.chosen || [];
  if (chosen.length) return { verb: "calls", aside: chosen.map((call) => call.tool).join(", ") };
  if (decision.text !== undefined) return { verb: "answers", aside: oneLine(decision.text, 200) };
  return { verb: "", aside: node.status === "running" ? "thinking" : "" };
}

/** Say which of five tones a status has. */
function tone(status) {
  if (BAD.has(status)) return "bad";
  if (["waiting", "paused", "interrupted", "cancelled", "revise", "ask"].includes(status)) return "warn";
  if (status === "running") return "live";
  if (["skipped", ""].includes(status)) return "mute";
  return "ok";
}
