"""Finding the crew that a person names: in a file, a module or a folder."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import crewkit
from crewkit.errors import CrewkitError, DefinitionError, InputError, did_you_mean

if TYPE_CHECKING:
    from crewkit.crew.crew import Crew

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_YAML = (".yaml", ".yml")
_OURS = str(Path(__file__).resolve().parent.parent) + os.sep
_STDLIB = str(Path(os.__file__).resolve().parent) + os.sep


def load(target: str, cwd: Path | None = None) -> Crew:
    """Return the crew that a target names.

    The target's code is executed. Its folder (for a module: `cwd`) goes on `sys.path`, behind the
    standard library, so that modules beside it can be imported.

    Args:
        target: `path.py[:attr]`, `path.yaml`, `package.module[:attr]`, or a folder with a `crew.py` or `crew.yaml`.
            Without `attr` it is `crew`, or the only crew that is there.
        cwd: What paths are relative to; the working directory if left out.

    Raises:
        InputError: There is no such file, module or attribute, or more than one crew to choose from.
        DefinitionError: The code has a mistake; the message shows the user's line and nothing of ours.
    """
    cwd = cwd or Path.cwd()
    place, attr = _split(target)
    path = _written(cwd / place)
    if path.suffix in _YAML and path.is_file():
        return _load_yaml(path, attr, place)
    if _is_module(place) and (path / "__init__.py").is_file() and not (path / "crew.py").is_file():
        module = _import_module(place, cwd, target)
    elif path.is_dir():
        module = _import_file(_crew_file(path, place), cwd)
    elif path.is_file() and path.suffix == ".py":
        module = _import_file(path, cwd)
    elif path.is_file():
        raise InputError(
            f"{place} is neither Python nor YAML. A crew is written in path.py[:attr] or path.yaml."
        )
    elif _is_module(place):
        module = _import_module(place, cwd, target)
    else:
        raise InputError(f"There is no file {place}.{_near_files(path, cwd)}")
    return _pick(module, attr, place)


def _written(path: Path) -> Path:
    """Return the YAML file of a folder that has no crew in Python."""
    folder = path.absolute()
    written = folder / "crew.yaml"
    return written if written.is_file() and not (folder / "crew.py").is_file() else folder


def _load_yaml(path: Path, attr: str, place: str) -> Crew:
    from crewkit.files.yaml import load_yaml

    if attr:
        raise InputError(f"{place} holds one crew: leave out ':{attr}'.")
    _on_path(path.parent)
    return load_yaml(path)


def _split(target: str) -> tuple[str, str]:
    place, colon, attr = target.rpartition(":")
    # A drive letter's colon is no attribute's, and neither is one within a path.
    if colon and len(place) > 1 and "/" not in attr and os.sep not in attr:
        return place, attr
    return target, ""


def _is_module(place: str) -> bool:
    return bool(_MODULE.fullmatch(place)) and not place.endswith((".py", *_YAML))


def _crew_file(folder: Path, place: str) -> Path:
    file = folder / "crew.py"
    if file.is_file():
        return file
    others = sorted(f.name for f in folder.glob("*.py") if not f.name.startswith("_"))[:8]
    known = (
        f" Name one of its files: {', '.join(str(Path(place) / name) for name in others)}." if others else ""
    )
    raise InputError(f"The folder {place} has no crew.py.{known}")


def _near_files(path: Path, cwd: Path) -> str:
    """Suggest files: beside the one that was named, and one folder below the working directory."""
    folders = [*(each for each in cwd.glob("*") if each.is_dir()), cwd, path.parent]
    files = {f.name: f for folder in folders for suffix in (".py", *_YAML) for f in folder.glob(f"*{suffix}")}
    wanted = path.name if path.suffix in (".py", *_YAML) else f"{path.name}.py"
    near = [
        os.path.relpath(files[name], cwd)
        for name in difflib.get_close_matches(wanted, files, n=3, cutoff=0.6)
    ]
    return f" Did you mean {' or '.join(near)}?" if near else " Begin one: crewkit new NAME"


# Importing


def _import_file(path: Path, cwd: Path) -> ModuleType:
    folder = path.parent
    package = _package(folder)
    _on_path(folder)
    if package:
        _on_path(folder.parents[package.count(".")])
    name = f"{package}.{path.stem}" if package else _free_name(path.stem)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses, pydantic and get_type_hints look a class's module up by its name.
    sys.modules[name] = module
    try:
        # Not by the loader: its cache may hold another text of the same size and second.
        code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        if package:
            importlib.import_module(package)
        exec(code, module.__dict__)  # noqa: S102 - this is what the person asked for
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _explained(error, _shown(path, cwd), cwd) from error
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import_module(name: str, cwd: Path, target: str) -> ModuleType:
    _on_path(cwd)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            path = (cwd / name.replace(".", "/")).absolute()
            raise InputError(f"There is no file and no module {target}.{_near_files(path, cwd)}") from error
        raise _explained(error, name, cwd) from error
    except (Exception, SystemExit) as error:
        raise _explained(error, name, cwd) from error


def _package(folder: Path) -> str:
    """Return the dotted name of the package that a folder is; empty where it is none."""
    names: list[str] = []
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names)


def _on_path(folder: Path) -> None:
    """Put a folder behind the standard library: a crew in `email.py` is not what others import as `email`."""
    if str(folder) not in sys.path:
        behind = (
            i
            for i, path in enumerate(sys.path, 1)
            if f"{path}{os.sep}".startswith(_STDLIB) and "-packages" not in path
        )
        sys.path.insert(max(behind, default=0), str(folder))


def _free_name(stem: str) -> str:
    """Return the file's own name where it is free, so that an import of it finds the same module."""
    if stem.isidentifier() and stem not in sys.modules and stem not in sys.stdlib_module_names:
        return stem
    return "crewkit_target_" + re.sub(r"\W", "_", stem)


# What went wrong


def _explained(error: BaseException, where: str, cwd: Path) -> CrewkitError:
    """Say what the user's code did wrong, with the user's lines alone."""
    if isinstance(error, SyntaxError):
        return DefinitionError(_syntax(error, where, cwd))
    frames = "".join(_frames(error, cwd))
    if isinstance(error, CrewkitError):
        return DefinitionError(f"{error}\n{frames}".rstrip())
    kind = type(error).__name__
    said = f"{kind}: {error}" if str(error) else kind
    if isinstance(error, TypeError):
        said += _near_fields(str(error))
    if isinstance(error, ModuleNotFoundError):
        said += ". Install it, or put it beside the file."
    if isinstance(error, SystemExit):
        said = "it ended the program (SystemExit). Put such code under: if __name__ == '__main__':"
    return DefinitionError(f"{where} could not be loaded: {said}\n{frames}".rstrip())


def _near_fields(said: str) -> str:
    """Suggest a field of a definition of ours for one that it does not have."""
    found = re.match(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", said)
    made = getattr(crewkit, found[1], None) if found else None
    if found is None or not isinstance(made, type):
        return ""
    fields = [name for name in inspect.signature(made).parameters if not name.startswith("_")]
    return f".{did_you_mean(found[2], fields)} There are: {', '.join(fields)}."


def _syntax(error: SyntaxError, where: str, cwd: Path) -> str:
    file = _shown(Path(error.filename), cwd) if error.filename else where
    line = (error.text or "").rstrip("\n")
    stripped = line.lstrip()
    message = f"{file}, line {error.lineno or '?'}: {error.msg}"
    if not stripped:
        return message
    start = max((error.offset or 1) - 1 - (len(line) - len(stripped)), 0)
    same_line = error.end_lineno in (None, error.lineno)
    end = (error.end_offset or 0) - 1 - (len(line) - len(stripped)) if same_line else len(stripped)
    return f"{message}\n    {stripped}\n    {' ' * start}{'^' * max(end - start, 1)}"


def _frames(error: BaseException, cwd: Path) -> Iterator[str]:
    for frame in traceback.extract_tb(error.__traceback__):
        if not _is_users(frame.filename):
            continue
        inside = "" if frame.name == "<module>" else f", in {frame.name}"
        yield f"  {_shown(Path(frame.filename), cwd)}, line {frame.lineno}{inside}\n"
        if frame.line:
            yield f"    {frame.line}\n"


def _is_users(filename: str) -> bool:
    if filename.startswith("<"):
        return False
    path = str(Path(filename).resolve())
    foreign = f"{os.sep}site-packages{os.sep}" in path or f"{os.sep}dist-packages{os.sep}" in path
    return not foreign and not path.startswith((_OURS, _STDLIB))


def _shown(path: Path, cwd: Path) -> str:
    """Return the path as the person would write it."""
    try:
        return str(path.relative_to(cwd))
    except ValueError:
        return str(path)


# Choosing


def _pick(module: ModuleType, attr: str, place: str) -> Crew:
    from crewkit.crew.crew import Crew

    crews = {name: value for name, value in vars(module).items() if isinstance(value, Crew)}
    if attr:
        if attr in crews:
            return crews[attr]
        if hasattr(module, attr):
            what = type(getattr(module, attr)).__name__
            raise InputError(f"{attr} in {place} is no Crew, but of the type {what}.{_listed(place, crews)}")
        raise InputError(f"There is no {attr} in {place}.{did_you_mean(attr, crews)}{_listed(place, crews)}")
    if "crew" in crews:
        return crews["crew"]
    distinct = {id(crew): name for name, crew in crews.items()}
    if len(distinct) == 1:
        return next(iter(crews.values()))
    if crews:
        raise InputError(f"There are {len(distinct)} crews in {place}: say which.{_listed(place, crews)}")
    raise InputError(f"There is no crew in {place}. Make one at its top level: crew = Crew([…])")


def _listed(place: str, crews: dict[str, Crew]) -> str:
    return f" Crews: {', '.join(f'{place}:{name}' for name in crews)}." if crews else ""
