"""Shapes are checked at run time in the tests only: every function of the package, with jaxtyping and beartype."""

import jaxtyping
import pytest
import torch

# before the package is imported for the first time; whole numbers pass where a float is asked for
jaxtyping.install_import_hook(
    "diffusion_tutorial", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """The tests are many small things: a second thread would only wait for the first."""
    torch.set_num_threads(1)


@pytest.fixture
def as_learner():
    """Without the checks of this file, as in a notebook: what the package says then must be clear by itself."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)
