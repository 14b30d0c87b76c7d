import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, TypeAdapter

from crewkit.agents.prompt import assignment_text, system_prompt
from crewkit.core.messages import ChatMessage
from crewkit.models.base import Request, ToolSpec, Watch
from crewkit.models.offline import OfflineModel
from crewkit.tools.cut import cut
from crewkit.tools.result import to_text
from crewkit.tools.tool import Tool, tool

NOTE = "(offline model: extracted by rule, not written by a language model)"


class Loop:
    """A small agent's loop around the model."""

    def __init__(self, *tools: Tool, effects: bool = False) -> None:
        self.tools = {t.name: t for t in tools}
        self.model = OfflineModel(effects=effects)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.turns = 0
        self.messages: list[ChatMessage] = []
        self.schema: dict[str, Any] | None = None

    async def run(
        self,
        description: str,
        expected: str = "",
        inputs: dict[str, Any] | None = None,
        upstream: dict[str, str] | None = None,
        type: Any = str,
    ) -> Any:
        adapter = TypeAdapter(type)
        self.schema = None if type is str else adapter.json_schema()
        text = assignment_text("work", description, expected, inputs or {}, upstream or {}, self.schema)
        self.messages = [
            ChatMessage("system", system_prompt("Worker", "Work.", "")),
            ChatMessage("user", text),
        ]
        answer = await self.ask()
        return answer if type is str else adapter.validate_json(answer)

    async def ask(self, *more: ChatMessage) -> str:
        self.messages += more
        for _ in range(10):
            answer = await self.model.answer(self.request(), Watch())
            self.messages.append(answer.message())
            if not answer.tool_calls:
                return answer.content
            self.turns += 1
            for call in answer.tool_calls:
                arguments = json.loads(call.arguments)
                self.calls.append((call.name, arguments))
                self.messages.append(
                    ChatMessage("tool", self.result(call.name, arguments), tool_call_id=call.id)
                )
        raise AssertionError("the model never stopped calling tools")

    def request(self) -> Request:
        specs = (ToolSpec(t.name, t.description, t.parameters, t.effects) for t in self.tools.values())
        return Request(tuple(self.messages), tuple(specs), self.schema)

    def result(self, name: str, arguments: dict[str, Any]) -> str:
        one = self.tools[name]
        assert not list(Draft202012Validator(one.parameters).iter_errors(arguments)), arguments
        try:
            selected = cut(to_text(one.function(**arguments)), one.max_tokens)
            return f"[{selected.left_out}]\n{selected.text}" if selected.left_out else selected.text
        except Exception as error:  # noqa: BLE001 - a tool's body
            return f"'{name}' failed. {type(error).__name__}: {error}"


def lines(answer: str) -> list[str]:
    assert answer.rstrip().endswith(NOTE)
    return [line for line in answer.removesuffix(NOTE).splitlines() if line.strip()]


@tool(effects="read")
def get_weather(
    city: str, units: Literal["celsius", "fahrenheit"] = "celsius", days: int = 1
) -> dict[str, Any]:
    """Current weather in a city."""
    degrees = {"Paris": 21, "Oslo": 4, "New York": 15}
    return {"city": city, "temperature": degrees[city], "units": units, "days": days}


@tool(effects="read")
def calculate(expression: str) -> int:
    """Work out an arithmetic expression."""
    assert re.fullmatch(r"[\d+*/() -]+", expression)
    return eval(expression)


ORDERS = {"A-1042": {"order_id": "A-1042", "customer_id": 77, "total": 59.9, "status": "arrived damaged"}}


@tool(effects="read")
def get_order(order_id: str) -> dict[str, Any]:
    """Look an order up by its id."""
    return ORDERS[order_id]


@tool(effects="read")
def get_customer(customer_id: int) -> dict[str, Any]:
    """Look a customer up."""
    return {"customer_id": customer_id, "name": "Mia Chen", "email": "mia@example.com", "tier": "gold"}


@tool(effects=["write", "financial"])
def refund_order(order_id: str, amount: float) -> str:
    """Pay an order's money back."""
    return f"refunded {amount} for {order_id}"


async def test_values_named_in_the_task_become_one_call_each() -> None:
    loop = Loop(get_weather)
    answer = await loop.run("Compare the weather in Paris, Oslo and New York.", "One line per city.")
    assert loop.calls == [("get_weather", {"city": city}) for city in ("Paris", "Oslo", "New York")]
    assert loop.turns == 1
    assert ["21" in lines(answer)[0], "4" in lines(answer)[1], "15" in lines(answer)[2]] == [True] * 3


async def test_an_optional_argument_is_given_only_where_the_task_states_it() -> None:
    loop = Loop(get_weather)
    await loop.run("Report the weather there in fahrenheit for the next 3 days.", inputs={"city": "Oslo"})
    assert loop.calls == [("get_weather", {"city": "Oslo", "units": "fahrenheit", "days": 3})]


async def test_a_sum_in_the_task_is_worked_out() -> None:
    loop = Loop(calculate, get_weather)
    answer = await loop.run("What is 17 * 23 + 4?", "One number.")
    assert loop.calls == [("calculate", {"expression": "17 * 23 + 4"})]
    assert lines(answer)[0].startswith("395")


async def test_a_result_leads_to_the_next_call_and_effects_are_left_alone() -> None:
    loop = Loop(refund_order, get_customer, get_order)
    answer = await loop.run("Look order A-1042 up and refund it if it was damaged.", "A report.")
    assert loop.calls == [("get_order", {"order_id": "A-1042"}), ("get_customer", {"customer_id": 77})]
    assert "arrived damaged" in answer
    assert "Not called" in answer
    assert "refund_order" in answer


async def test_effects_are_called_where_the_user_opted_in() -> None:
    loop = Loop(refund_order, get_order, effects=True)
    await loop.run("Look order A-1042 up and refund its total.")
    assert loop.calls[-1] == ("refund_order", {"order_id": "A-1042", "amount": 59.9})


def pages(texts: dict[str, str]) -> tuple[Tool, Tool]:
    @tool(effects="read")
    def web_search(query: str, max_results: int = 5) -> list[dict[str, str]]:
        """Search the web."""
        found = [url for url, text in texts.items() if query.lower() in text.lower()]
        return [{"url": url, "title": url.rpartition("/")[2]} for url in found][:max_results]

    @tool(effects="read")
    def fetch(url: str) -> str:
        """Return the text of a page."""
        return texts[url]

    return fetch, web_search


async def test_pages_are_searched_before_they_are_fetched_and_cited() -> None:
    loop = Loop(
        *pages(
            {
                "https://a.example/t": "Boats rest. The tides at Dover turn at noon.",
                "https://a.example/b": "Bread.",
            }
        )
    )
    answer = await loop.run("When do the tides turn?", "One sentence.", {"topic": "tides at Dover"})
    assert loop.calls[-1] == ("fetch", {"url": "https://a.example/t"})
    assert lines(answer) == ["The tides at Dover turn at noon. (https://a.example/t)"]


async def test_a_search_that_finds_nothing_is_tried_in_simpler_words() -> None:
    loop = Loop(*pages({"https://a.example/t": "Zanzibar exports cloves."}))
    answer = await loop.run("Which goods does Zanzibar export to the world?")
    assert ("web_search", {"query": "Zanzibar"}) in loop.calls
    assert lines(answer)[0].startswith("- Zanzibar exports cloves.")


def folder(count: int, facts: dict[int, str]) -> dict[str, str]:
    plain = "# Log {i}\n\nThe crew met at nine.\nNothing else was decided and the weather was mild.\n"
    return {f"log-{i:03}.md": plain.format(i=i) + facts.get(i, "") for i in range(count)}


def reader(files: dict[str, str], wanted: Callable[[str], str] = str) -> tuple[Tool, Tool]:
    @tool(effects="read")
    def read_file(path: str) -> str:
        """Read a file."""
        return files[wanted(path)]

    @tool(effects="read")
    def list_files(folder: str) -> list[str]:
        """List the files of a folder."""
        return list(files)

    return read_file, list_files


async def test_a_fact_in_one_of_fifty_files_is_found_and_comes_first() -> None:
    loop = Loop(*reader(folder(50, {31: "The engine's code name is Bluebird."})))
    answer = await loop.run(
        "Answer from the files.", inputs={"folder": "logs", "question": "What is the engine's code name?"}
    )
    assert len(loop.calls) == 51
    assert lines(answer)[0] == "- The engine's code name is Bluebird. (log-031.md)"


async def test_a_path_that_is_not_found_is_tried_again_below_its_folder() -> None:
    files = folder(3, {1: "The key hangs behind the door."})
    loop = Loop(
        *reader(files, lambda path: path.removeprefix("logs/") if path.startswith("logs/") else f"no {path}")
    )
    loop.result = lambda name, arguments: (  # type: ignore[method-assign]
        f"'read_file' failed. FileNotFoundError: No such file: {arguments['path']}"
        if name == "read_file" and not arguments["path"].startswith("logs/")
        else Loop.result(loop, name, arguments)
    )
    answer = await loop.run("Where does the key hang?", inputs={"folder": "logs"})
    assert loop.calls[-3:] == [("read_file", {"path": f"logs/log-00{i}.md"}) for i in range(3)]
    assert "behind the door" in lines(answer)[0]


async def test_an_error_that_names_the_right_value_is_repaired_once() -> None:
    @tool(effects="read")
    def stock(product: str) -> int:
        """Count what is in stock of a product."""
        if product != "blue lamp":
            raise KeyError("Unknown product. Did you mean 'blue lamp'?")
        return 12

    loop = Loop(stock)
    answer = await loop.run("How many are in stock?", inputs={"product": "Blue Lamps"})
    assert loop.calls == [("stock", {"product": "Blue Lamps"}), ("stock", {"product": "blue lamp"})]
    assert "12" in lines(answer)[0]


async def test_an_error_that_cannot_be_repaired_ends_in_an_honest_answer() -> None:
    loop = Loop(get_order)
    answer = await loop.run("Look order B-7 up.")
    assert loop.calls == [("get_order", {"order_id": "B-7"})]
    assert "There is nothing to answer from" in answer
    assert "get_order failed" in answer


async def test_enum_members_in_the_task_choose_what_is_looked_up() -> None:
    rows = {
        "orders": [{"id": 1, "customer": "Ada"}, {"id": 2, "customer": "Bob", "total": 70}],
        "customers": [],
    }

    @tool(effects="read")
    def select(
        table: Literal["orders", "customers", "staff"], customer: str | None = None
    ) -> list[dict[str, Any]]:
        """Select the rows of a table."""
        return [row for row in rows[table] if customer is None or row["customer"] == customer]

    loop = Loop(select)
    answer = await loop.run("What is the total of the orders of customer Bob?")
    assert ("select", {"table": "orders", "customer": "Bob"}) in loop.calls
    assert all(arguments["table"] != "staff" for _, arguments in loop.calls)
    assert "total: 70" in lines(answer)[0]


async def test_a_tool_for_talking_is_used_only_where_the_task_says_so() -> None:
    @tool(effects="read")
    def ask_colleague(who: Literal["Ada", "Bob"], question: str) -> str:
        """Ask a colleague."""
        return f"{who} says the budget is 900 euros."

    loop = Loop(ask_colleague)
    await loop.run("What is the budget?")
    assert loop.calls == []
    answer = await loop.run("Ask Bob what the budget is.")
    assert [arguments["who"] for _, arguments in loop.calls] == ["Bob"]
    assert "Bob says the budget is 900 euros." in answer


async def test_without_anything_to_work_from_the_answer_says_so() -> None:
    answer = await Loop().run("Write a haiku about rain.", "Three lines.", {"topic": "rain"})
    assert lines(answer)[0].startswith("There is nothing to answer from.")


async def test_earlier_results_are_merged_with_their_sources_and_in_their_order() -> None:
    upstream = {
        "news": f"- Tides rose in May (a.md)\n- A harbour opened in Dover (b.md)\n\n{NOTE}",
        "history": "Tides were measured in 1831.",
    }
    answer = await Loop().run(
        "Merge the notes on {topic}.", "Three lines, each with its source.", {"topic": "tides"}, upstream
    )
    assert lines(answer) == [
        "- Tides rose in May (a.md)",
        "- A harbour opened in Dover (b.md)",
        "- Tides were measured in 1831. (history)",
    ]


class Item(BaseModel):
    description: str
    quantity: int


class Invoice(BaseModel):
    invoice_number: str = Field(pattern=r"^INV-\d+$")
    vendor: str
    date: date
    total: float = Field(gt=0)
    currency: Literal["EUR", "USD", "GBP"]
    contact_email: str | None = None
    due_date: date | None = None
    paid: bool = False
    items: list[Item] = []


async def test_an_invoice_is_read_into_its_fields() -> None:
    text = (
        "INVOICE\nVendor: Brass & Sons Ltd\nInvoice No: INV-2077\nDate: 12 March 2024\nDue date: 2024-04-11\n"
        "Questions to accounts@brass.example\nTotal: 1,250.00 EUR\n"
    )
    found = await Loop().run("Read the invoice.", inputs={"document": text}, type=Invoice)
    assert found == Invoice(
        invoice_number="INV-2077",
        vendor="Brass & Sons Ltd",
        date=date(2024, 3, 12),
        due_date=date(2024, 4, 11),
        total=1250.0,
        currency="EUR",
        contact_email="accounts@brass.example",
    )


class Label(BaseModel):
    category: Literal["billing", "technical", "account", "other"]
    approved: bool
    reason: str


@pytest.mark.parametrize(
    ("ticket", "category"),
    [
        ("I was charged twice for my subscription, please pay me back", "billing"),
        ("The app shows an error and crashes whenever I open it", "technical"),
        ("I forgot my password and cannot login any more", "account"),
        ("Do you also have this in green?", "other"),
    ],
)
async def test_a_text_is_put_into_the_class_it_speaks_for(ticket: str, category: str) -> None:
    found = await Loop().run(
        "Classify the ticket: billing, technical, account or other.", inputs={"ticket": ticket}, type=Label
    )
    assert (found.category, found.approved) == (category, False)
    assert found.reason == ticket


async def test_classes_that_the_task_explains_are_chosen_by_their_explanation() -> None:
    Kind = Literal["flora", "fauna", "unclear"]
    task = "Sort the note. flora: trees, moss, flowers; fauna: birds, beetles, deer."
    assert (
        await Loop().run(task, inputs={"note": "We counted nine beetles and two deer."}, type=Kind) == "fauna"
    )
    assert await Loop().run(task, inputs={"note": "We walked home in the evening."}, type=Kind) == "unclear"


class Citation(BaseModel):
    file: str
    start: int
    end: int
    quote: str


class Finding(BaseModel):
    statement: str
    citations: list[Citation] = Field(min_length=1)


DOCUMENTS = {
    "a.md": "# Harbour\n\n"
    + "Boats come and go all day. " * 20
    + "The lock was built in 1902 by Ines Duarte. It leaks.",
    "b.md": "# Bakery\n\nBread is sold until noon. The oven was built in 1950.",
}


@tool(effects="read")
def recall(query: str, k: int = 5) -> list[dict[str, Any]]:
    """Recall passages."""
    return [{"file": f, "start": 0, "end": len(t), "title": f, "text": t} for f, t in DOCUMENTS.items()]


async def test_citations_are_copied_from_one_hit_and_stay_true_when_narrowed() -> None:
    found = await Loop(recall).run("Who built the lock?", type=list[Finding])
    assert found[0].statement == "The lock was built in 1902 by Ines Duarte."
    for citation in (c for finding in found for c in finding.citations):
        assert DOCUMENTS[citation.file][citation.start : citation.end] == citation.quote
    assert len(found[0].citations[0].quote) < 60


async def test_what_a_complaint_names_is_left_out_of_the_next_answer() -> None:
    loop = Loop(recall)
    found = await loop.run("What was built?", type=list[Finding])
    assert {c.file for f in found for c in f.citations} == {"a.md", "b.md"}
    again = await loop.ask(
        ChatMessage(
            "user",
            "Your answer was not accepted: 'b.md' has no quote 'The oven was built in 1950.' Answer again, whole.",
        )
    )
    assert {c.file for f in TypeAdapter(list[Finding]).validate_json(again) for c in f.citations} == {"a.md"}


async def test_a_complaint_about_one_quote_spares_another_of_the_same_file() -> None:
    answer = json.dumps(
        [
            {"file": "docs/a.md", "quote": "The oven is new."},
            {"file": "docs/a.md", "quote": "Bread\nis sold."},
        ]
    )
    upstream = {"notes": answer}
    loop = Loop()
    assert len(await loop.run("Copy the quotes.", upstream=upstream, type=list[dict[str, str]])) == 2
    complaint = "Your answer was not accepted: - not in 'docs/a.md': 'Bread\\nis sold.'"
    again = json.loads(await loop.ask(ChatMessage("user", complaint)))
    assert [entry["quote"] for entry in again] == ["The oven is new."]


async def test_results_that_were_cut_are_still_read() -> None:
    rows = [
        {"name": f"crane {i}", "note": f"Crane {i} lifts {i + 10} tons in calm weather."} for i in range(200)
    ]

    @tool(effects="read", max_tokens=750)
    def inventory() -> list[dict[str, str]]:
        """List the cranes."""
        return rows

    answer = await Loop(inventory).run("How many tons does crane 7 lift?", "One sentence.")
    assert lines(answer)[0].startswith("Crane 7 lifts 17 tons")


async def test_the_last_turn_without_tools_is_answered_from_what_is_there() -> None:
    loop = Loop(*reader(folder(3, {1: "The key hangs behind the door."})))
    await loop.run("Where does the key hang?", inputs={"folder": "logs"})
    request = loop.request()
    told = (
        *request.messages[:-1],
        ChatMessage("user", "Give your best final answer now, from what you have."),
    )
    answer = await OfflineModel().answer(Request(told), Watch())
    assert "behind the door" in answer.content
    assert not answer.tool_calls


async def test_arguments_of_nested_objects_and_lists_come_from_inputs() -> None:
    class Route(BaseModel):
        origin: str
        destination: str

    @tool(effects="read")
    def distances(route: Route, stops: list[str], limit: int) -> str:
        """Measure a route."""
        return "It is 310 kilometres."

    loop = Loop(distances)
    await loop.run(
        "Measure the route.", inputs={"origin": "Bern", "destination": "Ulm", "stops": ["Chur", "Lindau"]}
    )
    assert loop.calls == [
        (
            "distances",
            {"route": {"origin": "Bern", "destination": "Ulm"}, "stops": ["Chur", "Lindau"], "limit": 10},
        )
    ]


async def test_a_tool_whose_arguments_nobody_named_is_not_called() -> None:
    loop = Loop(get_order)
    await loop.run("Write a short poem about the sea.")
    assert loop.calls == []


CONVERSATION = """
import asyncio, sys
sys.path.insert(0, {tests!r})
from test_offline import Loop, recall, Finding
async def main():
    loop = Loop(recall)
    await loop.run("What was built, and when?", type=list[Finding])
    print([(m.role, m.content, m.tool_calls) for m in loop.messages])
asyncio.run(main())
"""


@pytest.mark.slow
def test_the_same_request_has_the_same_answer_in_every_process(request: pytest.FixtureRequest) -> None:
    script = CONVERSATION.format(tests=str(request.path.parent))
    said = {
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


@pytest.mark.parametrize(
    "text",
    [
        "The crane lifts ten tons in calm weather and four in a storm. " * 4_000,
        "a" * 250_000,
        "{" * 250_000,
        '[{"a":' * 40_000,
        "- \n" * 80_000,
        "\n" * 250_000,
        ". " * 125_000,
        '."' * 125_000,
        "a:b=" * 60_000,
        "1 " * 125_000,
        "A" + " Aa" * 80_000,
        "x@" * 125_000,
    ],
    ids=range(12),
)
async def test_half_a_megabyte_of_anything_is_read_twice_in_seconds(text: str) -> None:
    loop = Loop()
    loop.messages = [
        ChatMessage(
            "user", assignment_text("t", "What does the crane lift?", "", {"note": text}, {"a": text}, None)
        )
    ]
    began = time.process_time()
    await loop.ask()
    loop.schema = TypeAdapter(Invoice).json_schema()
    await loop.ask()
    assert time.process_time() - began < 4.0


leaves = st.one_of(
    st.fixed_dictionaries({"type": st.just("string")}, optional={"minLength": st.integers(0, 5), "maxLength": st.integers(5, 30)}),  # noqa: E501
    st.fixed_dictionaries({"type": st.just("string"), "format": st.sampled_from(["date", "email", "uri", "date-time", "uuid"])}),  # noqa: E501
    st.fixed_dictionaries({"type": st.just("string"), "pattern": st.sampled_from([r"^[A-Z]{3}-\d{2,4}$", r"^(a|b)+c?$", r"\d+"])}),  # noqa: E501
    st.builds(
        lambda kind, low, size: {"type": kind, "minimum": low, "maximum": low + size},
        st.sampled_from(["integer", "number"]), st.integers(-50, 50), st.integers(0, 20),
    ),
    st.fixed_dictionaries({"type": st.just("number"), "exclusiveMinimum": st.integers(-3, 3)}),
    st.fixed_dictionaries({"type": st.just("integer"), "multipleOf": st.integers(1, 7)}),
    st.fixed_dictionaries({"enum": st.lists(st.one_of(st.text(max_size=5), st.integers(), st.none()), min_size=1, max_size=4)}),  # noqa: E501
    st.fixed_dictionaries({"const": st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.none())}),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"$ref": "#/$defs/Node"}, {"type": ["string", "null"]}]),
)  # fmt: skip
names = st.sampled_from(
    [
        "title",
        "answer",
        "file",
        "quote",
        "start",
        "end",
        "total",
        "date",
        "email",
        "url",
        "count",
        "approved",
        "items",
        "tags",
        "notes",
        "x",
    ]
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.dictionaries(names, inner, max_size=4)
    objects = st.builds(
        lambda properties, n: {"type": "object", "properties": properties, "required": list(properties)[:n], "additionalProperties": False},  # noqa: E501
        fields, st.integers(0, 4),
    )  # fmt: skip
    arrays = st.builds(
        lambda items, low, more: {"type": "array", "items": items, "minItems": low, "maxItems": low + more},
        inner, st.integers(0, 3), st.integers(0, 3),
    )  # fmt: skip
    unions = st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options})
    return st.one_of(objects, arrays, unions)


schemas = st.recursive(leaves, containers, max_leaves=8)
NODE = {"type": "object", "properties": {"title": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}, "required": ["title"]}  # fmt: skip  # noqa: E501


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(
    schema=schemas,
    upstream=st.sampled_from(
        [
            "",
            json.dumps(list(ORDERS.values())),
            json.dumps([{"file": "a.md", "start": 3, "end": 9, "text": "The oven was built in 1950."}]),
            "Total: 12\nThe title is Rain.",
        ]
    ),
)
async def test_any_answer_satisfies_its_schema(schema: dict[str, Any], upstream: str) -> None:
    whole = {**schema, "$defs": {"Node": NODE}}
    text = assignment_text(
        "t", "Report.", "", {"topic": "rain"}, {"before": upstream} if upstream else {}, whole
    )
    answer = await OfflineModel().answer(Request((ChatMessage("user", text),), (), whole), Watch())
    problems = [
        error.message for error in Draft202012Validator(whole).iter_errors(json.loads(answer.content))
    ]
    assert not problems


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["user", "assistant", "tool", "system"]), st.text(max_size=200) | st.sampled_from(["# Task: x\n\n## Inputs\n- a: [1", '{"error": "x"}', "[{\"path\": 1}]", "why?"])),  # noqa: E501
        max_size=6,
    )
)  # fmt: skip
async def test_no_conversation_breaks_it(said: list[tuple[Any, str]]) -> None:
    specs = tuple(
        ToolSpec(t.name, t.description, t.parameters, t.effects) for t in (get_order, recall, get_weather)
    )
    request = Request(tuple(ChatMessage(role, text) for role, text in said), specs)
    answer = await OfflineModel().answer(request, Watch())
    assert answer == await OfflineModel().answer(request, Watch())
    assert answer.content or answer.tool_calls
    assert answer.usd == 0.0
