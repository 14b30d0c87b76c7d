"""The tool: a function that a model may ask for, with a schema, effects and a timeout."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Event
from types import NoneType
from typing import (
    Any,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypedDict,
    TypeVar,
    Unpack,
    get_args,
    overload,
)

from crewkit.core.guardrails import NONE, Guardrail, Guardrails
from crewkit.core.label import Label
from crewkit.core.messages import canonical, fingerprint
from crewkit.errors import DefinitionError, ToolError, did_you_mean, expect
from crewkit.memory.base import Hit, Record, Where
from crewkit.resilience.breaker import Breaker
from crewkit.resilience.retry import Retry
from crewkit.resilience.throttle import Rate
from crewkit.tools.care import BREAKER, MAY_PASS, check_care
from crewkit.tools.undo import as_undo, check_undo

Effect = Literal["read", "write", "external", "financial"]

UNDECLARED: tuple[Effect, ...] = ("write", "external")
"""What a tool counts as that does not say what it does."""

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_FOREIGN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
"""As the Model Context Protocol has it. Most providers' models cannot call by all of these."""


class Recall(Protocol):
    """The memory as a tool sees it: every use is in the transcript, and every record says who wrote it.

    Left out, `namespace` is the crew's own, and what its knowledge folders hold is recalled with it. `{name}` in a
    namespace is an input of the crew.
    """

    @property
    def label(self) -> Label:
        """The join of what the call was given and of what it recalled so far."""
        ...

    async def add(self, records: Sequence[Record], *, namespace: str = "") -> list[str]:
        """Remember these; return their ids. What one step adds is there once, however often it is tried.

        Raises:
            ToolError: A record is too large, or the run has written as much as one may.
        """
        ...

    async def recall(
        self, query: str, *, k: int = 5, namespace: str | Sequence[str] = "", where: Where | None = None
    ) -> list[Hit]:
        """Return the `k` records that fit the query best, the best first; `where` is a filter."""
        ...


class Validator(Protocol):
    """A compiled JSON Schema."""

    def iter_errors(self, instance: object) -> Iterator[Any]:
        """Tell what is wrong with the instance, one `jsonschema.ValidationError` at a time."""
        ...


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know of the run. A parameter annotated with it is filled in, unseen by the model."""

    run_id: str
    task: str
    agent: str
    path: str
    """Path of this call's step, for example `draft/2/tool:0`."""
    idempotency_key: str
    """The same for every attempt at this call, in this process or the next; for services that take one."""
    memory: Recall
    """The crew's memory."""
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])
    """The run's inputs."""
    note: Callable[[str], None] = lambda text: None
    """Write a line into the transcript."""
    tool: str = ""
    """For a guardrail: the tool whose call it looks at."""
    stopping: Event = field(default_factory=Event)
    """Set once nobody waits for the call any more: the run was cancelled or stopped, or the tool's time is up. An
    async tool is cancelled then; a sync one looks here, or sleeps with `stopping.wait(seconds)`, and has a second."""

    @property
    def cancelled(self) -> bool:
        """Nobody waits for the call any more: clean up and return."""
        return self.stopping.is_set()


@dataclass(frozen=True, eq=False)
class Tool:
    """A function that a model may ask for. Made by `@tool`; still callable as the function it was."""

    name: str
    description: str
    parameters: dict[str, Any]
    """A closed JSON Schema (2020-12) of type `object`."""
    function: Callable[..., Any]
    """Called with the arguments after validation, converted to the annotated types."""
    effects: tuple[Effect, ...] = UNDECLARED
    idempotent: bool = False
    """Running it twice with one idempotency key is as good as once."""
    timeout: float = 60.0
    """Seconds for one attempt."""
    retries: int | Retry = 0
    """How many times a call is tried again after an error that may pass; a `Retry` also says how patiently."""
    retry_on: tuple[type[Exception], ...] = MAY_PASS
    """Errors that may pass, besides `ToolError(…, retryable=True)`. They are what a breaker counts, too."""
    fallback: Tool | None = None
    """Called in the place of this one where it failed: a call of its own, from the scope on."""
    cache_ttl: float = 0.0
    """Seconds for which a result serves equal calls in the same run; 0: none is kept."""
    stale_on_failure: bool = False
    """Where a call fails, an older result serves, marked as stale."""
    rate: Rate | str | None = None
    """Calls in a time, for example `30/min`; more wait."""
    concurrency: int | None = None
    """Calls at once; more wait."""
    breaker: Breaker | None = BREAKER
    """When it is left alone for a while. `None`: never."""
    max_tokens: int = 5_000
    """Longest result that a model is shown at once, a token being about four bytes; it can page through the rest, and
    the whole stays in the journal."""
    guardrails: Guardrails | Sequence[Guardrail] = NONE
    """For its arguments and its results; a plain list is for the results."""
    context: str = ""
    """The parameter that receives the `ToolContext`; empty where there is none."""
    convert: Callable[[dict[str, Any]], dict[str, Any]] = field(default=dict, repr=False)
    """From validated JSON data to what the function takes. Raises `ValueError` where it cannot."""
    control: Sequence[str] | None = None
    """The arguments that decide where an effect lands: recipient, amount, path, URL. `None`: all of them."""
    trusted: bool = False
    """What it returns may be taken at its word: nobody outside can have written it."""
    sensitive: bool = False
    """It reads what not everybody may know."""
    preview: Callable[..., Any] | None = None
    """Called with the arguments before a person is asked: says what the call would do, and does nothing."""

    undo: Tool | None = None
    """Takes a call back, where what it was made for is given up. Its parameters are filled by name from the call's
    arguments, its `result` and its idempotency `key`. `@tool(undo=…)` also takes a plain function, which has to be
    idempotent: where a process died in the middle, it is called again."""

    def __post_init__(self) -> None:
        if not _FOREIGN_NAME.fullmatch(self.name):
            raise _unfit(self.name)
        if not self.description.strip():
            raise DefinitionError(f"Tool '{self.name}' has no description. Say what it does, for the model.")
        if not self.effects or not set(self.effects) <= set(get_args(Effect)):
            raise DefinitionError(
                f"Tool '{self.name}' has the effects {list(self.effects)}. "
                f"Use one or more of: {', '.join(get_args(Effect))}; 'read' where nothing changes."
            )
        check_care(self)
        check_undo(self)
        self._check_control()

    def _check_control(self) -> None:
        if self.control is None:
            return
        expect(
            f"Tool '{self.name}'", "control", self.control, Iterable, "a list of arguments: control=['to']"
        )
        if isinstance(self.control, str):
            raise DefinitionError(
                f"Tool '{self.name}': control='{self.control}' is a text. Write control=['{self.control}']."
            )
        object.__setattr__(self, "control", tuple(self.control))
        known = self.parameters.get("properties", {})
        for name in self.control:
            if name not in known:
                raise DefinitionError(
                    f"Tool '{self.name}' has no argument '{name}' to be a control argument."
                    f"{did_you_mean(name, known)} Its arguments: {', '.join(known) or 'none'}."
                )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, unchecked: for your own code and its tests."""
        return self.function(*args, **kwargs)

    @property
    def label(self) -> Label:
        """The label of what it returns, as far as the tool itself goes."""
        return Label(self.trusted, (f"tool {self.name}",))

    @property
    def reads_only(self) -> bool:
        """Nothing changes by calling it."""
        return set(self.effects) <= {"read"}

    @property
    def repeatable(self) -> bool:
        """It may be called again where nobody knows whether it was: nothing changes, or only once."""
        return self.reads_only or self.idempotent

    @property
    def retry(self) -> Retry:
        """How often and how patiently it is tried again."""
        return self.retries if isinstance(self.retries, Retry) else Retry(attempts=self.retries + 1)

    def may_pass(self, error: BaseException) -> bool:
        """Say whether an error may pass by itself."""
        return error.retryable if isinstance(error, ToolError) else isinstance(error, self.retry_on)

    @cached_property
    def definition(self) -> str:
        """Hash of what it promises: an approval of a call holds for this tool and no other."""
        return fingerprint(
            self.name,
            self.description,
            canonical(self.parameters),
            ",".join(self.effects),
            str(self.idempotent),
        )

    @cached_property
    def validator(self) -> Validator:
        """The compiled `parameters`. A reference out of the schema is an error, never a request."""
        from crewkit.core.validator import validator

        return validator(self.parameters)


class FunctionTool(Tool, Generic[P, R_co]):
    """What `@tool` makes: a tool that type checkers let you call as the function it was."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself, unchecked: for your own code and its tests."""
        return self.function(*args, **kwargs)


class ToolOptions(TypedDict, total=False):
    """What may be said of a tool besides what it is; each means what the field of `Tool` says."""

    effects: Effect | Sequence[Effect] | None
    """What a call does. Left out, it counts as `write` and `external`: a person is asked."""
    idempotent: bool
    timeout: float
    retries: int | Retry
    retry_on: tuple[type[Exception], ...]
    fallback: Tool | None
    cache_ttl: float
    stale_on_failure: bool
    rate: Rate | str | None
    concurrency: int | None
    breaker: Breaker | None
    max_tokens: int
    guardrails: Guardrails | Sequence[Guardrail]
    control: Sequence[str] | None
    trusted: bool
    sensitive: bool
    preview: Callable[..., Any] | None
    undo: Tool | Callable[..., Any] | None


@overload
def tool(
    function: Callable[P, R], /, *, name: str | None = None, **options: Unpack[ToolOptions]
) -> FunctionTool[P, R]: ...
@overload
def tool(
    *, name: str | None = None, **options: Unpack[ToolOptions]
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    **options: Unpack[ToolOptions],
) -> Any:
    """Make a tool of a function: its signature and docstring are what the model reads.

    Args:
        function: A sync or async function whose parameters are annotated. A parameter annotated with
            `ToolContext` is filled in and not shown to the model.
        name: What the model calls it; the function's name where left out.
        **options: `effects`, `timeout`, `retries` …: see the fields of `Tool`.

    Raises:
        DefinitionError: The function cannot be described to a model.
    """

    def make(function: Callable[P, R], names: Mapping[str, Any]) -> FunctionTool[P, R]:
        from crewkit.tools.schema import describe

        label = _label(function, name)
        described = describe(function, _where(function, label), names)
        given = _given(label, options)
        if given.get("undo") is not None:
            like = {"effects": given["effects"]} | {n: given[n] for n in ("timeout", "retries") if n in given}
            given["undo"] = as_undo(given["undo"], label, _where(function, label), names, like)
        return FunctionTool(
            name=label,
            description=described.description,
            parameters=described.parameters,
            function=function,
            context=described.context,
            convert=described.convert,
            **given,
        )

    def decorate(function: Callable[P, R]) -> FunctionTool[P, R]:
        return make(function, _names_of_caller())

    return decorate if function is None else make(function, _names_of_caller())


def tool_from_schema(
    name: str,
    description: str,
    parameters: dict[str, Any],
    function: Callable[..., Any],
    **options: Unpack[ToolOptions],
) -> Tool:
    """Make a tool of a callable and a foreign JSON Schema; its arguments arrive by name, as JSON data.

    Schemas of any draft, of OpenAPI and of providers are read: see `crewkit.tools.foreign`. `effects`, `timeout`,
    `retries` … are those of `Tool`. The name may have dots, as names of the Model Context Protocol do; an agent's tools
    need names that models can call.

    Raises:
        DefinitionError: `parameters` is not a JSON Schema of type `object`, or a value is out of range.
    """
    from jsonschema import FormatChecker
    from jsonschema.exceptions import SchemaError

    from crewkit.core.pattern import ecma
    from crewkit.core.validator import validator_kind
    from crewkit.tools.foreign import patterns, standard

    try:
        parameters = standard(parameters)
        validator_kind(parameters).check_schema(parameters, format_checker=FormatChecker(formats=()))
        for pattern in patterns(parameters):
            ecma(pattern)
    except (SchemaError, RecursionError, TypeError, ValueError, AttributeError) as error:
        problem = str(getattr(error, "message", error) or "it is nested too deeply")
        raise DefinitionError(
            f"Tool '{name}' has parameters that are no JSON Schema: {problem[:300]}. Correct the schema."
        ) from error
    if parameters.get("type") != "object":
        raise DefinitionError(
            f"Tool '{name}' has parameters of type {parameters.get('type')!r}. Wrap them in an 'object'."
        )
    said = description if description.strip() else f"Call {name}."
    return Tool(name, said, parameters, function, **_given(name, options))


def as_tools(tools: Sequence[Tool], where: str) -> tuple[Tool, ...]:
    """Check a toolset: tools, and no name twice.

    Raises:
        DefinitionError: Something in it is no tool, or two share a name.
    """
    if isinstance(tools, Tool | str):
        raise DefinitionError(
            f"{where}: tools={getattr(tools, 'name', tools)!s} is not a list. Write tools=[…]."
        )
    expect(where, "tools", tools, Iterable, "a list: tools=[search]")
    names: set[str] = set()
    for tool in tools:
        if not isinstance(tool, Tool):  # pyright: ignore[reportUnnecessaryIsInstance]
            what = getattr(tool, "__name__", repr(tool))
            raise DefinitionError(f"{where}: {what} is not a tool. Decorate the function with @tool.")
        if not _NAME.fullmatch(tool.name):
            raise _unfit(tool.name)
        if tool.name in names:
            raise DefinitionError(f"{where} has two tools named '{tool.name}'. Rename one: @tool(name=…).")
        names.add(tool.name)
    return tuple(tools)


def _unfit(name: str) -> DefinitionError:
    return DefinitionError(
        f"Tool '{name}' has a name that models cannot call. "
        "Begin with a letter or '_', go on with letters, digits, '_' and '-', 64 characters at most."
    )


def _names_of_caller() -> dict[str, Any]:
    """Return the names known where the tool is defined: its types may be local to a function."""
    frame = inspect.currentframe()
    while frame and frame.f_globals is globals():
        frame = frame.f_back
    return dict(frame.f_locals) if frame else {}


def _label(function: Callable[..., Any], name: str | None) -> str:
    label = name or getattr(function, "__name__", type(function).__name__)
    if label == "<lambda>":
        raise DefinitionError("A tool is made of a lambda without a name. Write a `def` with a docstring.")
    if not _NAME.fullmatch(label):
        raise _unfit(label)
    return label


def _where(function: Callable[..., Any], label: str) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return (
        f"Tool '{label}' ({Path(code.co_filename).name}, line {code.co_firstlineno})"
        if code
        else f"Tool '{label}'"
    )


def _given(name: str, options: ToolOptions) -> dict[str, Any]:
    """Return the options as the fields of a tool."""
    given: dict[str, Any] = {**options}
    known = ToolOptions.__annotations__
    for option in given:
        if option not in known:
            raise DefinitionError(
                f"Tool '{name}' has no option '{option}'.{did_you_mean(option, known)} There are: {', '.join(known)}."
            )
    effects: Any = options.get("effects")
    expect(
        f"Tool '{name}'",
        "effects",
        effects,
        (Iterable, NoneType),
        "a text or a list of texts: effects='read'",
    )
    given["effects"] = UNDECLARED if effects is None else (effects,) if isinstance(effects, str) else effects
    given["effects"] = tuple(dict.fromkeys(given["effects"]))
    return given
