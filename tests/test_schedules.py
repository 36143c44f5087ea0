import pytest
import torch
from diffusers import DDPMScheduler

from diffusion_tutorial import schedules

SCHEDULES = {
    "linear": (schedules.linear, dict(beta_schedule="linear")),
    "cosine": (schedules.cosine, dict(beta_schedule="squaredcos_cap_v2")),
    "linear, zero terminal SNR": (
        lambda: schedules.zero_terminal_snr(schedules.linear()),
        dict(beta_schedule="linear", rescale_betas_zero_snr=True),
    ),
    "cosine, zero terminal SNR": (
        lambda: schedules.zero_terminal_snr(schedules.cosine()),
        dict(beta_schedule="squaredcos_cap_v2", rescale_betas_zero_snr=True),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_equals_diffusers(name):
    ours, theirs = SCHEDULES[name][0](), DDPMScheduler(**SCHEDULES[name][1])
    # diffusers has no entry for the clean picture: our t is its t - 1. It multiplies up in float32, hence 1e-5.
    torch.testing.assert_close(
        ours[1:].float(), theirs.alphas_cumprod, atol=1e-6, rtol=1e-5 if "zero" not in name else 1e-3
    )
    torch.testing.assert_close(schedules.beta_from(ours)[1:].float(), theirs.betas, atol=1e-6, rtol=1e-3)
    assert (ours[:-1].float() - theirs.alphas_cumprod).abs().max() > 1e-4  # and shifted by one it would not fit


@pytest.mark.parametrize("name", SCHEDULES)
def test_starts_clean_and_falls(name):
    alpha_bar = SCHEDULES[name][0]()
    assert alpha_bar.shape == (1001,) and alpha_bar.dtype == torch.float64
    assert alpha_bar[0] == 1
    assert (alpha_bar.diff() < 0).all() and alpha_bar[-1] >= 0
    assert schedules.check(alpha_bar) is alpha_bar


def test_known_values():
    linear, cosine = schedules.linear(), schedules.cosine()
    assert linear[1].item() == pytest.approx(1 - 1e-4, abs=1e-15)
    assert linear[1000].item() == pytest.approx(4.036e-5, rel=1e-3)  # the signal that Ho et al.'s chain leaves
    assert schedules.beta_from(cosine).max().item() == pytest.approx(0.999, abs=1e-12) and 0 < cosine[1000] < 1e-8
    assert cosine[500].item() == pytest.approx(0.4938, abs=1e-3)
    assert schedules.linear(100)[100] > 0.3  # the same betas over a short chain do not reach static
    assert len(schedules.linear(1)) == len(schedules.cosine(1)) == 2


def test_zero_terminal_snr_keeps_the_first_step_and_ends_at_exactly_zero():
    before = schedules.linear()
    after = schedules.zero_terminal_snr(before)
    assert after[0] == 1 and after[-1] == 0
    assert after[1].item() == pytest.approx(before[1].item(), abs=1e-15)
    assert torch.equal(before, schedules.linear())  # the argument is left alone


def test_beta_and_alpha_bar_are_inverses():
    beta = schedules.beta_from(schedules.cosine())
    assert beta[0] == 0
    torch.testing.assert_close(schedules.alpha_bar_from(beta), schedules.cosine(), atol=1e-15, rtol=1e-12)


def test_snr():
    alpha_bar = torch.tensor([1.0, 0.8, 0.5, 0.0])
    torch.testing.assert_close(schedules.snr(alpha_bar), torch.tensor([torch.inf, 4.0, 1.0, 0.0]))


def test_at_picks_and_shapes():
    values = torch.arange(11, dtype=torch.float64)
    x = torch.zeros(3, 1, 2, 2, dtype=torch.float32)
    picked = schedules.at(values, torch.tensor([0, 10, 4]), x)
    assert picked.shape == (3, 1, 1, 1) and picked.dtype == x.dtype
    assert picked.flatten().tolist() == [0, 10, 4]
    assert schedules.at(values, torch.tensor([2]), torch.zeros(1)).shape == (1,)
    assert schedules.at(values, torch.zeros(0, dtype=torch.int64), x[:0]).shape == (0, 1, 1, 1)


@pytest.mark.parametrize(
    "t, message",
    [
        (torch.tensor([0, 11, 3]), r"every t in 0\.\.10, got 0 to 11"),
        (torch.tensor([-1, 2, 3]), r"every t in 0\.\.10, got -1 to 3"),
        (torch.tensor([1, 2]), r"each of the 3 pictures; got shape \(2,\)"),
        (torch.tensor([[1], [2], [3]]), r"got shape \(3, 1\)"),
        (torch.tensor(5), r"got shape \(\)"),
        (torch.tensor([1.0, 2.0, 3.0]), "whole numbers.*float32"),
        (torch.tensor([True, False, True]), "whole numbers.*bool"),
        (5, "expected t as a tensor.*got 5"),
    ],
)
def test_at_refuses_a_bad_t(t, message, as_learner):
    with pytest.raises(ValueError, match=message):
        schedules.at(torch.ones(11), t, torch.zeros(3, 1, 2, 2))


def test_one_picture_has_a_t_in_a_batch_of_one(as_learner):
    with pytest.raises(ValueError, match=r"each of the 1 pictures; got shape \(\)"):
        schedules.at(torch.ones(11), torch.tensor(5), torch.zeros(1, 1, 2, 2))


def test_at_refuses_shapes_that_torch_would_stretch(as_learner):
    with pytest.raises(ValueError, match=r"\(3, 1, 2, 2\) and \(3, 2, 2\)"):
        schedules.at(torch.ones(11), torch.tensor([1, 2, 3]), torch.zeros(3, 1, 2, 2), torch.zeros(3, 2, 2))


@pytest.mark.parametrize("make", [schedules.linear, schedules.cosine])
def test_a_chain_has_a_whole_number_of_steps(make, as_learner):
    for T in (0, -5, 2.5):
        with pytest.raises(ValueError, match=f"got T = {T}"):
            make(T)


def test_bad_betas_are_refused(as_learner):
    for beta in ([0.1, 0.2], [0.0, -0.1], [0.0, 1.1], [0.0, torch.nan]):
        with pytest.raises(ValueError, match=r"beta\[0\] == 0 and every beta in \[0, 1\]; got"):
            schedules.alpha_bar_from(torch.tensor(beta))
    with pytest.raises(ValueError, match=r"\[0, 1\]; got"):
        schedules.linear(beta_T=2.0)


@pytest.mark.parametrize(
    "values, message",
    [
        ([0.9, 0.5, 0.1], r"alpha_bar\[0\] == 1, the clean picture, got 0.9"),  # as a library would hand it over
        ([1.0, 0.5, 0.6], "rises"),
        ([1.0, 0.5, -0.1], "below 0"),
        ([1.0, torch.nan, 0.1], "NaN"),
        ([1.0, 0.5, torch.nan], "NaN"),
        ([1.0], r"shape \(1,\)"),
        ([[1.0, 0.5]], r"shape \(1, 2\)"),
    ],
)
def test_what_is_no_schedule_is_refused(values, message, as_learner):
    for use in (schedules.check, schedules.beta_from, schedules.zero_terminal_snr):
        with pytest.raises(ValueError, match=message):
            use(torch.tensor(values))


def test_zero_terminal_snr_needs_two_steps(as_learner):
    with pytest.raises(ValueError, match="two noising steps"):
        schedules.zero_terminal_snr(schedules.linear(1))
