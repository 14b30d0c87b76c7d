"""What a journal is made of.

Everything that a run does is an event. The types and what their `data` holds (a reader keeps what it
does not know; a key that does not apply is left out):

| type | path | data |
|---|---|---|
| `run.started` | | `crew` (name), `target` (how to load it again, or null), `queue` (of the workers that it was handed over to), `inputs`, `events` {external event that is waited for: JSON Schema of its data, or null}, `models` {task: name}, `definitions` {task: {part: hash}}, `tasks` [{name, needs, any_of [[task]], when, until, for_each, agent, kind: agent/function/crew/wait/conversation/conflict/plan, on_failure}], `limits`, `given` (the caps that came with the run, not the crew), `agents` [{role, goal, model, tools}], `crewkit` (version), `cwd` |
| `run.resumed` | | `pid`, `host`, `changed` {task: what of it}, `forgets` [path] (what was recorded there before counts no longer), `repeats` [call] (effects that may happen again by that), `limits`, `queue` (of the worker that does it); where they changed `models`, `definitions`, `tasks`, `agents`, as in `run.started` |
| `run.forked` | | The first of a fork's own events: `origin` (run), `at` [path], `forgets` [path], `by`, `edits` [what was changed], `pid`, `host`, `inputs`, `limits`, `changed`; what changed of `run.started` as in `run.resumed` |
| `run.paused` | | `reason`: approval, wait, pause, interrupted, error (no worker could go on); `why` (one sentence), `approvals` [id], `waits` [id], `by` (who asked for a pause); `until` (RFC 3339: when it can go on by itself); `seen` (`seq` up to which it had read what others appended); `seconds` (active, of this segment) |
| `run.finished` | | `status`: completed, failed, limit, denied, cancelled; `output` (JSON); `report` {completed: [task], failed: [{task, error}], skipped: [{task, why}], capped: [{task, why}], undone {path: tool}, left {path: why}}; `why` (one sentence); `usage` {tokens, usd (null: unknown), steps, seconds} |
| `run.signal` | | `signal`: cancel, pause, event (`event`: its name, `data`), message (`text`, `to`: role, or empty for all), late (`path`: a call's end was told by who had lost the task); `id`, `by`. Appended by other processes |
| `task.started` | task | `agent`, `assigned` (why this agent, where the coordinator chose), `needs`, `definition` |
| `task.finished` | task | `status`: completed, failed, skipped; `output` (JSON), `error` {type, message}, `why`, `usage` {tokens, usd, steps, seconds}, `seconds`, `model` and `route` (that gave its last answer), `label` (of the output), `passes` (what depends on it goes on), `capped` (its last version counts although `until` was not content: `why`), `partial` (a map that counts without some of its items: `why`), `final` (never entered again) |
| `map.started` | task | `items` (how many it is done for). Each of them is a task of its own, at task[item] |
| `task.left` | task | how a worker left a task that it had for the run: `status`: waiting, stopped; `why`, `approvals` [id], `error` {type, message, limit, level} |
| `iteration.started` | task#n | `number` (from 2), `reason` (why once more). Of a task with `until` |
| `iteration.finished` | task, task#n | `number`, `output`, `label` |
| `agent.started` | task/0 | `role`, `model`, `tools` [name], `limits` |
| `agent.finished` | task/0 | `status`, `turns` |
| `message.recorded` | where it arose | `id`, and for a chat message `role, content, tool_calls, tool_call_id, label`, `note` (words of ours that stand before a tool's result); where it stands for others from now on `compressed_from` [id] (a summary; the one before it comes first); for one on the bus `kind, sender, to, thread, round, content, data, label`. A `label` says where it is from: {trusted, sources} |
| `round.closed` | thread, of a conversation task/n | `thread`, `rounds`, `cap`, `why` |
| `model.started` | …/turn/model | `model`, `route` {`asked`, `order`: [route], `model`, `considered` [{route, why}]} where a model table chose, `fingerprint`, `messages` {`new`: [id], `count`: sent in all, `dropped`: left out of the middle, `summary`: id of what stands for them}, `max_tokens`, `temperature`, `reserved` {tokens, usd}, `last` (step), `withheld` [{tool, by, why}] (by a breaker, settled with the request) |
| `model.finished` | same | `model` (that answered), `route` (of the table), `message` (id), `finish_reason`, `usage` {input_tokens, output_tokens, cached_tokens}, `usd` (null: unknown price), `seconds`, `fingerprint`; or `failed` {type, message} |
| `decision.made` | …/turn | `offered` [tool], `withheld` [{tool, by, why}], `chosen` [{id, tool, arguments}], `text`, `temperature`, `budget` {tokens, usd, steps, seconds left; null: no cap} |
| `inbox.read` | …/turn/inbox | `messages` [{id, by, text}] from outside that the agent reads before this turn |
| `tool.checked` | …/tool:i | `tool`, `arguments`, `verdict`: allow, deny, ask, `by`: known, arguments, scope, approval…, `why`, `counted` [counter of calls in this run] |
| `tool.started` | …/tool:i | `tool`, `arguments` (as a person edited them, where one did), `effects`, `idempotent`, `key` (idempotency key), `fingerprint` (of the call as the model made it), `approval` (id; used up by this event), `given` {parameter: JSON} (of a function with an undo) |
| `tool.finished` | same | `tool`, `outcome`: ok, error, timeout, unavailable (not called: its circuit is open), invalid, unknown_tool, denied, unknown; `message` (id of what the model sees), `received` and `selected` (characters), `full` (text, where cut), `output` (of a function, and of a tool with an undo), `pages` and `allowance` (tokens a page, where cut), `keeps` (key under which it serves equal calls), `cached` {path (of the call that it is the result of), age (seconds), stale}, `error` {type, message, where}, `label` (of the result), `seconds`, `fingerprint`, `late` (told by an owner who had lost the task) |
| `guardrail.checked` | …/guardrail:{on}:i | `guardrail`, `on`: input, arguments, results, messages, output, memory; `verdict`, `why`, `expires` |
| `condition.checked` | task/when, task#n/until | `condition` (its text, or the function's name), `verdict`: allow, deny, and of `until` also revise, ask; `why`, `values` {what it looked at: what stood there} |
| `conflict.resolved` | task#n/resolved | `rule` (that decided), `chosen` (task whose result counts), `why`, `about` (the field that had to be the same), `parties` [{task, agent, value, evidence, label}], `tried` [{rule, why}] (rules that did not decide). Where results contradict each other |
| `plan.proposed` | task/plan:n/proposal | `by` (role), `tasks` [{name, description, expected_output, agent, needs, tools}], `kept` [task of an earlier plan whose result stands], `why` (a new one). Checked, and approved where that is asked for |
| `plan.failed` | task/plan:n/closed | `kept` [task], `failed` {task: why}, `why`. Another plan follows |
| `wait.started` | task#n/wait | `id`, `for`: event, time; `event` (name), `deadline` (when it gives up) or `until` (when it goes on) |
| `wait.finished` | same | `id`, `outcome`: arrived, due, deadline; `signal` (id of the event), `by`, `output` |
| `wait.refused` | same | `signal` (id of an event whose data is not what was promised), `by`, `why` |
| `undo.started` | undo, task/undo | A run or a task is given up: `scope`: run, task; `status` (of the run), `why`, `calls` [path] (its effects, in the order in which they are undone) |
| `undo.finished` | same | `undone` {path: tool}, `left` {path: why} |
| `undo.started` | …/tool:i/undo | `tool` (that undoes), `of` (tool), `arguments`, `effects`, `idempotent`, `key`, `fingerprint`, `approval` |
| `undo.finished` | same | `tool`, `of`, `outcome`: ok; or `failed` {type, message} |
| `approval.requested` | …/ask | `id`, `kind`: tool, output, unknown; `question`, `tool`, `definition` (hash of the tool), `arguments`, `output`, `reason`, `objection` (why edited arguments were not accepted), `origins` {control argument: {from, trusted}}, `preview`, `parameters` (schema of the tool), `binding` (hash of all that the decision is bound to), `expires` (from then on it is a no) |
| `approval.decided` | …/ask | `id`, `decision`: approve, deny; `note`, `by`, `arguments` (edited). Appended by other processes; `expired` by the run itself |
| `approval.told` | …/ask | `id`, `by` (slack #ops, webhook HOST, terminal), `outcome`: told, failed; `attempts`, `why` (not): whether somebody could be told of the question |
| `memory.searched` | under the call | `namespace`, `query`, `k`, `where`, `hits` [{id, source, start, end, score, parts {dense, lexical, neighbour, author}, label, run, agent}] |
| `memory.recalled` | task/0/recall | `query`, `namespace`, `hits` (as above), `chosen` [{id, as: example/warning, why, task}], `text` (that the agent is told), `label`. What became of earlier tasks |
| `memory.written` | under the call | `namespace`, `count`, `ids`, `sources`; of documents `unchanged`, `removed`, `refused` {source: why}; task/0/episode: what became of the task |
| `task.escalated` | task/fallback:n | `to` (who tries next), `why`, `answer` and `output` (that were not accepted), `label` |
| `retry.scheduled` | …/model, …/tool:i | `attempt`, `seconds`, `why`, `route` (of the model table, that failed) |
| `breaker.changed` | | `tool` (empty: all of the run), `state`: open, half-open, closed; `why`, `until` (RFC 3339, where open) |
| `limit.exceeded` | | `limit`: tokens, usd, seconds, steps, depth; `level` (whose cap), `why` (used, cap) |
| `note` | anywhere | `text` |
| `journal.slow` | | `seconds` for which it has not answered. Only told to who listens, as `model.chunk` (`text`) is; `seq` 0 |
| `journal.damaged` | | `why`, `after` (seq), `file`. Made by the reader where a journal cannot be read on; `seq` 0 |
"""  # noqa: E501

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

_ITEM = re.compile(r"(?<=[\w-])\[\d+\](?=[/#]|$)")
_NUMBER = re.compile(r"#\d+|(?<=[\w-])\[\d+\](?=[/#]|$)")

VERSION = 1
"""Version of the envelope. A reader refuses a newer one by name."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An event on its way into the journal, which adds where and when."""

    type: str
    path: str = ""
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    task: str = ""
    agent: str = ""
    attempt: int = 1
    key: str | None = None
    """What may happen once per run: a second event of the same key is dropped, the first writer wins."""
    ts: str = ""
    """RFC 3339 in UTC with microseconds."""
    t: float = 0.0
    """Seconds on the process's steady clock."""
    seg: str = ""
    """The process incarnation that saw it happen."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a run, as the journal holds it."""

    run: str
    seq: int
    """Gapless within the run, from 1. Live-only events (streamed text) have 0."""
    type: str
    ts: str
    t: float
    seg: str
    path: str = ""
    task: str = ""
    agent: str = ""
    attempt: int = 1
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    v: int = VERSION

    @property
    def span(self) -> str:
        """Stable id of the step or task this belongs to (16 hex digits)."""
        return span_id(self.run, self.path)

    @property
    def parent(self) -> str:
        """The span that encloses this one; empty for the run itself."""
        return span_id(self.run, enclosing(self.path)) if self.path else ""

    def to_json(self) -> str:
        """Write the whole envelope as one line of JSON."""
        return json.dumps(
            {
                "v": self.v,
                "seq": self.seq,
                "ts": self.ts,
                "t": self.t,
                "run": self.run,
                "seg": self.seg,
                "type": self.type,
                "span": self.span,
                "parent": self.parent,
                "task": self.task,
                "agent": self.agent,
                "path": self.path,
                "attempt": self.attempt,
                "data": self.data,
            },
            ensure_ascii=False,
        )


def enclosing(path: str) -> str:
    """Return the path around a path: of a step its turn, of an iteration or an item its task, of a task the run."""
    outer, _, segment = path.rpartition("/")
    inner = segment.rfind("#") if "#" in segment else segment.find("[")
    if inner < 0:
        return outer
    return f"{outer}/{segment[:inner]}" if outer else segment[:inner]


def defined(path: str) -> str:
    """Return a path without the numbers of iterations and items: the place in the definition."""
    return _NUMBER.sub("", path)


def map_of(path: str) -> str:
    """Return the outermost map in which a path lies: the task that is done for each item; empty where there is none."""
    item = _ITEM.search(path)
    return path[: item.start()] if item else ""


def is_item(path: str) -> bool:
    """Say whether a path is that of one item of a map."""
    item = _ITEM.search(path.rpartition("/")[2])
    return item is not None and item.end() == len(path.rpartition("/")[2])


def span_id(run: str, path: str) -> str:
    """Return the span id of a path: the same in every process and every export."""
    return blake2b(f"{run}\x1e{path}".encode(), digest_size=8).hexdigest()
