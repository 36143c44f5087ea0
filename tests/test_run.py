"""Around a training and a drawing: looks on the way, checkpoints, the card, what is refused; picture i belongs to (seed, i)."""

import json

import numpy as np
import pytest
import torch
from test_models import lively
from torch import nn

from diffusion_tutorial import cli, files, pretrained, run, subjects, training
from diffusion_tutorial.losses import Denoising
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.noise import Streams, fresh
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import STEPS, Walk, sample, times
from diffusion_tutorial.schedules import cosine

SETTINGS = dict(width=8, predict="v", batch=4, lr=1e-2, t_bias=1.0, seed=5, precision="float32")
COSINE = cosine()


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setattr(run, "device", lambda: "cpu")


def small() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(UNet(1, 8, 4, size=8), COSINE, "v")


def rows(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures with a bright bar in the row of their label."""
    labels = torch.randint(4, (n,), generator=generator)
    return nn.functional.one_hot(labels, 4).float().mul(2).sub(1).view(n, 1, 4, 1).repeat(1, 1, 2, 8), labels


class Rows:
    """What a run needs of what it trains, and no more."""

    name, command, unsaid, training = "rows", "some-rows", (), {}

    def __init__(self, look=lambda model, step: None, measure=lambda model: {}, loss=Denoising):
        self.look_, self.measure_, self.loss_ = look, measure, loss

    def new(self, settings: dict) -> nn.Module:
        return small()

    def loss(self, settings: dict) -> Denoising:
        return self.loss_(rows, settings["t_bias"])

    def kept(self, model) -> nn.Module:
        return model

    def look(self, model, out, step) -> None:
        self.look_(model, step)

    def begin(self, out) -> None:
        pass

    def about(self, model, settings: dict) -> dict:
        return dict(model="a small model", data="rows", licence="none", output=model.output)

    def measure(self, model, n: int, out) -> dict:
        return self.measure_(model)


def train(out, steps=8, resume=False, anew=False, settings=SETTINGS, **what) -> dict:
    return run.train(Rows(**what), out, settings, steps, None, resume, anew)


def same(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def interrupted_at(stop: int):
    """Somebody who looks, and at this step presses Ctrl-C."""

    def look(model, step):
        if step == stop:
            raise KeyboardInterrupt

    return look


# Training


def test_somebody_looks_at_the_average_at_every_milestone(tmp_path, monkeypatch):
    assert run.MILESTONES == [1 / 256, 1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    monkeypatch.setattr(run, "MILESTONES", run.MILESTONES[-5:])
    looked, runs, ordinary = [], [], run.Training
    monkeypatch.setattr(run, "Training", lambda *args, **options: runs.append(ordinary(*args, **options)) or runs[0])
    train(tmp_path, steps=32, look=lambda model, step: looked.append((step, model is runs[0].ema)))
    assert looked == [(step, True) for step in (2, 4, 8, 16, 32)]


def test_with_few_steps_no_step_is_looked_at_twice_and_the_last_always_is(tmp_path):
    looked = []
    train(tmp_path, steps=6, look=lambda model, step: looked.append(step))
    assert looked == [1, 2, 3, 6]


def test_looking_changes_nothing_and_a_resumed_run_looks_only_at_what_is_left(tmp_path):
    looked = []

    def look(model, step):
        looked.append(step)
        torch.rand(3)  # whoever draws on the way uses up global randomness
        if step == 4 and len(looked) < 5:
            raise KeyboardInterrupt

    train(tmp_path / "calm")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "seen", look=look)
    train(tmp_path / "seen", resume=True, look=look)
    assert looked == [1, 2, 4, 8]
    assert same(*(pretrained.read(tmp_path / run / "rows.safetensors") for run in ("calm", "seen")))


def test_what_is_measured_are_the_weights_as_they_were_written(tmp_path):
    given = []
    card = train(tmp_path, measure=lambda model: given.append(model) or {"quality": {"accuracy": 0.5}})
    assert same(given[0], pretrained.read(tmp_path / "rows.safetensors")) and not given[0].training
    assert all(torch.equal(p, p.half().float()) for p in given[0].parameters())
    assert json.loads((tmp_path / "rows.json").read_text()) == card


def test_the_card_tells_how_the_model_was_made(tmp_path, capsys):
    card = train(tmp_path, measure=lambda model: {"quality": {"accuracy": 0.5}})
    made = dict(output="v", precision="float32", seed=5, steps=8, batch_size=4)
    assert made.items() <= card.items() and card["quality"] == {"accuracy": 0.5}
    assert card["model"] == "a small model" and card["data"] == "rows" and card["licence"] == "none"
    assert card["parameters"] == sum(p.numel() for p in small().parameters())
    assert card["sha256"] == pretrained.sha256(tmp_path / "rows.safetensors")
    flags = "--width 8 --predict v --batch 4 --lr 0.01 --t-bias 1.0 --seed 5 --precision float32"
    assert card["command"] == f"diffusion-tutorial train some-rows {flags} --budget 8steps"
    assert f"torch {torch.__version__}" in card["machine"] and "thread" in card["machine"]
    assert f"weights and card in {tmp_path}: 8 steps" in capsys.readouterr().out


@pytest.mark.parametrize("every, saved", [(0.0, [1, 2, 3, 3]), (1000.0, [1, 3])])
def test_checkpoints_are_written_early_and_on_the_way(every, saved, tmp_path, monkeypatch):
    assert run.FIRST_SAVE < 10 < run.SAVE_EVERY
    monkeypatch.setattr(run, "FIRST_SAVE", 0.0)
    monkeypatch.setattr(run, "SAVE_EVERY", every)
    steps, ordinary = [], training.Training.save
    monkeypatch.setattr(
        training.Training, "save", lambda run, *a, **o: steps.append(run.step) or ordinary(run, *a, **o)
    )
    train(tmp_path, steps=3)
    assert steps == saved
    assert files.read_tensors(tmp_path / "checkpoint.safetensors")[1]["settings"] == SETTINGS


@pytest.mark.parametrize("pays", [True, False])
def test_the_precision_is_decided_once(pays, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "bfloat16_pays", lambda device: pays)
    decided = "bfloat16" if pays else "float32"
    card = train(tmp_path, steps=1, settings=SETTINGS | {"precision": "auto"})
    assert card["precision"] == decided and f"--precision {decided} " in card["command"]
    train(tmp_path, steps=2, resume=True, settings=SETTINGS | {"precision": decided})


# A run that is there already


def test_a_run_that_is_there_is_not_replaced_unless_that_is_said(tmp_path):
    train(tmp_path, steps=2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        ValueError, match=r"--out: there is a run in .*: go on with it by --resume, replace it by --anew"
    ):
        train(tmp_path, steps=1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert train(tmp_path, steps=1, anew=True)["steps"] == 1
    assert pretrained.sha256(tmp_path / "rows.safetensors") == train(tmp_path / "other", steps=1)["sha256"]


def test_a_run_that_was_stopped_is_not_replaced_either(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, look=interrupted_at(2))
    with pytest.raises(ValueError, match=r"there is a run in .* \(checkpoint.safetensors\)"):
        train(tmp_path)


def test_of_the_settings_only_the_one_that_differs_is_named(tmp_path):
    train(tmp_path, steps=1)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(ValueError) as problem:
        train(tmp_path, steps=2, resume=True, settings=SETTINGS | {"t_bias": 0.5})
    assert str(problem.value) == f"--resume: the run in {tmp_path} was started with --t-bias 1.0, not 0.5"
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


@pytest.mark.parametrize("less", [3, 4])
def test_a_budget_that_is_used_up_already_is_refused(less, tmp_path):
    train(tmp_path, steps=4)
    before = (tmp_path / "rows.json").read_bytes()
    with pytest.raises(
        ValueError, match=rf"--budget: .* has had 4 steps in .*expected more than that, got {less}steps"
    ):
        train(tmp_path, steps=less, resume=True)
    assert (tmp_path / "rows.json").read_bytes() == before


def test_stopped_after_the_last_step_a_run_still_gets_its_weights(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, steps=4, look=interrupted_at(4))
    assert train(tmp_path, steps=4, resume=True)["sha256"] == train(tmp_path / "calm", steps=4)["sha256"]


@pytest.mark.parametrize("missing", ["step", "seconds", "kind"])
def test_a_checkpoint_that_does_not_say_where_it_is_is_a_bad_file(missing, tmp_path):
    train(tmp_path, steps=1)
    path = tmp_path / "checkpoint.safetensors"
    tensors, about = files.read_tensors(path)
    files.write_tensors(path, tensors, {name: x for name, x in about.items() if name != missing})
    with pytest.raises(files.BadFile, match=f"{path} is not a checkpoint"):
        train(tmp_path, steps=2, resume=True)


DIGITS = ["train", "digits", "--width", "8", "--batch", "4", "--evaluate", "0"]


def follow(command: str, out) -> None:
    """The commands of a card, one after the other; where one was stopped at a step, it is stopped there again."""
    for one in command.split("; then "):
        words, _, stopped = one.partition(" (stopped at step ")
        arguments = [*words.split()[1:], "--evaluate", "0", "--out", str(out)]
        if stopped:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(run, "MILESTONES", [k / 8 for k in range(1, 9)])
                subject = subjects.get("digits")
                at = int(stopped.rstrip(")"))
                patch.setattr(subject, "look", lambda model, out, step, at=at: interrupted_at(at)(model, step))
                assert cli.main(arguments) == 130
        else:
            assert cli.main(arguments) == 0


@pytest.mark.parametrize("first, stop", [("3steps", None), ("8steps", 4)])
def test_the_card_of_a_run_with_another_budget_tells_the_whole_history(first, stop, tmp_path, monkeypatch):
    one = f"diffusion-tutorial train digits --width 8 --batch 4 --budget {first}"
    follow(one + (f" (stopped at step {stop})" if stop else ""), tmp_path / "one")
    assert cli.main([*DIGITS, "--budget", "6steps", "--resume", "--out", str(tmp_path / "one")]) == 0
    card = json.loads((tmp_path / "one" / "digits.json").read_text())
    assert (
        card["command"].count("diffusion-tutorial train digits") == 2 and "--resume --budget 6steps" in card["command"]
    )
    follow(card["command"], tmp_path / "again")
    assert cli.main([*DIGITS, "--budget", "6steps", "--out", str(tmp_path / "at once")]) == 0
    shas = [json.loads((tmp_path / out / "digits.json").read_text())["sha256"] for out in ("one", "again", "at once")]
    assert shas[0] == shas[1] != shas[2]


# A training that runs away


class Breaks(Denoising):
    """A loss that is not a number from its third batch on."""

    batches = 0

    def __call__(self, *shown):
        self.batches += 1
        return super().__call__(*shown) * (1.0 if self.batches < 3 else torch.nan)


def test_a_training_that_runs_away_stops_and_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "FIRST_SAVE", 0.0)
    monkeypatch.setattr(run, "SAVE_EVERY", 0.0)
    with pytest.raises(training.Diverged, match="not finite at step 3, with a learning rate of 0.01: .*lower learning"):
        train(tmp_path, loss=Breaks)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    tensors, about = files.read_tensors(tmp_path / "checkpoint.safetensors")
    assert about["step"] == 2 and all(x.isfinite().all() for x in tensors.values())
    assert train(tmp_path, resume=True)["sha256"] == train(tmp_path / "calm")["sha256"]


def test_weights_that_are_not_finite_do_not_replace_a_good_checkpoint(tmp_path):
    one = training.Training(small(), Denoising(rows), steps=4, batch_size=2, amp=False)
    next(iter(one))
    one.save(tmp_path / "c.safetensors")
    before = (tmp_path / "c.safetensors").read_bytes()
    next(one.model.parameters()).data.fill_(torch.inf)
    with pytest.raises(training.Diverged, match="the weights are not finite after step 1"):
        one.save(tmp_path / "c.safetensors")
    assert (tmp_path / "c.safetensors").read_bytes() == before


# Drawing


@pytest.mark.parametrize("sampler", STEPS)
def test_a_walk_goes_batch_by_batch_and_each_picture_has_its_own_numbers(sampler):
    model, cond, seen = lively(small()), torch.tensor([3, 1, 0, 2, 4]), []

    def noted(x_t, t, cond=None):
        seen.append(cond.tolist())
        return model(x_t, t, cond)

    way = (cond, (1, 8, 8), Walk(sampler, 3, "logsnr"), 7)
    drawn = run.draw(noted, COSINE, *way, batch=2)
    assert drawn.shape == (5, 1, 8, 8) and drawn.abs().max() <= 1
    assert [x for i, x in enumerate(seen) if x not in seen[:i]] == [[3, 1], [0, 2], [4]]
    chosen, expected = times(3, 1000, "logsnr", COSINE), []
    for part, own in ([3, 1], [0, 1]), ([0, 2], [2, 3]), ([4], [4]):
        source = Streams(7, own)
        x_T = fresh(torch.empty(len(own), 1, 8, 8), source)
        *_, last = sample(noted, x_T, chosen, COSINE, torch.tensor(part), STEPS[sampler], source)
        expected.append(last.x)
    assert torch.equal(drawn, torch.cat(expected))
    assert torch.equal(run.draw(model, COSINE, *way, batch=2), run.draw(model, COSINE, *way, batch=2))


@pytest.mark.parametrize("sampler", STEPS)
def test_picture_i_is_the_same_whatever_else_is_drawn(sampler):
    model, cond, walk = lively(small()), torch.arange(8) % 4, Walk(sampler, 4, "karras")
    eight = run.draw(model, COSINE, cond, (1, 8, 8), walk, 3)
    for batch in (8, 3, 1):
        four = run.draw(model, COSINE, cond[:4], (1, 8, 8), walk, 3, batch=batch)
        torch.testing.assert_close(four, eight[:4], atol=1e-4, rtol=0)
    some = run.draw(model, COSINE, cond[[6, 1]], (1, 8, 8), walk, 3, pictures=[6, 1], batch=1)
    torch.testing.assert_close(some, eight[[6, 1]], atol=1e-4, rtol=0)
    other = run.draw(model, COSINE, cond, (1, 8, 8), walk, 4)
    assert (eight - other).abs().amax((1, 2, 3)).min() > 0.1 and torch.cdist(eight.flatten(1), eight.flatten(1))[
        0, 4
    ] > 0.1


@pytest.mark.parametrize("batch", [8, 12])
def test_every_picture_starts_from_the_same_static_whatever_sampler_and_steps(batch):
    model, static = lively(small()), []

    def noted(x_t, t, cond=None):
        if t[0] == 1000:
            static.append(x_t.clone())
        return model(x_t, t, cond)

    ways = [("dpm++", 4), ("dpm++", 5), ("ddpm", 4), ("heun", 5)]
    for sampler, steps in ways:
        run.draw(noted, COSINE, torch.zeros(12, dtype=torch.long), (1, 8, 8), Walk(sampler, steps), 0, batch=batch)
    first, *others = torch.cat(static).view(len(ways), 12, 1, 8, 8)
    assert all(torch.equal(first, other) for other in others)
    assert len(first.flatten(1).unique(dim=0)) == 12


def test_the_global_random_numbers_are_left_alone():
    before = torch.random.get_rng_state()
    with pytest.raises(ZeroDivisionError), run.seeded(7):
        assert torch.rand(3).tolist() == torch.rand(3, generator=torch.Generator().manual_seed(7)).tolist()
        1 / 0  # noqa: B018
    assert torch.equal(torch.random.get_rng_state(), before)


def sampled(tmp_path, weights, *options) -> np.ndarray:
    arguments = ["sample", *options, "--weights", weights, "--out", tmp_path / "x.npz"]
    assert cli.main([str(x) for x in arguments]) == 0
    return np.load(tmp_path / "x.npz")["images"].astype(int)


def test_from_the_command_line_four_digits_are_the_first_four_of_eight(tmp_path):
    weights = tmp_path / "own.safetensors"
    pretrained.write(weights, lively(subjects.get("digits").untrained(width=8)))
    way = ["digits", "--sampler", "ddpm", "--steps", 4]
    four, eight = (sampled(tmp_path, weights, *way, "--n", n) for n in (4, 8))
    assert abs(four - eight[:4]).max() <= 1


def test_from_the_command_line_a_prompts_first_picture_is_the_same_for_any_n(tmp_path):
    weights = tmp_path / "own.safetensors"
    pretrained.write(weights, lively(subjects.get("scenes").untrained(width=8)))
    way = ["scenes", "--prompt", "a cat", "--prompt", "a dog", "--sampler", "ddpm", "--steps", 2]
    two, six = (sampled(tmp_path, weights, *way, "--n", n) for n in (2, 6))
    assert abs(two[2:] - six[6:8]).max() <= 1 and abs(two[:2] - six[:2]).max() <= 1
    assert abs(two[2] - two[3]).max() > 5
