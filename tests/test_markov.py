import pytest
import torch

from diffusion_tutorial import markov

WEATHER = torch.tensor([[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.2, 0.3, 0.5]], dtype=torch.float64)


def test_simulated_walks_have_the_frequencies_of_after(generator):
    n, steps = 20_000, 4
    walks = markov.simulate(WEATHER, 2, steps, n, generator)
    assert walks.shape == (n, steps + 1) and (walks[:, 0] == 2).all()
    start = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    for day in range(steps + 1):
        seen = torch.bincount(walks[:, day], minlength=3) / n
        torch.testing.assert_close(seen.double(), markov.after(WEATHER, start, day), atol=0.015, rtol=0)


def test_each_day_depends_on_the_day_before(generator):
    walks = markov.simulate(WEATHER, 0, 1, 20_000, generator)
    later = markov.simulate(WEATHER, 0, 6, 20_000, generator)
    from_rain = later[later[:, 5] == 2][:, 6]
    seen = torch.bincount(from_rain, minlength=3) / len(from_rain)
    torch.testing.assert_close(seen.double(), WEATHER[2], atol=0.03, rtol=0)
    assert abs((walks[:, 1] == 0).double().mean() - 0.8) < 0.015


def test_the_same_seed_gives_the_same_walk():
    one, two, other = (markov.simulate(WEATHER, 0, 30, 2, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_after_takes_the_steps_one_by_one():
    p = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    by_hand = p
    for _ in range(5):
        by_hand = torch.stack([sum(by_hand[i] * WEATHER[i, j] for i in range(3)) for j in range(3)])
    torch.testing.assert_close(markov.after(WEATHER, p, 5), by_hand)
    assert torch.equal(markov.after(WEATHER, p, 0), p)


def test_stationary_stays_and_every_start_leads_there():
    p = markov.stationary(WEATHER)
    torch.testing.assert_close(p @ WEATHER, p)
    assert abs(p.sum() - 1) < 1e-12 and (p > 0).all()
    for start in torch.eye(3, dtype=torch.float64):
        torch.testing.assert_close(markov.after(WEATHER, start, 200), p)


def test_reverse_is_bayes_rule():
    p = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    R = markov.reverse(WEATHER, p)
    for j in range(3):  # today
        joint = [p[i].item() * WEATHER[i, j].item() for i in range(3)]
        torch.testing.assert_close(R[j], torch.tensor(joint, dtype=torch.float64) / sum(joint))
    torch.testing.assert_close(markov.after(R, markov.after(WEATHER, p, 1), 1), p)  # there and back
    assert not torch.allclose(R, WEATHER.T / WEATHER.T.sum(1, keepdim=True))  # transposing is not reversing


def test_reverse_matches_what_simulated_walks_did(generator):
    p0 = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    walks = markov.simulate(WEATHER, 2, 3, 40_000, generator)
    R = markov.reverse(WEATHER, markov.after(WEATHER, p0, 2))
    for today in range(3):
        yesterday = walks[walks[:, 3] == today][:, 2]
        seen = torch.bincount(yesterday, minlength=3) / len(yesterday)
        torch.testing.assert_close(seen.double(), R[today], atol=0.025, rtol=0)


@pytest.mark.parametrize(
    "P, message",
    [
        (torch.ones(2, 3) / 3, r"square matrix, got shape \(2, 3\)"),
        (torch.ones(3) / 3, r"square matrix, got shape \(3,\)"),
        (torch.tensor([[0.5, 0.5], [0.7, 0.4]]), "row 1 sums to 1.1"),
        (torch.tensor([[1.2, -0.2], [0.5, 0.5]]), "negative entry"),
        (torch.tensor([[torch.nan, 1.0], [0.5, 0.5]]), "NaN"),
    ],
)
def test_what_is_no_chain_is_refused(P, message, as_learner):
    for use in (
        markov.check_matrix,
        lambda P: markov.simulate(P, 0, 1),
        lambda P: markov.after(P, torch.ones(len(P)) / len(P), 1),
        markov.stationary,
        lambda P: markov.reverse(P, torch.ones(len(P)) / len(P)),
    ):
        with pytest.raises(ValueError, match=message):
            use(P)


def test_bad_starts_are_refused(as_learner):
    for start in (3, -1):
        with pytest.raises(ValueError, match=rf"0\.\.2 .*got {start}"):
            markov.simulate(WEATHER, start, 1)
    good = torch.ones(3, dtype=torch.float64) / 3
    with pytest.raises(ValueError, match="got -1"):
        markov.after(WEATHER, good, -1)
    for use in (lambda p: markov.after(WEATHER, p, 1), lambda p: markov.reverse(WEATHER, p)):
        with pytest.raises(ValueError, match=r"each of the 3 states, got shape \(2,\)"):
            use(good[:2])
        with pytest.raises(ValueError, match="sum to 1, got"):
            use(2 * good)
    with pytest.raises(ValueError, match="no yesterday"):
        markov.reverse(torch.eye(2), torch.tensor([1.0, 0.0]))
