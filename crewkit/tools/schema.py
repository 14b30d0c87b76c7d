"""From Python types to closed JSON Schemas, and from JSON data back to Python values.

The schema of a tool is what the model reads and what its arguments are checked against; pydantic then turns
the checked data into what the annotations say: an Enum, a date, a model.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any, NotRequired, Required, get_args, get_origin, get_type_hints

from docstring_parser import ParseError
from docstring_parser import parse as parse_docstring
from pydantic import ConfigDict, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import PydanticSerializationError, core_schema, to_jsonable_python
from typing_extensions import TypedDict

from crewkit.errors import DefinitionError
from crewkit.tools.tool import ToolContext

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Described:
    """What a function's signature and docstring say to a model."""

    description: str
    parameters: Data
    """A closed JSON Schema of type `object`."""
    context: str
    """The parameter that receives the `ToolContext`; empty where there is none."""
    convert: Callable[[Data], Data]
    """From checked JSON data to the annotated types. Raises `ValueError` where a validator refuses."""


def json_schema(kind: Any) -> Data | None:
    """Describe a type to a model; `None` for `str`, which needs no form.

    Raises:
        DefinitionError: No schema can describe the type.
    """
    if kind is str:
        return None
    try:
        return TypeAdapter(kind).json_schema(schema_generator=_Closed)
    except Exception as error:  # pydantic runs the hooks of types that we do not own
        raise DefinitionError(
            f"The type {_name(kind)} cannot be described by a JSON Schema: {_first_line(error)} "
            "Use plain types, dataclasses or pydantic models."
        ) from error


def describe(function: Callable[..., Any], where: str, names: Mapping[str, Any]) -> Described:
    """Read a function's signature and docstring.

    Args:
        function: A function or a bound method.
        where: How messages begin, for example `Tool 'search' (digest.py, line 12)`.
        names: What annotations in the form of text may name beside the function's globals.

    Raises:
        DefinitionError: Something in the signature or the docstring cannot be shown to a model.
    """
    parameters = _parameters(function, where)
    hints = _hints(function, parameters, where, names)
    description, texts = _documentation(function, where)
    fields: dict[str, Any] = {}
    context = ""
    for name, parameter in parameters.items():
        _refuse_unusable(parameter, hints, where)
        if _is_context(hints[name]):
            _refuse_second_context(context, name, where)
            context = name
            continue
        fields[name] = _field(parameter, hints[name])
        texts[name] = _annotated_text(hints[name]) or texts.get(name, "")
    adapter, schema = _compile(fields, where)
    for name, shown in schema.get("properties", {}).items():
        _complete(shown, texts[name], parameters[name].default)
    return Described(description, schema, context, adapter.validate_python)


class _Closed(GenerateJsonSchema):
    """Objects take what they declare and nothing else, and carry no titles: these repeat the names."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        return _closed(super().model_schema(schema))

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        return _closed(super().dataclass_schema(schema))

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        return _closed(super().typed_dict_schema(schema))

    def generate(
        self, schema: core_schema.CoreSchema, mode: JsonSchemaMode = "validation"
    ) -> JsonSchemaValue:
        whole = super().generate(schema, mode)
        for shown in (whole, *whole.get("$defs", {}).values()):
            shown.pop("title", None)
        return whole

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _closed(shown: JsonSchemaValue) -> JsonSchemaValue:
    if "properties" in shown:
        shown.setdefault("additionalProperties", False)
    return shown


def _parameters(function: Callable[..., Any], where: str) -> Mapping[str, inspect.Parameter]:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(f"{where} is a generator. Return a list, or a text, instead of yielding.")
    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        raise DefinitionError(
            f"{where} is not a function but a {type(function).__name__}. Write a `def` around it."
        )
    return inspect.signature(function).parameters


def _hints(
    function: Callable[..., Any],
    parameters: Mapping[str, inspect.Parameter],
    where: str,
    names: Mapping[str, Any],
) -> dict[str, Any]:
    written = SimpleNamespace(
        __annotations__={p.name: p.annotation for p in parameters.values() if p.annotation is not p.empty}
    )
    known = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        return get_type_hints(written, known, dict(names), include_extras=True)
    except NameError as error:
        raise DefinitionError(
            f"{where} has an annotation that names '{error.name}', which is unknown there. "
            "Import or define it before the tool, and not under `if TYPE_CHECKING`."
        ) from error
    except Exception as error:  # annotations are code that we do not own
        raise DefinitionError(
            f"{where} has an annotation that is no type: {_first_line(error)} Correct it."
        ) from error


def _documentation(function: Callable[..., Any], where: str) -> tuple[str, dict[str, str]]:
    source = inspect.getdoc(function) or ""
    try:
        docstring = parse_docstring(source)
    except ParseError:
        return source, {}
    paragraphs = (docstring.short_description, docstring.long_description)
    description = "\n\n".join(text.strip() for text in paragraphs if text)
    if not description:
        raise DefinitionError(
            f"{where} has no docstring that says what it does; it is all that a model knows of it. "
            'Begin the function with one, for example """Find recent pages about a query."""'
        )
    return description, {param.arg_name: param.description or "" for param in docstring.params}


def _refuse_unusable(parameter: inspect.Parameter, hints: Mapping[str, Any], where: str) -> None:
    name, kind = parameter.name, parameter.kind
    if kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise DefinitionError(
            f"{where} takes '{parameter}', which no schema can describe. "
            "Name each parameter, or take one list or dict."
        )
    if kind is parameter.POSITIONAL_ONLY:
        raise DefinitionError(
            f"{where}: parameter '{name}' is positional-only. Models give arguments by name: remove the '/'."
        )
    if name not in hints and name in ("self", "cls"):
        raise DefinitionError(
            f"{where} is a method without its object. Make it a function, or make the tool from the bound "
            "method: tool(thing.method)."
        )
    if name not in hints:
        raise DefinitionError(
            f"{where}: parameter '{name}' has no annotation. Write its type, for example '{name}: str'."
        )
    if isinstance(parameter.default, FieldInfo):
        raise DefinitionError(
            f"{where}: the default of parameter '{name}' is a pydantic Field. "
            f"Write '{name}: Annotated[T, Field(...)]' and give a plain default after '='."
        )


def _refuse_second_context(first: str, second: str, where: str) -> None:
    if first:
        raise DefinitionError(f"{where} has two ToolContext parameters, '{first}' and '{second}'. Keep one.")


def _is_context(hint: Any) -> bool:
    return hint is ToolContext or ToolContext in get_args(hint)


def _field(parameter: inspect.Parameter, hint: Any) -> Any:
    if parameter.default is parameter.empty:
        return Required[hint]
    return NotRequired[hint | None if parameter.default is None else hint]


def _annotated_text(hint: Any) -> str:
    if get_origin(hint) is not Annotated:
        return ""
    return next((note for note in get_args(hint)[1:] if isinstance(note, str)), "")


def _compile(fields: dict[str, Any], where: str) -> tuple[TypeAdapter[Data], Data]:
    try:
        return _adapter(fields)
    except Exception as error:  # pydantic runs the hooks of types that we do not own
        name, cause = _culprit(fields, error)
        raise DefinitionError(
            f"{where}: the type of parameter '{name}' has no JSON Schema: {_first_line(cause)} "
            "Use plain types, dataclasses or pydantic models."
        ) from error


def _adapter(fields: dict[str, Any]) -> tuple[TypeAdapter[Data], Data]:
    make: Any = TypedDict
    arguments = make("Arguments", fields)
    arguments.__pydantic_config__ = ConfigDict(extra="forbid")
    adapter: TypeAdapter[Data] = TypeAdapter(arguments)
    return adapter, adapter.json_schema(schema_generator=_Closed)


def _culprit(fields: dict[str, Any], error: Exception) -> tuple[str, Exception]:
    for name, hint in fields.items():
        try:
            _adapter({name: hint})
        except Exception as cause:  # noqa: BLE001 — as above, one parameter at a time
            return name, cause
    return ", ".join(fields), error


def _complete(shown: Data, text: str, default: Any) -> None:
    if text and "description" not in shown:
        shown["description"] = text
    if default is not inspect.Parameter.empty:
        try:
            shown["default"] = to_jsonable_python(default)
        except PydanticSerializationError:
            shown.pop("default", None)


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return f"{line[:300]}."


def _name(kind: Any) -> str:
    return getattr(kind, "__qualname__", None) or repr(kind)
