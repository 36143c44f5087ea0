"""Exercises of "Spot the bug": three repairs, and `diagnose`, which judges the name that is given to a case."""

from collections.abc import Callable

import torch
from torch import Tensor

from diffusion_tutorial import bugs, schedules
from diffusion_tutorial.checks.core import Exercise

CASES = (  # in the order of the lesson
    "data left in [0, 1]",
    "noise added at the last step",
    "guidance in the wrong convention",
    "predicted noise reused as fresh noise",
    "saved without coming back from [-1, 1]",
    "x0_hat not clipped",
    "no fresh noise at all",
    "times walked upwards",
    "the schedule of another training",
    "resized without smoothing before the Frechet distance",
    "index in place of the time",
    "torch.rand in place of torch.randn",
)
LETTERS = dict(zip("ABCDEFGHIJKL", sorted(CASES, key=str.lower)))
EXPECTED = {  # what would be seen, if it were this
    "data left in [0, 1]": "With data left in [0, 1] nothing is darker than grey: 0, its black, is the middle of [-1, 1], already in the x0_hat strip.",
    "noise added at the last step": "Noise at the last step lies as a fine grain over digits that are finished: the x0_hat strip ends clean, and the values leave [-1, 1] a little.",
    "guidance in the wrong convention": "A w counted from 0 where it counts from 1 makes clean strokes that obey their label only in part: count the labels.",
    "predicted noise reused as fresh noise": "Where eps_hat is put back, the first guess is a good blur, and then the noise grows: the x0_hat strip gets worse from step to step.",
    "saved without coming back from [-1, 1]": "Who saves without coming back loses all that is darker than middle grey: the x0_hat strip is right to its end, and the saved strokes are thin and hard.",
    "x0_hat not clipped": "Without the cut, x0_hat leaves [-1, 1] by far: look at its range along the walk.",
    "no fresh noise at all": "A walk without fresh noise ends in plain, soft shapes, and its x0_hat strip hardly changes after the first guesses.",
    "times walked upwards": "Times that go up ask the network for fine detail in pure static and for a blur at the end: the x0_hat strip runs from static to a soft digit.",
    "the schedule of another training": "Under another schedule the network is told a time that does not belong to the noise it sees: the first guess is good, as static is static under both, and then it errs by a little at every step.",
    "resized without smoothing before the Frechet distance": "A bad resize spoils what the judge is shown: jagged pictures of half the detail, from a walk whose x0_hat strip is smooth.",
    "index in place of the time": "A network that is told t = 0, 1, 2 … takes static for a nearly clean picture: the x0_hat strip is static from its first picture to its last.",
    "torch.rand in place of torch.randn": "torch.rand gives numbers from 0 to 1: half a unit too bright on average, at every step, so the pictures drift towards white.",
}
SEEN = {  # what is seen, without its name
    "data left in [0, 1]": "the histogram has its peak at 0, the digits in it are whole, and so are the guesses on the way.",
    "noise added at the last step": "the last x0_hat is clean, the picture after it is dusty, and its values leave [-1, 1] a little.",
    "guidance in the wrong convention": "the strokes are clean, and many digits are not of the kind that was asked for.",
    "predicted noise reused as fresh noise": "the strip begins with a soft digit, as it should, and ends in black and white static.",
    "saved without coming back from [-1, 1]": "the strip is right to its end, and only the finished pictures are not what it promised.",
    "x0_hat not clipped": "strokes are fat, and x0_hat goes far beyond white along the walk.",
    "no fresh noise at all": "both tens look nearly the same, smooth and slanted alike, and each digit lies nearer to a known one than it should.",
    "times walked upwards": "the strip runs the wrong way round: static first, a soft digit last.",
    "the schedule of another training": "the strip begins with a good soft digit and then breaks into pieces, more from step to step.",
    "resized without smoothing before the Frechet distance": "the x0_hat strip is smooth to its end, and only what is handed to the judge is jagged.",
    "index in place of the time": "no picture of the strip is anything but static.",
    "torch.rand in place of torch.randn": "the first guess is good, and from step to step all of it becomes lighter.",
}


def diagnose(case: int | str, answer: str = "") -> None:
    """Print the verdict on an answer, a name of a bug or its letter: what speaks against it, or the cure as a diff, and the origin."""
    print(f"case {case}: {verdict(case, answer)}")


def verdict(case: int | str, answer: str) -> str:
    """What `diagnose` prints, without the case in front."""
    if not str(case).isdecimal() or not 1 <= int(case) <= len(CASES):
        return f"there are cases 1 to {len(CASES)}."
    if not str(answer).strip():
        return "not answered yet."
    wanted = str(answer).strip().lower()
    named = [name for letter, name in LETTERS.items() if wanted in (letter.lower(), name.lower())]
    if not named:
        return f"there is no bug {answer!r} on the list; give a letter from A to L, or its name as it stands there."
    (guess,), truth = named, CASES[int(case) - 1]
    if guess != truth:
        return f"not {guess}. {EXPECTED[guess]} Here {SEEN[truth]}"
    bug = bugs.BUGS[truth]
    return f"yes, {truth}. The cure:\n\n    {bug.diff().replace(chr(10), chr(10) + '    ')}\n\nMet by others: {bug.origin}."


def noise_to_add(s: int, eps_hat: Tensor, fresh: Tensor) -> Tensor:
    """Fresh noise, and none in the step to s = 0."""
    return fresh if s > 0 else torch.zeros_like(fresh)


def loss_by_tenth(t: Tensor, losses: Tensor, T: int) -> Tensor:
    """The mean loss in each tenth of the clock: t = 1 … T/10, then T/10 + 1 … 2T/10, and so on to T."""
    tenth = (t - 1) * 10 // T
    return torch.stack([losses[tenth == k].mean() for k in range(10)])


def short_chain(T: int) -> Tensor:
    """The linear schedule with as much noise in T steps as the usual betas add in 1000: both betas times 1000 / T."""
    return schedules.linear(T, beta_1=1e-4 * 1000 / T, beta_T=0.02 * 1000 / T)


def _noise_cases() -> list[tuple]:
    eps_hat, fresh = torch.randn(2, 3, 1, 2, 2, generator=torch.Generator().manual_seed(18))
    return [(s, eps_hat, fresh) for s in (950, 50, 1, 0)]


def _tenths(which: Callable[[Tensor, int], Tensor], pool: Callable[[Tensor], Tensor] = torch.mean) -> Callable:
    """Pooled losses of the pictures whose number of a tenth, by `which`, is k."""
    return lambda t, losses, T: torch.stack([pool(losses[which(t, T) == k]) for k in range(10)])


def _loss_cases() -> list[tuple]:
    g = torch.Generator().manual_seed(81)
    cases = []
    for T in (1000, 100):
        t = torch.cat([torch.arange(1, T + 1, 3), torch.arange(T // 10, T + 1, T // 10)])
        cases.append((t, t / T + torch.rand(len(t), generator=g), T))
    return cases


Exercise(
    "noise_to_add",
    answer=noise_to_add,
    cases=_noise_cases(),
    mistakes={
        "eps_hat is what was just taken out; put back at every step, it adds up. The noise has to be fresh.": (
            lambda s, eps_hat, fresh: eps_hat if s > 0 else torch.zeros_like(fresh)
        ),
        "The step to s = 0 ends in a picture: nothing takes that last noise off again.": lambda s, eps_hat, fresh: (
            fresh
        ),
        "Noise that is added only at the end is the opposite of what a walk needs.": (
            lambda s, eps_hat, fresh: fresh if s == 0 else torch.zeros_like(fresh)
        ),
        "Without any fresh noise this step does not draw from the right spread, and its digits come out as simple blobs.": (
            lambda s, eps_hat, fresh: torch.zeros_like(fresh)
        ),
        "One step too early: the step to s = 1 still needs its noise, only that to s = 0 does not.": (
            lambda s, eps_hat, fresh: fresh if s > 1 else torch.zeros_like(fresh)
        ),
    },
    nudge="Which noise takes off what is added here, and where is there no step left to do so?",
)

Exercise(
    "loss_by_tenth",
    answer=loss_by_tenth,
    cases=_loss_cases(),
    mistakes={
        "That is one number, ten times: the mean over every t is what hid the bug.": (
            lambda t, losses, T: losses.mean().expand(10)
        ),
        "Sums grow with the number of pictures in a tenth, and times are not drawn equally often: take means.": _tenths(
            lambda t, T: (t - 1) * 10 // T, torch.sum
        ),
        "You cut the list of losses in ten by its order; the pictures come with times in any order.": (
            lambda t, losses, T: torch.stack([part.mean() for part in losses.tensor_split(10)])
        ),
        "t begins at 1, so t = T falls out of the last tenth, and every border is one off.": _tenths(
            lambda t, T: t * 10 // T
        ),
        "Backwards: the first number belongs to the smallest times.": _tenths(lambda t, T: 9 - (t - 1) * 10 // T),
    },
    nudge="Which tenth do the first and the last t belong to, and how many pictures share a tenth?",
)

Exercise(
    "short_chain",
    answer=short_chain,
    cases=[(100,), (250,), (1000,)],
    mistakes={
        "With fewer steps and the same betas the chain stops half way, with signal left at its end.": schedules.linear,
        "The wrong way round: fewer steps have to add more each.": (
            lambda T: schedules.linear(T, beta_1=1e-4 * T / 1000, beta_T=0.02 * T / 1000)
        ),
        "Only the last beta has grown; the first belongs to the same straight line.": (
            lambda T: schedules.linear(T, beta_T=0.02 * 1000 / T)
        ),
        "Only the first beta has grown; the last is where most of the noise comes from.": (
            lambda T: schedules.linear(T, beta_1=min(1e-4 * 1000 / T, 0.02))
        ),
        "Betas are variances, and those add up over steps: no root.": (
            lambda T: schedules.linear(T, beta_1=1e-4 * (1000 / T) ** 0.5, beta_T=0.02 * (1000 / T) ** 0.5)
        ),
    },
    nudge="How much noise do the thousand steps add in all, and how much is left for each of a few?",
)
