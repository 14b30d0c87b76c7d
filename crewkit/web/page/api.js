// What the page was given, and, where it is served, what it can ask for. A file asks nobody.

const given = JSON.parse(document.getElementById("data").textContent);

const api = {
  served: given.mode === "served",
  run: given.run,

  async get(path) {
    const answer = await fetch(path, { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error((await answer.text()) || `${answer.status} ${answer.statusText}`);
    return answer.json();
  },

  runs: () => api.get("/api/runs"),
  load: (run) => api.get(`/api/runs/${encodeURIComponent(run)}`),
  event: (seq) => api.get(`/api/runs/${encodeURIComponent(api.run)}/events/${seq}`),

  async decide(id, decision, note) {
    const answer = await fetch(`/api/runs/${encodeURIComponent(api.run)}/approvals/${encodeURIComponent(id)}`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ decision, note }),
    });
    const said = await answer.text();
    if (!answer.ok) throw new Error(said);
    return JSON.parse(said);
  },

  /** Call back with what is new in a run, for as long as the page is seen. */
  follow(run, last, changed, lost) {
    let source = null;
    let seen = last;
    const open = () => {
      source = new EventSource(`/api/runs/${encodeURIComponent(run)}/live?after=${seen}`);
      source.onmessage = (message) => {
        const data = JSON.parse(message.data);
        seen = data.head.last;
        lost(false);
        changed(data);
      };
      source.onerror = () => lost(true);
    };
    const look = () => {
      if (document.hidden) {
        source?.close();
        source = null;
      } else if (!source) open();
    };
    document.addEventListener("visibilitychange", look);
    look();
  },
};

/** Ask whoever looks at the page to decide. */
function decideForm(asked) {
  const note = el("textarea", { rows: 2, "aria-label": "Note, which the agent reads", placeholder: "A note for the agent (needed for a no)" });
  const said = el("p", { class: "note", role: "status" });
  const send = async (decision) => {
    if (decision === "deny" && !note.value.trim()) {
      said.textContent = "Say why: the agent reads it.";
      note.focus();
      return;
    }
    for (const each of form.querySelectorAll("button")) each.disabled = true;
    try {
      const answer = await api.decide(asked.data.id, decision, note.value);
      note.blur();
      add(clear(said), answer.alive ? "Decided; the run goes on." : ["Decided. Go on with it: ", el("code", {}, `crewkit resume ${api.run}`)]);
    } catch (error) {
      say(said, error.message);
      for (const each of form.querySelectorAll("button")) each.disabled = false;
    }
  };
  const form = el("div", { class: "decide" }, note,
    el("div", { class: "buttons" },
      el("button", { type: "button", class: "yes", on: { click: () => send("approve") } }, "Approve"),
      el("button", { type: "button", class: "no", on: { click: () => send("deny") } }, "Deny")),
    said);
  return form;
}
