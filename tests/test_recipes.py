"""What the recipes do beyond what the command shows: looks on the way, the walk in batches, pages, cards, judges."""

import json

import pytest
import torch
from diffusion_tutorial.recipes import classifiers, common
from test_models import lively
from torch import nn

from diffusion_tutorial import files, metrics, pretrained, recipes, training
from diffusion_tutorial.data import scenes
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.models.classifier import SceneClassifier
from diffusion_tutorial.models.unet import UNet
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import STEPS, sample, times
from diffusion_tutorial.schedules import cosine

SETTINGS = dict(width=8, predict="v", batch=4, lr=1e-2, t_bias=1.0, seed=5, precision="float32")
SAID = dict(model_is="a small model", data="rows", licence="none")
COSINE = cosine()


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setattr(common, "device", lambda: "cpu")


def small() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(UNet(1, 8, 4, size=8), COSINE, "v")


def rows(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures with a bright bar in the row of their label."""
    labels = torch.randint(4, (n,), generator=generator)
    return nn.functional.one_hot(labels, 4).float().mul(2).sub(1).view(n, 1, 4, 1).repeat(1, 1, 2, 8), labels


def train(out, steps=8, resume=False, measure=lambda model: {}, look=lambda model, step: None) -> dict:
    return common.train_denoiser(
        "rows", out, SETTINGS, small(), rows, steps, None, resume, False, measure=measure, look=look, **SAID
    )


def same(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


# Training


def test_somebody_looks_at_the_average_at_every_milestone(tmp_path, monkeypatch):
    assert common.MILESTONES == [1 / 256, 1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    monkeypatch.setattr(common, "MILESTONES", common.MILESTONES[-5:])
    looked, runs, ordinary = [], [], common.Training
    monkeypatch.setattr(common, "Training", lambda *args, **options: runs.append(ordinary(*args, **options)) or runs[0])
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
    made = dict(output="v", schedule="cosine, T = 1000", precision="float32", seed=5, steps=8, batch_size=4)
    assert made.items() <= card.items() and card["quality"] == {"accuracy": 0.5}
    assert card["model"] == "a small model" and card["data"] == "rows" and card["licence"] == "none"
    assert card["parameters"] == sum(p.numel() for p in small().parameters())
    assert card["sha256"] == pretrained.sha256(tmp_path / "rows.safetensors")
    flags = "--width 8 --predict v --batch 4 --lr 0.01 --t-bias 1.0 --seed 5 --precision float32"
    assert card["command"] == f"diffusion-tutorial train rows {flags} --budget 8steps"
    assert f"torch {torch.__version__}" in card["machine"] and "thread" in card["machine"]
    assert f"weights and card in {tmp_path}: 8 steps" in capsys.readouterr().out


def test_checkpoints_are_written_on_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "SAVE_EVERY", 0.0)
    steps, ordinary = [], training.Training.save
    monkeypatch.setattr(
        training.Training, "save", lambda run, *a, **o: steps.append(run.step) or ordinary(run, *a, **o)
    )
    train(tmp_path, steps=3)
    assert steps == [1, 2, 3, 3]
    assert files.read_tensors(tmp_path / "checkpoint.safetensors")[1]["settings"] == SETTINGS


@pytest.mark.parametrize("pays", [True, False])
def test_the_precision_is_decided_once(pays, tmp_path, monkeypatch):
    monkeypatch.setattr(common, "bfloat16_pays", lambda device: pays)
    decided = "bfloat16" if pays else "float32"
    assert common.settle(SETTINGS | {"precision": "auto"}, tmp_path, False) == SETTINGS | {"precision": decided}
    assert common.settle(SETTINGS, tmp_path, False) == SETTINGS
    train(tmp_path, steps=1)
    assert common.settle(SETTINGS, tmp_path, True) == SETTINGS
    with pytest.raises(
        ValueError, match="--resume: the run in .* was started with .*'lr': 0.01.* not with .*'lr': 0.5"
    ):
        common.settle(SETTINGS | {"lr": 0.5}, tmp_path, True)


# Drawing


@pytest.mark.parametrize("sampler", STEPS)
def test_a_walk_goes_batch_by_batch_with_one_generator(sampler):
    model, cond, seen = lively(small()), torch.tensor([3, 1, 0, 2, 4]), []

    def noted(x_t, t, cond=None):
        seen.append(cond.tolist())
        return model(x_t, t, cond)

    drawn = common.walk(noted, COSINE, cond, (1, 8, 8), 3, 7, sampler, "logsnr", 2)
    assert drawn.shape == (5, 1, 8, 8) and drawn.abs().max() <= 1
    assert [x for i, x in enumerate(seen) if x not in seen[:i]] == [[3, 1], [0, 2], [4]]
    g, chosen, expected = torch.Generator().manual_seed(7), times(3, 1000, "logsnr", COSINE), []
    for part in cond.split(2):
        x_T = torch.randn(len(part), 1, 8, 8, generator=g)
        *_, last = sample(model, x_T, chosen, COSINE, part, STEPS[sampler], g)
        expected.append(last.x)
    assert torch.equal(drawn, torch.cat(expected))
    assert torch.equal(drawn, common.walk(model, COSINE, cond, (1, 8, 8), 3, 7, sampler, "logsnr", 2))


def test_scenes_are_drawn_as_they_were_asked_for():
    model = lively(recipes.new_painter(width=8))
    prompts = ["a cat on the moon", "", "a robot"]
    drawn = recipes.draw_scenes(model, prompts, seed=2, steps=2, negative="a dog", batch=2)
    tokenizer = model.net.tokenizer
    guided = guide(model, recipes.scenes.W, negative=tokenizer(["a dog"]))
    by_hand = common.walk(guided, COSINE, tokenizer(prompts), (3, 48, 48), 2, 2, "dpm++", recipes.scenes.SPACING, 2)
    assert torch.equal(drawn, by_hand) and drawn.shape == (3, 3, 48, 48)
    plain = recipes.draw_scenes(model, prompts, seed=2, steps=2, batch=2)
    assert (plain - drawn).abs().amax((1, 2, 3)).min() > 1e-3  # the empty prompt, too, goes away from the dog


def test_the_new_painter_is_the_same_for_the_same_seed_and_leaves_the_global_one_alone():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one, again, other = (recipes.new_painter(8, "eps", seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(one, again) and not same(one, other)
    with pytest.raises(ZeroDivisionError), common.seeded(7):
        assert torch.rand(3).tolist() == torch.rand(3, generator=torch.Generator().manual_seed(7)).tolist()
        1 / 0  # noqa: B018
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one.output == "eps" and one.net.tokenizer.words == scenes.vocabulary()


# How good


@pytest.mark.parametrize("n, each", [(500, "50"), (5, "0 or 1"), (12, "1 or 2")])
def test_a_card_tells_how_many_of_each_digit_were_drawn(n, each, monkeypatch, as_learner):
    monkeypatch.setattr(recipes.digits, "draw_digits", lambda model, labels, *way, **more: torch.zeros(n, 1, 28, 28))
    monkeypatch.setattr(metrics, "label_accuracy", lambda judge, drawn, labels: (0.5, 0.4, 0.6))
    quality = recipes.digits._quality(None, n)
    for part in quality.values():
        assert f"{n} samples, {each} of each digit" in part["protocol"]


class Judge(nn.Module):
    """Reads a scene from the first pixel of each colour, where `write` put it."""

    def forward(self, images):
        read = (images[:, :, 0, 0] * 20).round().long()
        return tuple(nn.functional.one_hot(read[:, i], n).float() for i, n in enumerate((18, 18, 10)))


def write(attributes: torch.Tensor) -> torch.Tensor:
    return (attributes / 20)[:, :, None, None].repeat(1, 1, 48, 48)


@pytest.mark.parametrize("n", [30, 324, 400])
def test_a_painter_is_judged_on_held_out_combinations(n, monkeypatch, as_learner):
    asked = []

    def draw_scenes(model, prompts, seed):
        asked.extend(prompts)
        attributes = torch.tensor([scenes.read(prompt) for prompt in prompts])
        attributes[:3, 2] = (attributes[:3, 2] + 1) % 10  # three places wrong
        return write(attributes)

    monkeypatch.setattr(recipes.scenes, "draw_scenes", draw_scenes)
    monkeypatch.setattr(pretrained, "load", {"scene_classifier": Judge()}.get)
    quality = recipes.scenes._quality(None, n)
    read = torch.tensor([scenes.read(prompt) for prompt in asked])
    assert len(read) == n and scenes.is_held_out(read).all() and len(read.unique(dim=0)) == min(n, 324)
    assert asked == [scenes.plain_caption(row) for row in read]
    low, high = metrics.wilson(n - 3, n)
    assert quality["accuracy"] == round((n - 3) / n, 4) and quality["interval_95"] == [round(low, 4), round(high, 4)]
    assert f"{n} pictures of held-out combinations" in quality["protocol"]


def test_the_judge_is_judged_on_all_combinations_and_on_each_attribute(monkeypatch, as_learner):
    drawn = []

    def draw(attributes, generator):
        drawn.append(attributes)
        wrong = attributes.clone()
        wrong[0, 1] = (wrong[0, 1] + 1) % 18  # one thing wrong in each part
        return write(wrong)

    monkeypatch.setattr(scenes, "draw", draw)
    monkeypatch.setattr(classifiers, "REAL_SCENES", 1200)
    quality = classifiers._scene_accuracy(Judge())
    asked = torch.cat(drawn)
    assert len(asked) == 1200 and len(drawn) == 3 and 0.05 < scenes.is_held_out(asked).float().mean() < 0.15
    assert quality["accuracy"] == 1197 / 1200 and quality["subject_thing_place"] == [1.0, round(1197 / 1200, 4), 1.0]
    assert quality["protocol"].startswith("1,200 drawn scenes, all combinations")


def test_minimising_goes_downhill_within_its_budget():
    losses, rates = [], []

    def run(seed: int, steps: int = 40) -> nn.Module:
        torch.manual_seed(0)
        model = nn.Linear(2, 1)

        def loss(generator):
            x = torch.randn(16, 2, generator=generator)
            losses.append((model(x) - x.sum(1, keepdim=True)).square().mean())
            return losses[-1]

        rates.append(classifiers._minimise(model, loss, steps, None, seed, lr=0.3))
        return model

    one = run(0)
    assert losses[-1] < 0.05 * losses[0] and len(losses) == 40 and rates[0]["steps"] == 40
    assert same(one, run(0)) and not same(one, run(1))
    began = len(losses)
    spent = classifiers._minimise(one, lambda g: one(torch.ones(1, 2)).square().mean(), None, 0.05, 0)
    assert spent["steps"] >= 1 and spent["seconds"] == 0 and len(losses) == began


def test_the_judge_of_scenes_learns_and_is_the_same_for_the_same_seed(tmp_path, monkeypatch):
    """Weights and card belong together; what is written is what was measured."""
    monkeypatch.setattr(
        classifiers, "_scene_accuracy", lambda model: {"accuracy": 0.5, "protocol": "one that is made up"}
    )
    monkeypatch.setattr(classifiers, "SceneClassifier", lambda: SceneClassifier(width=8))
    for out, seed in (("one", 3), ("again", 3), ("other", 4)):
        assert recipes.train_scene_classifier(tmp_path / out, 2, None, seed, batch=4) == 0
    one, again, other = (
        pretrained.read(tmp_path / out / "scene_classifier.safetensors") for out in ("one", "again", "other")
    )
    assert isinstance(one, SceneClassifier) and same(one, again) and not same(one, other)
    card = json.loads((tmp_path / "one" / "scene_classifier.json").read_text())
    assert card["sha256"] == pretrained.sha256(tmp_path / "one" / "scene_classifier.safetensors")
    assert card["steps"] == 2 and card["batch_size"] == 4 and card["quality"]["accuracy"] == 0.5
    assert card["licence"] == scenes.ATTRIBUTION
