"""The repository holds together: versions agree, links lead somewhere, imports flow one way, outputs are clean."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from diffusion_tutorial import __version__
from diffusion_tutorial.pretrained import SHIPPED, card

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import order  # noqa: E402

import notebooks as tool  # noqa: E402

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE = ROOT / "diffusion_tutorial"
MODULES = sorted(PACKAGE.rglob("*.py"))
LESSONS = tool.lessons()
GLOSSARY = re.findall(r"^- .+", (ROOT / "docs" / "glossary.md").read_text(), re.M)
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
        assert PROJECT["project"]["dynamic"] == ["version"]
        assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "diffusion_tutorial.__version__"}
        assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
        sections = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
        assert __version__ in sections and sections.index(__version__) == sections.count("Unreleased")

    def test_the_project_has_one_address(self):
        home = f"https://github.com/{tool.HOME['repository']}"
        assert PROJECT["project"]["urls"]["Source"] == home
        assert PROJECT["project"]["urls"]["Changes"] == f"{home}/blob/{tool.HOME['branch']}/CHANGELOG.md"
        assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["repository-code"] == home


PYTHONS = ["3.11", "3.12", "3.13"]


def python(text: str) -> str:
    """The minor version in `python=3.11` or `python-3.11`."""
    return re.fullmatch(r"python[=-](\d+\.\d+)", text.strip())[1]


TEXTS = [*MODULES, *LESSONS, *ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("tools/*.py"), ROOT / "Makefile"]


def words_of(path: Path) -> str:
    """What a file says; of a notebook the cells and what their outputs say, without pictures."""
    if path.suffix != ".ipynb":
        return path.read_text()
    return "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells) + outputs(path)


class TestLinks:
    @each_lesson
    def test_a_lesson_has_the_badges_of_its_own_file(self, path):
        first = "".join(json.loads(path.read_text())["cells"][0]["source"])
        assert tool.badges(path) in first

    def test_the_readme_has_the_table_that_the_lessons_give(self):
        readme = (ROOT / "README.md").read_text()
        assert tool.table() in readme, "run `make badges`"

    def test_the_form_of_an_opening_that_contributing_gives_is_one_that_is_filled(self, tmp_path, monkeypatch):
        form = re.search(r"^   ```\n   (# Say .+?)\n   ```$", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)[1]
        cells = [nbformat.v4.new_markdown_cell(re.sub("^   ", "", form, flags=re.M)), nbformat.v4.new_code_cell("1")]
        notebook, path = (
            nbformat.v4.new_notebook(cells=cells),
            tmp_path / "00_race_a_gan.ipynb",
        )  # planned, not there yet
        monkeypatch.setattr(order, "NOTEBOOKS", tmp_path)
        nbformat.write(notebook, path)
        tool.refresh(notebook, path, 5)
        nbformat.write(notebook, path)
        number = order.number("race_a_gan")
        start = f"| {number} | [Race a GAN](notebooks/{path.name}) | something to take home | 5 minutes | 5 s | "
        assert tool.row(path) == start + tool.badges(path) + " |"
        assert f"\n{tool.badges(path)}\n<!-- /badges -->\n\nTwo" in notebook.cells[0].source

    @pytest.mark.parametrize("path", [ROOT / "README.md", *LESSONS], ids=lambda path: path.stem)
    def test_every_badge_names_a_file_that_exists(self, path):
        links = BADGE.findall(path.read_text())
        assert links
        for link in links:
            file = re.split(r"/blob/[^/]+/|urlpath=lab/tree/", link)[1]
            assert (ROOT / file).is_file(), link
            assert tool.HOME["repository"] in link

    @each_lesson
    def test_every_link_to_a_lesson_leads_to_a_file_that_exists(self, path):
        text = "\n".join(
            cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"
        )
        links = {link for link in re.findall(r"(?:\]\(|href=\")([^)#\s\"]+)", text) if "://" not in link}
        assert links
        missing = {link for link in links if not (path.parent / link).exists()}
        planned = {order.file(slug) for slug in order.TITLES} & missing
        assert missing == planned
        if planned:
            pytest.skip(f"linked, and still to be written: {', '.join(sorted(planned))}")

    @pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
    def test_a_lesson_is_named_by_its_title_and_not_by_its_number(self, path):
        found = re.search(r".{0,60}\blessons?[\s\\n]+\d.*", words_of(path), re.I)
        assert not found, found[0]

    @each_lesson
    def test_every_arxiv_number_is_a_link(self, path):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                bare = re.search(r"(?<!\[)\barXiv[\s:]+\d{4}\.\d{4,5}", cell.source)
                assert not bare, f"run `make badges`: {bare[0]}"

    @pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda path: path.stem)
    def test_every_link_within_the_repository_leads_somewhere(self, path):
        text = re.sub(
            r"^ *```.*?^ *```", "", path.read_text(), flags=re.M | re.S
        )  # a form shows what is to be filled in
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / link).exists(), link

    @pytest.mark.parametrize("line", GLOSSARY, ids=lambda line: line.split("**")[1])
    def test_the_glossary_links_a_word_to_a_lesson_that_uses_it(self, line):
        words, title, file = re.fullmatch(r"- \*\*(.+?)\*\*: .+ \(\[(.+)\]\(\.\./notebooks/(.+)\)\)", line).groups()
        path = ROOT / "notebooks" / file
        assert path in LESSONS, "run `make badges`"
        assert title == order.TITLES[order.slug_of(path)]
        text = " ".join(" ".join(cell.source for cell in nbformat.read(path, as_version=4).cells).lower().split())
        assert any(word.lower() in text for word in words.split(", "))

    def test_the_glossary_is_in_the_order_of_the_alphabet(self):
        words = [line.split("**")[1].lstrip("$").lower().replace("é", "e") for line in GLOSSARY]
        assert len(words) >= 60 and words == sorted(set(words))

    def test_the_links_of_the_glossary_follow_the_names_of_the_lessons(self, tmp_path, monkeypatch):
        old = tmp_path / "glossary.md"
        old.write_text("[Dissolve a picture](../notebooks/99_dissolve_a_picture.ipynb)")
        readme = tmp_path / "README.md"
        readme.write_text((ROOT / "README.md").read_text())
        monkeypatch.setattr(tool, "GLOSSARY", old)
        monkeypatch.setattr(tool, "README", readme)
        monkeypatch.setattr(tool, "lessons", lambda names=None: [])
        monkeypatch.setattr(order, "renumber", lambda: [])
        monkeypatch.setattr(sys, "argv", ["notebooks.py", "--no-run"])
        tool.main()
        assert old.read_text() == f"[Dissolve a picture](../notebooks/{order.file('dissolve_a_picture')})"

    def test_the_readme_shows_its_pictures_on_other_pages_as_well(self):
        readme = (ROOT / "README.md").read_text()
        assert tool.whole_addresses(readme) == readme, "run `make badges`"
        shown = [link for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", readme) if "/docs/" in link]
        assert shown and all(link.startswith("https://") for link in shown)
        for link in shown:
            assert (ROOT / "docs" / link.partition("/docs/")[2]).is_file(), link

    @pytest.mark.parametrize("before", ["docs/a.png", "https://raw.githubusercontent.com/an/other/branch/docs/a.png"])
    def test_a_picture_gets_the_address_of_this_repository(self, before):
        whole = f"https://raw.githubusercontent.com/{tool.HOME['repository']}/{tool.HOME['branch']}/docs/a.png"
        assert tool.whole_addresses(f"![A](x.png) ![B]({before})") == f"![A](x.png) ![B]({whole})"


NOTICE = (ROOT / "NOTICE").read_text()
# each licence of NOTICE, by its SPDX identifier, with what stands below it
PARTS = dict(re.findall(r"^([A-Z]+[\w.-]*)\n((?: {4}.*\n)+)", NOTICE, re.M))


def spdx(text: str) -> set[str]:
    """The Creative Commons licences that a text names in words, "CC BY-SA 4.0", as SPDX identifiers."""
    return {f"CC-{name}-{number}" for name, number in re.findall(r"\bCC (BY(?:-SA)?) (\d\.\d)", text)}


class TestLicences:
    def test_the_expression_names_those_of_the_notice(self):
        assert PARTS and PROJECT["project"]["license"].split(" AND ") == list(PARTS)

    @pytest.mark.parametrize("licence", PARTS)
    def test_each_has_its_text_and_its_address(self, licence):
        text = ROOT / ("LICENSE" if licence == "MIT" else f"LICENSES/{licence}.txt")
        kind = (
            "MIT License"
            if licence == "MIT"
            else "ShareAlike"
            if "-SA-" in licence
            else "Attribution 4.0 International"
        )
        assert kind in text.read_text() and PARTS[licence].lstrip().startswith("https://")

    def test_no_text_of_a_licence_lies_about(self):
        assert {path.stem for path in (ROOT / "LICENSES").iterdir()} | {"MIT"} == set(PARTS)

    @pytest.mark.parametrize("name", SHIPPED)
    def test_a_card_and_the_notice_agree(self, name):
        (licence,) = spdx(card(name)["licence"])
        file = f"diffusion_tutorial/pretrained/{name}.safetensors"
        assert [part for part, says in PARTS.items() if file in says] == [licence]

    def test_every_weight_and_picture_has_its_licence(self):
        files = [*PACKAGE.rglob("*.safetensors"), *PACKAGE.rglob("*.png"), *(ROOT / "docs").glob("*.png")]
        for path in files:
            assert NOTICE.count(path.relative_to(ROOT).as_posix()) == 1, path

    @pytest.mark.parametrize("path", re.findall(r"(?<![\w/.])(?:diffusion_tutorial|docs)/[\w/]+\.\w+", NOTICE))
    def test_the_notice_names_files_that_exist(self, path):
        assert (ROOT / path).is_file()

    def test_the_readme_names_them_all(self):
        readme = (ROOT / "README.md").read_text()
        assert spdx(readme) | {"MIT"} == set(PARTS) and "MIT licence" in readme


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
        notebook = nbformat.read(path, as_version=4)
        assert set(notebook.metadata) <= {"kernelspec", "language_info", "widgets"}
        for cell in notebook.cells:
            assert cell.metadata == tool.metadata(cell), f"run `make badges`:\n{cell.source[:80]}"


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
            source = "".join(cell["source"])
            most = 60 if source.startswith("# @title") else 25  # a folded cell shows one line
            assert len(source.splitlines()) <= most, source

    @pytest.mark.parametrize("command", (["check"], ["format", "--check"]), ids="-".join)
    def test_code_and_notebooks_are_under_ruff(self, command):
        result = subprocess.run([sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr

    def test_the_hooks_run_what_make_lint_runs(self):
        (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
        makefile = (ROOT / "Makefile").read_text()
        (python,) = re.findall(r"^PY := (.+)$", makefile, re.M)
        (recipe,) = re.findall(r"^lint:.*\n((?:\t.+\n)+)", makefile, re.M)
        assert [hook["entry"] for hook in repo["hooks"]] == recipe.replace("$(PY)", python).strip().split("\n\t")
        assert repo["repo"] == "local" and all(hook["language"] == "system" for hook in repo["hooks"])

    def test_a_release_is_tested_and_only_made_by_a_tag(self):
        workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
        assert workflow[True] == {"push": {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}}  # YAML reads the word `on` as true
        steps = [step.get("run", "") for step in workflow["jobs"]["build"]["steps"]]
        assert steps.index(".ci/run") < steps.index('.venv/bin/python tools/dist.py --tag "$GITHUB_REF_NAME"')
        assert workflow["jobs"]["publish"]["needs"] == "build"
        allowed = {name: job.get("permissions", workflow["permissions"]) for name, job in workflow["jobs"].items()}
        assert allowed == {"build": {"contents": "read"}, "publish": {"id-token": "write"}}


# What each room may import of the package besides itself: the rooms of its own row and of the rows above it.
ORDER = [
    {"threads"},
    {"noise", "markov", "schedules", "forward", "exact", "predictions"},
    {"data", "models", "files", "pictures", "pretrained", "progress"},
    {
        *("hardware", "team", "memory", "losses", "jumps", "training"),
        *("samplers", "guidance", "editing", "metrics", "bugs"),
    },
    {"plotting", "page"},
    {"widgets"},
    {"checks"},
    {"run", "subjects", "evaluation", "doctor"},
    {"export"},
    {"cli"},
]
NO_PAGE = {"page", "plotting", "widgets", "checks"}  # rooms that need a notebook around them
NOT = {"checks": {"page", "plotting", "widgets"}} | dict.fromkeys(
    ["run", "subjects", "evaluation", "export", "doctor", "cli"], NO_PAGE
)
GENERAL = {
    "threads",
    "files",
    "pictures",
    "pretrained",
    "page",
    "plotting",
    "widgets",
    "checks",
    "progress",
    "run",
    "subjects",
    "evaluation",
    "doctor",
    "cli",
}  # they serve every lesson


def room(path: Path) -> str:
    """The room that a module belongs to: the first name below the package; `python -m` is the command's other door."""
    name = path.relative_to(PACKAGE).with_suffix("").parts[0]
    return "cli" if name == "__main__" else name


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
            allowed = {"threads"}  # to be settled before anything else is loaded
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
            assert set(re.findall(r'"([^"]+)"', docstring)) & set(order.TITLES.values()), docstring

    @pytest.mark.parametrize("name", sorted({room(path) for path in MODULES} - {"__init__"}))
    def test_the_map_shows_every_room(self, name):
        assert f"`{name}`" in ast.get_docstring(ast.parse((PACKAGE / "__init__.py").read_text()))

    def test_importing_the_package_loads_nothing_heavy(self):
        script = "import sys, diffusion_tutorial; print({'torch', 'numpy', 'matplotlib', 'IPython'} & set(sys.modules))"
        loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        assert loaded.stdout.strip() == "set()"
