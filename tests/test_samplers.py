from functools import partial

import numpy as np
import pytest
import torch

from diffusion_tutorial.forward import q_posterior
from diffusion_tutorial.predictions import Within
from diffusion_tutorial.samplers import (
    SPACINGS,
    STEPS,
    DPMSolverPP,
    ddim_step,
    ddpm_step,
    draw,
    heun_step,
    jump_step,
    moment,
    sample,
    times,
)
from diffusion_tutorial.schedules import cosine, linear, zero_terminal_snr

LINEAR, COSINE = linear(), cosine()
# even in log-SNR from t = 1 to 961, 960 fine steps from 6 down to -6; t = 0, the clean picture, stands apart
EVEN = torch.cat([torch.ones(1).double(), torch.sigmoid(torch.linspace(6, -6, 961, dtype=torch.float64))])


def step_of(method: str):
    """A step for one walk, from its name in STEPS and, for DDIM, its eta."""
    name, _, eta = method.partition(" ")
    step = STEPS[name]() if isinstance(STEPS[name], type) else STEPS[name]
    return partial(step, eta=float(eta)) if eta else step


def by_hand(step, x_t, eps_hat, t, s, alpha_bar, noise=None, denoiser=None, clip=1.0, **options):
    """One step from a guess that is there already: x_s and x0_hat."""
    m = moment(x_t, eps_hat, t, s, alpha_bar, noise, denoiser, clip)
    return step(m, **options), m.x0_hat


def random_pair(seed: int = 1, n: int = 2):
    """Some x_t and eps_hat: nothing like pictures, so most of x0_hat is clipped."""
    return torch.randn(2, n, 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def model(x_t, t, cond=None):
    """Some denoiser, in any precision: not a good one, so that clipping has something to do."""
    return torch.tanh(1.3 * x_t) * (0.3 + 0.7 * t.view(-1, *[1] * (x_t.ndim - 1)).to(x_t) / 1000) + 0.1 * x_t.flip(-1)


def test_times():
    assert times(1000) == list(range(1000, -1, -1))
    assert times(4) == [1000, 750, 500, 250, 0]
    assert times(1) == [1000, 0] and times(3, T=10) == [10, 7, 3, 0]
    for n in (7, 50, 333, 999):
        chosen = times(n)
        assert len(chosen) == n + 1 and chosen[0] == 1000 and chosen[-1] == 0
        gaps = [t - s for t, s in zip(chosen, chosen[1:])]
        assert min(gaps) >= 1 and max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_spacing_falls_from_T_to_0(spacing, as_learner):
    for T, steps in ((1, [1]), (2, [1, 2]), (37, range(1, 38)), (1000, [1, 2, 3, 7, 20, 50, 333, 500, 999, 1000])):
        for alpha_bar in (linear(T), cosine(T), zero_terminal_snr(cosine(max(T, 2)))[: T + 1]):
            for n in steps:
                chosen = times(n, T, spacing, alpha_bar)
                assert len(chosen) == n + 1 and chosen[-1] == 0 and all(isinstance(t, int) for t in chosen)
                assert all(t > s for t, s in zip(chosen, chosen[1:])), (T, n)
                assert chosen[0] == (T if spacing != "leading" else 1 + (n - 1) * (T // n))
            assert chosen == list(range(T, -1, -1))  # n = T takes every step


def test_the_three_even_spacings():
    assert times(5, 11, "trailing") == [11, 9, 7, 4, 2, 0]
    assert times(5, 13, "linspace") == [13, 10, 7, 4, 1, 0]
    assert times(5, 13, "leading") == [9, 7, 5, 3, 1, 0]
    assert times(5) == [1000, 800, 600, 400, 200, 0]
    assert times(5, spacing="linspace") == [1000, 750, 500, 251, 1, 0]  # 750.25, 500.5, 250.75; halves to the even side
    assert times(5, spacing="leading") == [801, 601, 401, 201, 1, 0]  # it never sees t = 1000


def test_logsnr_is_even_and_karras_is_its_formula():
    a = LINEAR[1:].numpy()
    log_snr, sigma = np.log(a / (1 - a)), np.sqrt((1 - a) / a)
    for n in (2, 5, 12):
        i = np.arange(n) / max(n - 1, 1)
        wanted = log_snr[-1] + i * (log_snr[0] - log_snr[-1])
        karras = (sigma[-1] ** (1 / 7) + i * (sigma[0] ** (1 / 7) - sigma[-1] ** (1 / 7))) ** 7  # their equation 5
        for spacing, exact in (
            ("logsnr", np.interp(wanted, log_snr[::-1], np.arange(1000, 0, -1))),
            ("karras", np.interp(karras, sigma, np.arange(1, 1001))),
        ):
            chosen = np.array(times(n, 1000, spacing, LINEAR)[:-1])
            assert abs(chosen - exact).max() < 0.6, (spacing, n)  # to the next whole number
    assert times(6, len(EVEN) - 1, "logsnr", EVEN) == [961, 769, 577, 385, 193, 1, 0]  # there, even in t is even in it
    assert times(1, 1000, "logsnr", LINEAR) == times(1, 1000, "karras", LINEAR) == [1000, 0]


def test_the_step_is_the_posterior_with_x0_hat_in_place_of_x0(generator):
    x_t, eps_hat, noise = torch.randn(3, 5, 1, 4, 4, generator=generator)
    t, s = torch.tensor([1000, 500, 30, 2, 1]), torch.tensor([900, 499, 10, 1, 0])
    x_s, x0_hat = by_hand(ddpm_step, x_t, eps_hat, t, s, LINEAR, noise)
    assert x0_hat.abs().max() == 1
    mean, var = q_posterior(x_t, x0_hat, t, s, LINEAR)
    torch.testing.assert_close(x_s, mean + var.sqrt() * noise)
    assert torch.equal(
        x_s[4], by_hand(ddpm_step, x_t, eps_hat, t, s, LINEAR, 0 * noise)[0][4]
    )  # the last step adds no noise
    _, half = by_hand(ddpm_step, x_t, eps_hat, t, s, LINEAR, noise, clip=0.5)
    assert half.abs().max() == 0.5


def test_sample_yields_every_state_and_draw_the_last(generator):
    x_T = torch.randn(2, 1, 4, 4, generator=generator)
    states = list(sample(model, x_T, [1000, 600, 10, 0], LINEAR, generator=torch.Generator().manual_seed(1)))
    assert [state.t for state in states] == [1000, 600, 10, 0]
    assert states[0].x is x_T and states[0].eps_hat is None and states[0].x0_hat is None
    for before, state in zip(states, states[1:]):
        torch.testing.assert_close(state.eps_hat, model(before.x, torch.full((2,), before.t)))
        assert state.x0_hat.shape == state.x.shape == x_T.shape
    assert torch.equal(states[-1].x, states[-1].x0_hat)
    last = draw(model, x_T, [1000, 600, 10, 0], LINEAR, generator=torch.Generator().manual_seed(1))
    assert torch.equal(last, states[-1].x)
    other = draw(model, x_T, [1000, 600, 10, 0], LINEAR, generator=torch.Generator().manual_seed(2))
    assert not torch.equal(last, other)


def test_sample_hands_the_condition_on_and_builds_no_graph(generator):
    weight, conds = torch.ones((), requires_grad=True), []

    def denoiser(x_t, t, cond=None):
        conds.append(cond)
        return weight * x_t

    cond = torch.tensor([4, 2])
    x = draw(denoiser, torch.randn(2, 1, 4, 4, generator=generator), [1000, 500, 0], LINEAR, cond=cond)
    assert len(conds) == 2 and all(c is cond for c in conds)
    assert not x.requires_grad


def test_sampling_can_stop_early(generator):
    x_T = torch.randn(2, 1, 4, 4, generator=generator)
    walk = sample(model, x_T, times(1000), LINEAR)
    assert [next(walk).t for _ in range(3)] == [1000, 999, 998]


def test_the_named_steps_are_steps():
    assert STEPS == {"ddpm": ddpm_step, "ddim": ddim_step, "dpm++": DPMSolverPP, "heun": heun_step, "jump": jump_step}


@pytest.mark.parametrize("clip", [1.0, 0.3, None])
def test_ddim_with_eta_1_is_the_ancestral_step(clip):
    x, eps_hat = random_pair(n=5)
    t, s = torch.tensor([1000, 500, 30, 2, 1]), torch.tensor([900, 499, 10, 1, 0])
    noise = random_pair(3, n=5)[0]
    for alpha_bar in (LINEAR, COSINE):
        ours = by_hand(ddim_step, x, eps_hat, t, s, alpha_bar, noise, eta=1.0, clip=clip)
        for a, b in zip(ours, by_hand(ddpm_step, x, eps_hat, t, s, alpha_bar, noise, clip=clip)):
            torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-7)


def test_ddim_with_eta_0_ignores_the_noise(generator):
    x, eps_hat = random_pair()
    args = (x, eps_hat, torch.full((2,), 500), torch.full((2,), 400), LINEAR)
    args = (ddim_step, *args)
    assert torch.equal(by_hand(*args, noise=x)[0], by_hand(*args, noise=5 + 0 * x)[0])
    assert not torch.equal(by_hand(*args, noise=x, eta=0.1)[0], by_hand(*args, noise=0 * x, eta=0.1)[0])
    for eta in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="eta from 0"):
            by_hand(*args, noise=x, eta=eta)


@pytest.mark.parametrize("name", ["ddim", "dpm++", "heun"])
def test_the_same_static_gives_the_same_picture(name):
    x_T = random_pair()[0]
    one, other, none = (
        draw(model, x_T, times(5), LINEAR, step=STEPS[name], generator=g)
        for g in (torch.Generator().manual_seed(1), torch.Generator().manual_seed(2), None)
    )
    assert torch.equal(one, other) and torch.equal(one, none)
    assert not torch.equal(one, draw(model, x_T + 0.01, times(5), LINEAR, step=STEPS[name]))


@pytest.mark.parametrize("clip", [1.0, None])
def test_dpm_solver_begins_and_ends_with_a_ddim_step(clip):
    walk = (random_pair()[0], [950, 700, 300, 20, 0], LINEAR)
    states = list(sample(Within(model, clip), *walk, step=step_of("dpm++")))
    gaps = []
    for before, state in zip(states, states[1:]):
        t, s = torch.full((2,), before.t), torch.full((2,), state.t)
        x_s, x0_hat = by_hand(ddim_step, before.x, state.eps_hat, t, s, LINEAR, before.x, clip=clip)
        assert torch.equal(x0_hat, state.x0_hat)
        gaps.append((x_s - state.x).abs().max().item())
    assert gaps[0] < 1e-10 and gaps[-1] < 1e-10 and min(gaps[1:-1]) > 1e-2


def test_every_walk_gets_a_solver_of_its_own():
    made = []

    class Noted(DPMSolverPP):
        def __init__(self):
            super().__init__()
            made.append(self)

    x, y = random_pair()
    apart = [[state.x for state in sample(model, x_T, times(6), LINEAR, step=Noted)] for x_T in (x, y)]
    assert len(made) == 2 and made[0] is not made[1]
    together = zip(*(sample(model, x_T, times(6), LINEAR, step=Noted) for x_T in (x, y)))
    for i, pair in enumerate(together):
        assert torch.equal(pair[0].x, apart[0][i]) and torch.equal(pair[1].x, apart[1][i])
    assert len(made) == 4


def test_a_solver_looks_back_only_along_its_own_walk():
    """After a jump elsewhere, what it remembers is of another place: it starts anew, by a DDIM step."""
    (x, eps_hat), solver = random_pair(), DPMSolverPP()
    at = lambda t: torch.full((2,), t)  # noqa: E731
    by_hand(solver, x, eps_hat, at(900), at(700), LINEAR, x)
    args = (0.5 * x, eps_hat, at(650), at(400), LINEAR, x)
    torch.testing.assert_close(by_hand(solver, *args)[0], by_hand(ddim_step, *args)[0])
    args = (0.2 * x, eps_hat, at(400), at(300), LINEAR, x)
    assert (by_hand(solver, *args)[0] - by_hand(ddim_step, *args)[0]).abs().max() > 1e-3


@pytest.mark.parametrize("name, calls", [("ddpm", 9), ("ddim", 9), ("dpm++", 9), ("heun", 17), ("jump", 9)])
def test_how_often_the_model_is_asked(name, calls):
    asked, cond = [], torch.tensor([4, 2])

    def counted(x_t, t, cond=None):
        asked.append((t[0].item(), cond))
        return model(x_t, t)

    states = list(sample(counted, random_pair()[0], times(9), LINEAR, cond=cond, step=STEPS[name]))
    assert len(asked) == calls and all(c is cond for _, c in asked)  # heun: 2n - 1, nothing to look ahead to at s = 0
    assert [state.t for state in states] == times(9)
    assert {t for t, _ in asked} == set(times(9)[:-1])
    assert torch.equal(states[-1].x, states[-1].x0_hat)


@pytest.mark.parametrize("name", STEPS)
def test_pictures_of_one_batch_may_be_at_different_times(name):
    x, eps_hat = random_pair(n=3)
    noise, walk = random_pair(3, n=3)[0], torch.tensor([[900, 500, 30], [700, 400, 10], [600, 50, 9]])

    def two_steps(who):
        step, x_t = step_of(name), x[who]
        for t, s in zip(walk[:, who], walk[1:, who]):
            x_t, _ = by_hand(step, x_t, eps_hat[who], t, s, LINEAR, noise[who], model)
        return x_t

    alone = torch.cat([two_steps([i]) for i in range(3)])
    torch.testing.assert_close(two_steps([0, 1, 2]), alone)


def test_heun_looks_at_the_first_try(generator):
    x, eps_hat = random_pair()
    t, s, looked = torch.full((2,), 500), torch.full((2,), 400), []
    args = (x, eps_hat, t, s, LINEAR, x)
    by_hand(heun_step, *args, lambda x_s, s, cond: looked.append((x_s, s)) or model(x_s, s))
    [(x_s, when)] = looked
    assert torch.equal(x_s, by_hand(ddim_step, *args)[0]) and torch.equal(when, s)
    same = by_hand(heun_step, *args, lambda x_s, s, cond: eps_hat, clip=None)[0]  # where both looks agree
    torch.testing.assert_close(same, by_hand(ddim_step, *args, clip=None)[0])
    with pytest.raises(ValueError, match="this step looks ahead: say by `denoiser` whom to ask"):
        by_hand(heun_step, *args)


def test_a_step_of_your_own():
    x = random_pair()[0]
    halved = draw(model, x, [1000, 500, 0], LINEAR, step=lambda m: m.x_t / 2)
    assert torch.equal(halved, x / 4)
    narrow = Within(model, 0.5)
    ahead = lambda m: heun_step(m)  # noqa: E731
    torch.testing.assert_close(
        draw(narrow, x, times(4), LINEAR, step=ahead), draw(narrow, x, times(4), LINEAR, step=step_of("heun"))
    )


@pytest.mark.parametrize("name", ["ddim", "dpm++", "heun"])
def test_the_others_keep_the_precision_and_refuse_bad_input(name, as_learner):
    step = step_of(name)
    x, eps_hat = random_pair()
    for dtype in (torch.float32, torch.float64):
        out = draw(model, x.to(dtype), times(4), LINEAR, step=STEPS[name])
        assert out.dtype == dtype and out.isfinite().all() and out.abs().max() <= 1
    with pytest.raises(ValueError, match="s < t"):
        by_hand(step, x, eps_hat, torch.tensor([3, 3]), torch.tensor([3, 2]), LINEAR, x, model)
    with pytest.raises(ValueError, match=r"0\.\.1000"):
        by_hand(step, x, eps_hat, torch.tensor([3, 1001]), torch.tensor([2, 2]), LINEAR, x, model)
    with pytest.raises(ValueError, match=r"\(2, 1, 4, 4\) and \(2, 4, 4\)"):
        by_hand(step, x, eps_hat[:, 0], torch.tensor([3, 3]), torch.tensor([2, 2]), LINEAR, x, model)
    with pytest.raises(ValueError, match="no signal is left"):
        draw(model, x, times(3), zero_terminal_snr(LINEAR), step=STEPS[name])


def test_heun_notices_nan_in_its_second_look(as_learner):
    def breaks(x_t, t, cond=None):
        breaks.calls += 1
        return x_t * (torch.nan if breaks.calls == 2 else 1)

    breaks.calls = 0
    with pytest.raises(ValueError, match="answer at t = 667 holds NaN"):
        draw(breaks, random_pair()[0], times(3), LINEAR, step=heun_step)


def test_bad_input(as_learner, generator):
    x = torch.randn(2, 1, 4, 4, generator=generator)
    for bad in (0, 1001, -3):
        with pytest.raises(ValueError, match=f"between 1 and 1000 steps, got {bad}"):
            times(bad)
    with pytest.raises(ValueError, match="spacing from trailing, linspace, .*, got even"):
        times(5, spacing="even")
    for spacing in ("logsnr", "karras"):
        for bad in (None, LINEAR[:-1]):
            with pytest.raises(ValueError, match="needs alpha_bar with 1001 entries"):
                times(5, spacing=spacing, alpha_bar=bad)
        with pytest.raises(ValueError, match=r"alpha_bar\[0\] == 1"):
            times(5, 999, spacing, LINEAR[1:])
    for bad in ([1000, 1000, 0], [0, 10], [1001, 0], [10, -1], []):
        with pytest.raises(ValueError, match="times that fall from at most 1000"):
            draw(model, x, bad, LINEAR)
    with pytest.raises(ValueError, match="x_T holds NaN"):
        draw(model, x * torch.nan, times(3), LINEAR)
    with pytest.raises(ValueError, match="answer at t = 667 holds NaN"):
        draw(lambda x, t, cond=None: x * (torch.nan if t[0] == 667 else 1), x, times(3), LINEAR)
    with pytest.raises(ValueError, match=r"\(2, 1, 4, 4\) and \(2, 4, 4\)"):
        draw(lambda x, t, cond=None: x[:, 0], x, times(3), LINEAR)
    with pytest.raises(ValueError, match="each of the 2 pictures, got 3"):
        draw(model, x, times(3), LINEAR, cond=torch.tensor([1, 2, 3]))
    with pytest.raises(ValueError, match=r"alpha_bar\[0\] == 1"):
        draw(model, x, times(3, 999), LINEAR[1:])
    with pytest.raises(ValueError, match="no signal is left"):
        draw(model, x, times(3), zero_terminal_snr(LINEAR))
    with pytest.raises(ValueError, match="s < t"):
        by_hand(ddpm_step, x, x, torch.tensor([3, 3]), torch.tensor([3, 2]), LINEAR, x)
    with pytest.raises(ValueError, match=r"0\.\.1000"):
        by_hand(ddpm_step, x, x, torch.tensor([3, 1001]), torch.tensor([2, 2]), LINEAR, x)


@pytest.mark.parametrize("name, draws", [("ddpm", True), ("ddim", False), ("dpm++", False), ("heun", False)])
def test_a_step_that_uses_no_noise_draws_none(name, draws):
    g = torch.Generator().manual_seed(1)
    before = g.get_state()
    draw(model, random_pair()[0], times(5), LINEAR, step=STEPS[name], generator=g)
    assert torch.equal(g.get_state(), before) is not draws
    draw(model, random_pair()[0], times(5), LINEAR, step=step_of("ddim 0.5"), generator=g)
    assert not torch.equal(g.get_state(), before)


def test_static_in_any_precision(as_learner):
    """A large batch in float16: its sum is infinite there, and it is no NaN."""
    x = torch.full((40, 1, 64, 64), 3.0)
    assert x.half().sum().isinf()
    wanted = draw(model, x, times(2), LINEAR, step=ddim_step)
    for dtype in (torch.float16, torch.bfloat16):
        states = list(sample(model, x.to(dtype), times(2), LINEAR, step=ddim_step))
        assert states[0].x.dtype == torch.float32 and torch.equal(states[-1].x, wanted)  # in half, alpha_bar_T is lost
    assert draw(model, x[:2].double(), times(2), LINEAR, step=ddim_step).dtype == torch.float64


def test_arrays_and_lists_are_taken_where_they_are_clear(as_learner):
    told = lambda x_t, t, cond: model(x_t, t) + cond.view(-1, 1, 1, 1)  # noqa: E731
    x, cond = random_pair()[0], torch.tensor([1, 2])
    wanted = draw(told, x, times(3), LINEAR, cond=cond, step=ddim_step)
    for given in ([1, 2], (1, 2), cond.numpy()):
        assert torch.equal(draw(told, x.numpy(), times(3), LINEAR, cond=given, step=ddim_step), wanted)
    with pytest.raises(ValueError, match="expected a condition in numbers, .* got list .*words become numbers"):
        draw(told, x, times(3), LINEAR, cond=["a cat", "a dog"])
    with pytest.raises(ValueError, match="for each of the 2 pictures, got 3 alone"):
        draw(told, x, times(3), LINEAR, cond=3)
    with pytest.raises(ValueError, match="expected alpha_bar as a tensor, got ndarray"):
        draw(told, x, times(3), LINEAR.numpy())


def test_static_has_to_be_a_batch_of_floats(as_learner):
    for bad in (torch.zeros(0, 1, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.int64), torch.zeros(4)):
        with pytest.raises(ValueError, match="a batch of static, at least one, as floats, got"):
            draw(model, bad, times(3), LINEAR)


def test_conditions_are_looked_at_once_at_the_door():
    class Strict:
        looked = []

        def check(self, cond):
            self.looked.append(cond)

        def __call__(self, x_t, t, cond=None):
            return model(x_t, t)

    cond = torch.tensor([1, 2])
    draw(Strict(), random_pair()[0], times(5), LINEAR, cond=cond)
    assert len(Strict.looked) == 1 and Strict.looked[0] is cond
