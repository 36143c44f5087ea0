"""The repository holds together: versions agree, links lead somewhere, imports flow one way, outputs are clean."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import notebooks as tool  # noqa: E402

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE = ROOT / "diffusion_tutorial"
MODULES = sorted(PACKAGE.rglob("*.py"))
LESSONS = tool.lessons()
BADGE = re.compile(r"\((https://(?:colab\.research\.google\.com/github|mybinder\.org/v2/gh)/[^)]+)\)")
each_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))


def pins(path: Path) -> dict[str, list[Requirement]]:
    """The pinned requirements of a pip file; a name stands there twice if two Pythons need two versions."""
    found: dict[str, list[Requirement]] = {}
    for line in path.read_text().splitlines():
        if line and line[0] not in "#-":
            requirement = Requirement(line)
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def version(requirement: Requirement) -> str:
    """The one version that a pin allows, without the +cpu of a CPU build."""
    (pin,) = requirement.specifier
    assert pin.operator == "==" and "*" not in pin.version, f"{requirement} does not pin one version"
    return pin.version.removesuffix("+cpu")


LOCK = pins(ROOT / "requirements.lock")
BINDER = pins(ROOT / "binder" / "requirements.txt")
NEEDED = PROJECT["project"]["dependencies"]
DEVELOPERS = PROJECT["project"]["optional-dependencies"]["dev"]


class TestVersions:
    @pytest.mark.parametrize("need", NEEDED + DEVELOPERS)
    def test_the_lock_pins_what_pyproject_asks_for(self, need):
        need = Requirement(need)
        for pin in LOCK[canonicalize_name(need.name)]:
            assert version(pin) in need.specifier

    @pytest.mark.parametrize("need", NEEDED)
    def test_binder_has_what_the_lessons_import(self, need):
        assert canonicalize_name(Requirement(need).name) in BINDER

    @pytest.mark.parametrize("name", BINDER)
    def test_binder_and_the_lock_agree(self, name):
        assert {version(pin) for pin in BINDER[name]} <= {version(pin) for pin in LOCK[name]}

    def test_torch_is_the_pair_that_pyproject_holds(self):
        for held in map(Requirement, PROJECT["tool"]["uv"]["constraint-dependencies"]):
            assert [version(pin) for pin in LOCK[held.name]] == [version(held)]

    def test_the_lock_names_no_place_and_no_accelerator(self):
        text = (ROOT / "requirements.lock").read_text()
        assert "/" not in re.sub(r"^#.*", "", text, flags=re.M) and "://" not in text and "--" not in text
        assert not [name for name in LOCK | BINDER if name.startswith(("nvidia-", "cuda-")) or name == "triton"]

    def test_conda_installs_the_lock_and_this_package(self):
        conda = yaml.safe_load((ROOT / "environment.yml").read_text())
        assert conda["name"] == PROJECT["project"]["name"]
        *plain, nested = conda["dependencies"]
        assert nested["pip"] == ["--requirement requirements.lock", "--editable ."] and "pip" in plain
        assert python(next(entry for entry in plain if entry.startswith("python="))) in PYTHONS

    def test_binder_runs_a_python_of_the_lock(self):
        assert python((ROOT / "binder" / "runtime.txt").read_text()) in PYTHONS

    def test_the_workflow_runs_the_same_pythons_and_colabs_pins(self):
        workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
        assert workflow["jobs"]["lock"]["strategy"]["matrix"]["python"] == PYTHONS
        assert (ROOT / workflow["jobs"]["colab"]["steps"][-1]["env"]["PINS"]).exists()

    @pytest.mark.parametrize("name", pins(ROOT / "tests" / "colab-constraints.txt"))
    def test_the_package_admits_what_colab_has(self, name):
        (colab,) = pins(ROOT / "tests" / "colab-constraints.txt")[name]
        (pin,) = colab.specifier
        for need in map(Requirement, NEEDED + DEVELOPERS):
            if need.name == name:
                assert pin.version.replace("*", "0") in need.specifier

    def test_the_package_says_its_own_version_once(self):
        assert f'__version__ = "{PROJECT["project"]["version"]}"' in (PACKAGE / "__init__.py").read_text()
        assert f"version: {PROJECT['project']['version']}\n" in (ROOT / "CITATION.cff").read_text()
        assert f"## {PROJECT['project']['version']}" in (ROOT / "CHANGELOG.md").read_text()


PYTHONS = ["3.11", "3.12", "3.13"]


def python(text: str) -> str:
    """The minor version in `python=3.11` or `python-3.11`."""
    return re.fullmatch(r"python[=-](\d+\.\d+)", text.strip())[1]


class TestLinks:
    @each_lesson
    def test_a_lesson_has_the_badges_of_its_own_file(self, path):
        first = "".join(json.loads(path.read_text())["cells"][0]["source"])
        assert tool.badges(path) in first

    def test_the_readme_has_the_table_that_the_lessons_give(self):
        readme = (ROOT / "README.md").read_text()
        assert tool.table() in readme, "run `make badges`"

    @pytest.mark.parametrize("path", [ROOT / "README.md", *LESSONS], ids=lambda path: path.stem)
    def test_every_badge_names_a_file_that_exists(self, path):
        links = BADGE.findall(path.read_text())
        assert links
        for link in links:
            file = re.split(r"/blob/[^/]+/|urlpath=lab/tree/", link)[1]
            assert (ROOT / file).is_file(), link
            assert tool.HOME["repository"] in link

    @pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda path: path.stem)
    def test_every_link_within_the_repository_leads_somewhere(self, path):
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (ROOT / link).exists(), link


class TestSavedOutputs:
    @each_lesson
    def test_every_code_cell_has_been_run_from_top_to_bottom(self, path):
        counts = [cell["execution_count"] for cell in code(path)]
        assert counts == list(range(1, len(counts) + 1)), "run `make notebooks`"

    @each_lesson
    def test_no_error_and_nothing_on_stderr(self, path):
        for cell in code(path):
            for output in cell["outputs"]:
                assert output["output_type"] != "error" and output.get("name") != "stderr", "".join(cell["source"])

    @each_lesson
    def test_no_traceback_path_or_progress_bar(self, path):
        text = outputs(path)
        for stain in (
            r"Traceback",
            r"site-packages",
            r"(?<![\w.])/(home|root|work|tmp|usr|opt|Users)/",
            r"it/s\]",
            r"\b[A-Z]:\\\\",
        ):
            assert not (found := re.search(stain, text)), text[max(found.start() - 80, 0) : found.end() + 80]

    @each_lesson
    def test_a_file_is_small(self, path):
        assert path.stat().st_size <= 1_200_000

    @each_lesson
    def test_metadata_is_what_the_tool_writes(self, path):
        notebook = json.loads(path.read_text())
        assert set(notebook["metadata"]) <= {"kernelspec", "language_info", "widgets"}
        assert {key for cell in notebook["cells"] for key in cell["metadata"]} <= {"tags"}


def code(path: Path) -> list[dict]:
    """The code cells of a notebook."""
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def outputs(path: Path) -> str:
    """All that the saved outputs say, without pictures (long runs of base64)."""
    text = json.dumps([cell["outputs"] for cell in code(path)] + [json.loads(path.read_text())["metadata"]])
    return re.sub(r"[A-Za-z0-9+/=\\n]{200,}", "", text)


class TestCode:
    @each_lesson
    def test_cells_are_short(self, path):
        for cell in code(path):
            own = "".join(cell["source"]).partition(tool.SETUP)[2] or "".join(cell["source"])
            assert len(own.splitlines()) <= 25, own

    @pytest.mark.parametrize("command", (["check"], ["format", "--check"]), ids="-".join)
    def test_code_and_notebooks_are_under_ruff(self, command):
        result = subprocess.run([sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


# What each room may import of the package besides itself: the rooms of its own row and of the rows above it.
ORDER = [
    {"markov", "schedules", "forward", "exact", "predictions"},
    {"data", "models", "files", "pretrained"},
    {"training", "samplers", "guidance", "editing", "metrics"},
    {"plotting", "page"},
    {"widgets"},
    {"checks"},
    {"recipes", "evaluation", "doctor"},
    {"cli"},
]
NO_PAGE = {"page", "plotting", "widgets", "checks"}  # rooms that need a notebook around them
NOT = {"checks": {"page", "plotting", "widgets"}} | dict.fromkeys(["recipes", "evaluation", "doctor", "cli"], NO_PAGE)
GENERAL = {
    "files",
    "pretrained",
    "page",
    "plotting",
    "widgets",
    "checks",
    "recipes",
    "evaluation",
    "doctor",
    "cli",
}  # they serve every lesson


def room(path: Path) -> str:
    """The room that a module belongs to: the first name below the package."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    """The rooms of the package that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} imports by a relative name"
            if node.module == "diffusion_tutorial":
                found |= {alias.name for alias in node.names}
            elif node.module.startswith("diffusion_tutorial."):
                found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("diffusion_tutorial.")}
    return found - {"__version__"}


class TestRooms:
    def test_every_room_has_its_place_in_the_order(self):
        assert {room(path) for path in MODULES} - {"__init__"} <= set().union(*ORDER)

    @each_module
    def test_imports_flow_one_way(self, path):
        own = room(path)
        allowed = set()
        for row in ORDER:
            allowed |= row
            if own in row:
                break
        if own == "__init__":
            allowed = set()
        assert imports(path) <= (allowed - NOT.get(own, set()) - {"cli"}) | {own}

    @each_module
    def test_no_star_import(self, path):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.names[0].name == "*")

    @each_module
    def test_a_module_names_its_lesson(self, path):
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        if room(path) in GENERAL | {"__init__"}:
            assert docstring
        elif path.name != "__init__.py":
            assert re.search(r"[Ll]essons? \d\d", docstring), docstring

    @pytest.mark.parametrize("name", sorted({room(path) for path in MODULES} - {"__init__"}))
    def test_the_map_shows_every_room(self, name):
        assert f"`{name}`" in ast.get_docstring(ast.parse((PACKAGE / "__init__.py").read_text()))

    def test_importing_the_package_loads_nothing_heavy(self):
        script = "import sys, diffusion_tutorial; print({'torch', 'numpy', 'matplotlib', 'IPython'} & set(sys.modules))"
        loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        assert loaded.stdout.strip() == "set()"
