"""The final answer: from text to the type that a task promises, and back to JSON."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from crewkit.errors import DefinitionError, RunError
from crewkit.tools.schema import json_schema

_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)\n\s*```", re.DOTALL)


class WrongAnswer(Exception):
    """An answer that is not of the type asked for. Its text is written for the model."""

    def __init__(self, message: str, problem: str = "") -> None:
        super().__init__(message)
        self.problem = problem or message
        """What is wrong, in a line for people."""


@dataclass(frozen=True)
class Output:
    """A task's output type: how it is asked for, read, checked and kept."""

    type: Any = str
    where: str = ""
    """For messages: `Task 'draft'`."""

    @cached_property
    def schema(self) -> dict[str, Any] | None:
        """JSON Schema of the type; `None` for text.

        Raises:
            DefinitionError: No JSON Schema describes the type.
        """
        if self.type is str:
            return None
        if inspect.isroutine(self.type):
            raise DefinitionError(f"{self.where}: {self.type.__name__}() is a function, not a type.")
        try:
            return json_schema(self.type)
        except DefinitionError as error:
            raise DefinitionError(f"{self.where}: the type cannot be described. {error}") from error

    @property
    def kind(self) -> str:
        """The type as people write it, for messages."""
        return self.type.__name__ if isinstance(self.type, type) else str(self.type).removeprefix("typing.")

    @cached_property
    def _adapter(self) -> Any:
        from pydantic import TypeAdapter

        return TypeAdapter(self.type)

    @property
    def _words(self) -> Sequence[str]:
        """The words of which an answer is one, where the type is nothing else."""
        words = (self.schema or {}).get("enum") or ()
        return words if all(isinstance(word, str) for word in words) else ()

    def parse(self, text: str, receipts: Mapping[str, str] | None = None) -> Any:
        """Read a model's final answer.

        Args:
            text: The answer.
            receipts: The calls that receipts in it may name, by id, with the tool's name. `None`: any.

        Raises:
            WrongAnswer: It is not of the type; the message says where and why, for the model.
        """
        if self.type is str:
            if not text.strip():
                raise WrongAnswer("Your answer was empty. Answer with the result of the task.")
            return text
        words = self._words
        if text.strip() in words:
            return self.load(text.strip(), receipts)  # without its quotation marks
        fenced = _FENCED.findall(text)
        source = fenced[-1] if fenced else text
        try:
            data = json.loads(source.strip(), parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            if words:
                raise WrongAnswer(
                    f"Your answer is none of {', '.join(words)}. Answer with one of these words alone."
                ) from error
            raise WrongAnswer(
                f"Your answer is not JSON ({error}). Answer with one JSON value that satisfies the schema, "
                "and nothing around it."
            ) from error
        return self.load(data, receipts)

    def load(self, data: Any, receipts: Mapping[str, str] | None = None) -> Any:
        """Read JSON data, strictly.

        Raises:
            WrongAnswer: It is not of the type.
        """
        if self.type is str and isinstance(data, str):
            return data
        from pydantic import ValidationError

        try:
            context = {"receipts": receipts}
            return self._adapter.validate_json(
                json.dumps(data, allow_nan=False), strict=None, context=context
            )
        except (ValidationError, ValueError, RecursionError) as error:
            raise _wrong(error) from error

    def dump(self, value: Any) -> Any:
        """Turn a value into JSON data.

        Raises:
            RunError: The value is not of the type, or has no JSON form.
        """
        if self.type is str and isinstance(value, str):
            return value
        from pydantic_core import PydanticSerializationError

        try:
            data = self._adapter.dump_python(value, mode="json", warnings="error")
            self.load(data)
        except (PydanticSerializationError, WrongAnswer, ValueError, RecursionError) as error:
            problem = error.problem if isinstance(error, WrongAnswer) else self._problem(value) or str(error)
            raise RunError(
                f"{self.where} returned {_brief(value)}, which is not {self.kind}: {problem}"
            ) from error
        return data

    def _problem(self, value: Any) -> str:
        """Say what is wrong with a value, place by place; empty where it is of the type and yet no JSON."""
        from pydantic import ValidationError

        try:
            self._adapter.validate_python(value)
        except ValidationError as error:
            return _wrong(error).problem
        return ""

    def text(self, data: Any) -> str:
        """Write JSON data of this type as people and models read it."""
        return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, indent=2)


def as_json(value: Any, where: str) -> Any:
    """Turn a value of any type into JSON data.

    Raises:
        RunError: It has no JSON form.
    """
    return value if isinstance(value, str) else Output(Any, where).dump(value)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _wrong(error: Exception) -> WrongAnswer:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return WrongAnswer(f"Your answer does not fit the schema: {error}", str(error))
    problems = [
        (".".join(str(part) for part in problem["loc"]), problem["msg"])
        for problem in error.errors(include_url=False, include_input=False)[:20]
    ]
    lines = "\n".join(f"- {place or 'the whole answer'}: {said}" for place, said in problems)
    return WrongAnswer(
        f"Your answer does not fit the schema:\n{lines}\nAnswer again with the whole JSON value.",
        "; ".join(f"{place}: {said}" if place else said for place, said in problems),
    )


def _brief(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text[:80]}{'…' if len(text) > 80 else ''}"
