"""What the source distribution and the wheel hold; both are built here, as `make dist` builds them."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import diffusion_tutorial

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import dist as tool  # noqa: E402

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEXTS = {path for pattern in PROJECT["license-files"] for path in ROOT.glob(pattern)}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    return tool.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def source(built) -> set[str]:
    """The files of the source distribution, below the one folder that it holds."""
    with tarfile.open(built[0]) as archive:
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


@pytest.fixture(scope="module")
def wheel(built) -> zipfile.ZipFile:
    with zipfile.ZipFile(built[1]) as archive:
        yield archive


def tracked() -> set[str]:
    """The files that git tracks here; none where this is no checkout."""
    result = subprocess.run(["git", "ls-files", "-z", "."], cwd=ROOT, capture_output=True, text=True)
    return set(filter(None, result.stdout.split("\0"))) if (ROOT / ".git").exists() else set()


def test_the_source_distribution_holds_all_that_git_tracks(source):
    if not tracked():
        pytest.skip("this is no git checkout")
    here = {name for name in tracked() if (ROOT / name).exists()}
    assert not here - source, "name them in MANIFEST.in"


def test_the_source_distribution_holds_nothing_that_was_only_left_behind(source):
    assert not [
        name for name in source if name.endswith(".pyc") or ".venv" in name or name.startswith(("runs/", "dist/"))
    ]


def test_the_source_distribution_tests_itself(built, tmp_path):
    tree = tool.unpack(built[0], tmp_path)
    quick = ["tests/test_repository.py", "tests/test_files.py"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *quick]
    result = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:]


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    top = {name.partition("/")[0] for name in wheel.namelist()}
    assert top == {"diffusion_tutorial", f"diffusion_tutorial-{diffusion_tutorial.__version__}.dist-info"}
    held = {name for name in wheel.namelist() if name.startswith("diffusion_tutorial/")}
    package = ROOT / "diffusion_tutorial"
    wanted = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert held == {path.relative_to(ROOT).as_posix() for path in wanted}


@pytest.mark.parametrize("kind", ["*.safetensors", "*.json", "*.png", "*.js", "*.css", "py.typed"])
def test_the_wheel_holds_what_is_not_python(wheel, kind):
    names = {Path(name).name for name in wheel.namelist()}
    found = {path.name for path in (ROOT / "diffusion_tutorial").rglob(kind)}
    assert found and found <= names


def test_the_wheel_holds_the_licences_and_says_which(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    said = Parser().parsestr(wheel.read(name).decode())
    assert said["License-Expression"] == PROJECT["license"] and said["Version"] == diffusion_tutorial.__version__
    for text in TEXTS:
        inside = text.relative_to(ROOT).as_posix()
        assert wheel.read(name.replace("METADATA", f"licenses/{inside}")) == text.read_bytes()
        assert inside in said.get_all("License-File")


@pytest.mark.parametrize(
    ("tag", "changes", "says"),
    [
        ("v1.2.4", "# Changes\n\n## 1.2.3\n", "expected the tag v1.2.3"),
        ("1.2.3", "# Changes\n\n## 1.2.3\n", "expected the tag v1.2.3"),
        ("v1.2.3", "# Changes\n\n## Unreleased\n\n## 1.2.3\n", "begin with ## 1.2.3, got ## Unreleased"),
        ("v1.2.3", "# Changes\n", "got no section"),
    ],
)
def test_a_release_is_refused_where_tag_version_and_changelog_differ(tag, changes, says):
    with pytest.raises(ValueError, match=says):
        tool.check(tag, "1.2.3", changes)


def test_a_release_goes_where_they_agree():
    tool.check("v1.2.3", "1.2.3", "# Changes\n\n## 1.2.3\n\n## 1.2.2\n")
