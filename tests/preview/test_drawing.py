import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from crewkit import Agent, Conversation, Crew, Planner, Task, Transitions, any_of
from crewkit.core.events import Event
from crewkit.crew.options import Options
from crewkit.journal.sqlite import SqliteJournal
from crewkit.preview.drawing import Box, dot, every, mermaid, of_plan, of_run, text
from crewkit.preview.svg import svg

SVG = "{http://www.w3.org/2000/svg}"


def f(a: str = "") -> str:
    return "x"


def fail() -> str:
    raise RuntimeError("no")


agent = Agent('<Writer> & "Co"', "Write.")
inner = Crew([Task("look", do=f), Task("check", do=f, needs=["look"])])
crew = Crew(
    [
        Task("kind", do=f),
        Task("left", do=f, needs=["kind"], when="kind == 'x'"),
        Task("right", do=f, needs=["kind"], when="kind == 'y'"),
        Task("sub", do=inner),
        Task("join", do=f, needs=[any_of("left", "right"), "sub"]),
        Task("broken", do=fail, on_failure="skip"),
        Task("write", "Write <b>.", agent=agent, needs=["broken"]),
    ]
)


def places(drawn: str) -> dict[str, tuple[float, float, float, float]]:
    found = {}
    for group in ElementTree.fromstring(drawn).iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        path = group.findtext(f"{SVG}title").splitlines()[0]
        found[path] = tuple(float(rect.get(name)) for name in ("x", "y", "width", "height"))
    return found


def test_a_crew_is_drawn_with_its_conditions_alternatives_and_inner_crews():
    boxes = of_plan(crew.plan)
    drawn = mermaid(boxes)
    assert "t_left -.-> t_join" in drawn
    assert "t_sub --> t_join" in drawn
    assert "subgraph t_sub[" in drawn
    assert "when kind == 'x'" in drawn
    assert "&lt;Writer>" in drawn
    graphviz = dot(boxes)
    assert '"left" -> "join" [style=dashed]' in graphviz
    assert '"sub/check" -> "join" [ltail="cluster_sub"]' in graphviz
    assert r"<Writer> & \"Co\"" in graphviz


def test_each_task_of_an_svg_stands_below_what_it_needs_and_none_covers_another():
    where = places(svg(of_plan(crew.plan)))
    assert set(where) == {box.path for box in every(of_plan(crew.plan))}
    for box in every(of_plan(crew.plan)):
        for need, _ in box.needs:
            assert where[need][1] + where[need][3] < where[box.path][1]
    top = [where[name] for name in crew.plan.jobs]
    for i, (x, y, w, h) in enumerate(top):
        for a, b, c, d in top[i + 1 :]:
            assert x + w <= a or a + c <= x or y + h <= b or b + d <= y
    x, y, w, h = where["sub"]
    for name in ("sub/look", "sub/check"):
        a, b, c, d = where[name]
        assert x <= a
        assert a + c <= x + w
        assert y <= b
        assert b + d <= y + h


def test_no_arrow_of_an_svg_passes_below_a_task_that_it_does_not_lead_to():
    first, *middle = [Task(name, do=f) for name in ("first", *"abcde")]
    rows = [Task(each.name, do=f, needs=[first]) for each in middle]
    far = Task("far", do=f, needs=[first, *rows[:2]])
    drawn = svg(of_plan(Crew([first, *rows, far, Task("end", do=f, needs=[first, far, rows[4]])]).plan))
    boxes = places(drawn).values()
    for path in re.findall(r'<path d="(M[^"]+)" fill="none"', drawn):
        x, y = map(float, re.match(r"M(\S+) ([^VC]+)", path).groups())
        for end, bend in re.findall(r"V([^C]+)C([^V]+)", path):
            assert not any(a < x < a + w and y < b + h and b < float(end) for a, b, w, h in boxes)
            x, y = map(float, bend.split()[-2:])


async def test_a_run_is_drawn_with_how_each_task_stands(tmp_path):
    with SqliteJournal(tmp_path / "journal.db") as journal:
        result = await crew.run(options=Options(journal=journal))
        boxes = of_run(journal.events(result.run_id))
    assert {box.path: box.status for box in every(boxes)} == {
        **dict.fromkeys(("kind", "left", "sub", "sub/look", "sub/check", "join"), "completed"),
        **dict.fromkeys(("right", "write"), "skipped"),
        "broken": "failed",
    }
    assert "classDef failed" in mermaid(boxes)
    assert "sub/check" in places(svg(boxes))
    assert "    look  completed" in text(boxes)


labels = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)


@given(st.lists(labels, min_size=1, max_size=6, unique=True), labels)
def test_whatever_a_run_calls_its_tasks_the_svg_is_well_formed(names, agent):
    tasks = [{"name": name, "needs": names[:i], "agent": agent} for i, name in enumerate(names)]
    boxes = of_run([Event("r", 1, "run.started", "", 0.0, "s", data={"tasks": tasks})])
    ElementTree.fromstring(svg(boxes))
    dot(boxes)
    mermaid(boxes)


def test_a_circle_in_a_damaged_run_does_not_hang():
    boxes = [Box("a", "a", needs=[("b", False)]), Box("b", "b", needs=[("a", False)])]
    ElementTree.fromstring(svg(boxes))


def test_a_conversation_says_who_hands_over_to_whom_and_a_plan_how_far_it_goes():
    members = [Agent("Writer", "Write."), Agent("Reviewer", "Read.")]
    graph = Transitions({"Writer": ["Reviewer"]}, back={"Reviewer": ["Writer"]})
    talk = Task("talk", "Talk.", do=Conversation(members, speaker=graph, rounds=6))
    plan = Task("plan", "Plan.", do=Planner(members, tasks=3, replans=0), needs=[talk])
    boxes = of_plan(Crew([talk, plan]).plan)
    assert boxes[0].lines == [
        "conversation of Writer, Reviewer (by transitions, 6 messages at most)",
        "Writer → Reviewer",
        "Reviewer → Writer on a failure",
    ]
    assert boxes[1].lines == ["up to 3 tasks that a model plans, for Writer, Reviewer"]


async def test_the_tasks_of_a_plan_are_drawn_inside_of_it(make_options, runs):
    crew = Crew([Task("launch", "Launch.", do=Planner([Agent("A", "Find it."), Agent("B", "Write it.")]))])
    result = await crew.run({}, make_options())
    assert result.ok, result.why
    [box] = of_run(runs.events(result.run_id))
    assert [(each.title, each.status) for each in box.inside] == [("a", "completed"), ("b", "completed")]
    assert [need for need, _ in box.inside[1].needs] == [box.inside[0].path]
