from pathlib import Path

import pytest

from crewkit.errors import DefinitionError, InputError
from crewkit.files.load import load

CREW = """
from crewkit import Agent, Crew, Task
agent = Agent("A", "Do it.")
"""
ONE = CREW + "{name} = Crew([Task('t', 'Do.', '', agent)], name='{name}')\n"


@pytest.fixture
def write(tmp_path: Path):
    def put(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return put


def failure(target: str, cwd: Path) -> str:
    with pytest.raises((InputError, DefinitionError)) as caught:
        load(target, cwd)
    return str(caught.value)


def test_a_file_gives_its_crew(write, tmp_path):
    write("a.py", ONE.format(name="crew"))
    assert load("a.py", tmp_path).name == "crew"


def test_an_absolute_path_works_from_anywhere(write, tmp_path):
    path = write("deep/b.py", ONE.format(name="crew"))
    assert load(str(path), tmp_path / "elsewhere").name == "crew"


def test_the_only_crew_is_found_whatever_its_name(write, tmp_path):
    write("c.py", ONE.format(name="nightly"))
    assert load("c.py", tmp_path).name == "nightly"


def test_a_crew_is_named_with_a_colon(write, tmp_path):
    write("d.py", ONE.format(name="first") + ONE.format(name="second"))
    assert load("d.py:second", tmp_path).name == "second"


def test_two_crews_are_listed(write, tmp_path):
    write("e.py", ONE.format(name="first") + ONE.format(name="second"))
    assert failure("e.py", tmp_path) == (
        "There are 2 crews in e.py: say which. Crews: e.py:first, e.py:second."
    )


def test_one_crew_under_two_names_is_one_crew(write, tmp_path):
    write("f.py", ONE.format(name="first") + "alias = first\n")
    assert load("f.py", tmp_path).name == "first"


def test_a_file_without_a_crew_says_so(write, tmp_path):
    write("g.py", "x = 1\n")
    assert failure("g.py", tmp_path).startswith("There is no crew in g.py.")


def test_a_misspelt_attribute_names_the_near_one(write, tmp_path):
    write("h.py", ONE.format(name="nightly"))
    assert "Did you mean 'nightly'?" in failure("h.py:nighly", tmp_path)


def test_an_attribute_that_is_no_crew_says_what_it_is(write, tmp_path):
    write("i.py", ONE.format(name="crew"))
    assert "agent in i.py is no Crew, but of the type Agent." in failure("i.py:agent", tmp_path)


def test_a_missing_file_suggests_near_ones(write, tmp_path):
    write("crews/digest.py", ONE.format(name="crew"))
    assert failure("crews/digst.py", tmp_path) == (
        "There is no file crews/digst.py. Did you mean crews/digest.py?"
    )


def test_a_module_is_imported_from_the_working_directory(write, tmp_path):
    write("pkg_load_one/__init__.py", "")
    write("pkg_load_one/nightly.py", ONE.format(name="crew"))
    assert load("pkg_load_one.nightly:crew", tmp_path).name == "crew"


def test_a_missing_module_is_told_from_a_missing_import_of_a_module(write, tmp_path):
    assert failure("pkg_not_there.x", tmp_path).startswith("There is no file and no module pkg_not_there.x.")
    write("mod_load_two.py", "import not_installed_anywhere\n")
    assert "No module named 'not_installed_anywhere'" in failure("mod_load_two", tmp_path)


def test_a_folder_gives_its_crew_file(write, tmp_path):
    write("home/crew.py", ONE.format(name="crew"))
    assert load("home", tmp_path).name == "crew"


def test_a_folder_without_a_crew_file_lists_its_files(write, tmp_path):
    write("home/other.py", "")
    assert (
        failure("home", tmp_path) == "The folder home has no crew.py. Name one of its files: home/other.py."
    )


def test_modules_beside_the_file_can_be_imported(write, tmp_path):
    write("beside/sibling_of_crew.py", "NAME = 'from beside'\n")
    write(
        "beside/j.py",
        CREW + "from sibling_of_crew import NAME\ncrew = Crew([Task('t', 'x', '', agent)], name=NAME)",
    )
    assert load("beside/j.py", tmp_path).name == "from beside"


def test_a_file_in_a_package_can_import_relatively(write, tmp_path):
    write("pkg_load_rel/__init__.py", "")
    write("pkg_load_rel/names.py", "NAME = 'relative'\n")
    write(
        "pkg_load_rel/k.py",
        CREW + "from .names import NAME\ncrew = Crew([Task('t', 'x', '', agent)], name=NAME)",
    )
    assert load("pkg_load_rel/k.py", tmp_path).name == "relative"


def test_a_changed_file_is_loaded_anew(write, tmp_path):
    write("l.py", ONE.format(name="before"))
    load("l.py", tmp_path)
    write("l.py", ONE.format(name="behind"))
    assert load("l.py", tmp_path).name == "behind"


def test_a_file_named_like_a_module_of_python_leaves_that_alone(write, tmp_path):
    import json

    write("json.py", ONE.format(name="crew"))
    assert load("json.py", tmp_path).name == "crew"
    assert json.loads("1") == 1


def test_a_syntax_error_shows_the_users_line_and_a_caret(write, tmp_path):
    write("m.py", "x = 1\ndef f(:\n    pass\n")
    assert failure("m.py", tmp_path) == "m.py, line 2: invalid syntax\n    def f(:\n          ^"


def test_an_error_while_importing_shows_the_users_frames_alone(write, tmp_path):
    write("n.py", "def g():\n    return 1 / 0\n\ng()\n")
    assert failure("n.py", tmp_path) == (
        "n.py could not be loaded: ZeroDivisionError: division by zero\n"
        "  n.py, line 4\n    g()\n  n.py, line 2, in g\n    return 1 / 0"
    )


def test_a_mistake_in_a_definition_shows_the_line_that_made_it(write, tmp_path):
    write("o.py", CREW + "t = Task('t', 'On {topik}.', '', agent)\ncrew = Crew([t], inputs=['topic'])\n")
    message = failure("o.py", tmp_path)
    assert "Did you mean 'topic'?" in message
    assert message.endswith("o.py, line 5\n    crew = Crew([t], inputs=['topic'])")


def test_a_file_that_ends_the_program_is_told_how_not_to(write, tmp_path):
    write("p.py", "import sys\nsys.exit(3)\n")
    assert "__main__" in failure("p.py", tmp_path)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"x = '\x00'", b"# coding: nonsense\n"])
def test_a_file_that_is_no_text_is_an_error_of_the_file(data, tmp_path):
    (tmp_path / "q.py").write_bytes(data)
    assert "q.py" in failure("q.py", tmp_path)


def test_a_file_of_another_kind_is_refused(write, tmp_path):
    write("crew.txt", "a: 1")
    assert failure("crew.txt", tmp_path).startswith("crew.txt is neither Python nor YAML.")


def test_an_empty_target_is_refused(tmp_path):
    assert failure("", tmp_path)


def test_a_misspelt_field_of_a_definition_names_the_near_one(write, tmp_path):
    write("o.py", "from crewkit import Agent\nAgent('a', 'b', toolz=[])")
    with pytest.raises(DefinitionError) as caught:
        load("o.py", tmp_path)
    assert "unexpected keyword argument 'toolz'. Did you mean 'tools'? There are: role, goal," in str(
        caught.value
    )


def test_a_misspelt_yaml_file_names_the_near_one(write, tmp_path):
    write("crew.yaml", "")
    with pytest.raises(InputError, match=r"There is no file crw.yaml. Did you mean crew.yaml\?"):
        load("crw.yaml", tmp_path)
