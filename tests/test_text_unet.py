import math

import pytest
import torch
from test_models import lively
from torch.nn import functional as F

from diffusion_tutorial import subjects
from diffusion_tutorial.guidance import guide
from diffusion_tutorial.models.text import PAD, START
from diffusion_tutorial.models.text_unet import CrossAttention, TextUNet, attention_maps
from diffusion_tutorial.predictions import Denoiser
from diffusion_tutorial.samplers import STEPS, draw, sample, times
from diffusion_tutorial.schedules import cosine

WORDS = ("a", "cat", "dog", "mars", "moon", "on", "the")
PROMPTS = ["a cat on the moon", "the dog", ""]


def small(size: int = 16, full: int = 0) -> TextUNet:
    torch.manual_seed(0)
    return lively(TextUNet(WORDS, width=8, dim=16, size=size, length=8, full=full))


@pytest.fixture(scope="module")
def net() -> TextUNet:
    return small()


@pytest.fixture
def asked(net, generator):
    """Three noised pictures, each at a time of its own, and a caption for each."""
    return torch.randn(3, 3, 16, 16, generator=generator), torch.tensor([5, 500, 1000]), net.tokenizer(PROMPTS)


# Cross-attention


@pytest.fixture(scope="module")
def layer() -> CrossAttention:
    return lively(CrossAttention(16, dim=12, heads=2))


@pytest.fixture
def looked(generator):
    """Pictures of 2 x 3 places with 16 features, five words each, of which some are padding."""
    x, words = torch.randn(3, 16, 2, 3, generator=generator), torch.randn(3, 5, 12, generator=generator)
    return x, words, torch.arange(5) < torch.tensor([5, 3, 1])[:, None]


def test_cross_attention_is_the_equation(layer, looked):
    """x + W softmax(q k^T / sqrt(d)) v, head by head, q from the places, k and v from the words that are there."""
    x, words, there = looked
    q = layer.q(layer.norm(x)).flatten(2)  # (3, 16, 6): features, places
    k, v = layer.kv(words).chunk(2, dim=2)  # (3, 5, 16) each: words, features
    mixed, shares = [], []
    for head in range(2):
        own = slice(8 * head, 8 * head + 8)
        scores = torch.einsum("bdp,bnd->bpn", q[:, own], k[..., own]) / math.sqrt(8)
        share = scores.exp() * there[:, None]
        shares.append(share / share.sum(2, keepdim=True))
        mixed.append(torch.einsum("bpn,bnd->bdp", shares[-1], v[..., own]))
    expected = x + layer.out(torch.cat(mixed, 1).view_as(x))
    torch.testing.assert_close(layer(x, words, there), expected, atol=1e-5, rtol=1e-4)
    by_hand = torch.stack(shares, 1).transpose(2, 3).view(3, 2, 5, 2, 3)
    torch.testing.assert_close(layer.weights(x, words, there), by_hand, atol=1e-5, rtol=1e-4)
    assert (layer(x, words, there) - x).abs().max() > 0.01


def test_cross_attention_equals_torchs_own(layer, looked):
    x, words, there = looked
    k, v = layer.kv.weight.chunk(2)
    mixed, weights = F.multi_head_attention_forward(
        *(layer.norm(x).flatten(2).permute(2, 0, 1), words.transpose(0, 1), words.transpose(0, 1)),
        *(16, 2, None, torch.cat([layer.q.bias, layer.kv.bias]), None, None, False, 0.0),
        *(layer.out.weight[..., 0, 0], layer.out.bias),
        key_padding_mask=~there,
        use_separate_proj_weight=True,
        q_proj_weight=layer.q.weight[..., 0, 0],
        k_proj_weight=k,
        v_proj_weight=v,
        average_attn_weights=False,
    )
    torch.testing.assert_close(layer(x, words, there), x + mixed.permute(1, 2, 0).view_as(x), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(layer.weights(x, words, there).flatten(3).transpose(2, 3), weights, atol=1e-5, rtol=1e-4)


def test_weights_are_shares_of_the_words_that_are_there(layer, looked):
    x, words, there = looked
    weights = layer.weights(x, words, there)
    assert weights.shape == (3, 2, 5, 2, 3) and weights.min() >= 0
    torch.testing.assert_close(weights.sum(2), torch.ones(3, 2, 2, 3))
    absent = ~there[:, None, :, None, None].expand_as(weights)
    assert (weights[absent] == 0).all() and (weights[~absent] > 0).all() and (weights[2, :, 0] == 1).all()
    changed = words.masked_fill(~there[..., None], 100.0)
    assert torch.equal(layer(x, changed, there), layer(x, words, there))


def test_attention_maps_show_where_each_word_is_looked_for(net, asked):
    maps = attention_maps(net, *asked)
    assert maps.shape == (3, 8, 4, 4) and maps.min() >= 0 and not maps.requires_grad
    torch.testing.assert_close(maps.sum(1), torch.ones(3, 4, 4))
    padding = asked[2] == PAD
    assert (maps[padding] == 0).all() and (maps[~padding] > 0).all() and (maps[2, 0] == 1).all()
    assert maps[0, 2].std() > 1e-3  # "cat" is not looked at alike everywhere


def test_attention_maps_are_the_mean_of_heads_and_layers(net, asked):
    seen = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, args: seen.append(args)) for layer in (net.read_down, net.read_up)
    ]
    net(*asked)
    for hook in hooks:
        hook.remove()
    down, up = (layer.weights(*args) for layer, args in zip((net.read_down, net.read_up), seen))
    torch.testing.assert_close(attention_maps(net, *asked), torch.cat([down, up], 1).mean(1))
    assert (down - up).abs().max() > 1e-3


def test_attention_maps_leave_the_net_as_it_was(net, asked):
    before = net(*asked)
    attention_maps(net, *asked)
    with pytest.raises(ValueError, match="expected pictures"):
        attention_maps(net, asked[0][..., :8], *asked[1:])
    assert not any(module._forward_hooks for module in net.modules())
    assert torch.equal(net(*asked), before)


# The net


@pytest.mark.parametrize("size", [8, 24, 48])
def test_the_answer_has_the_shape_of_the_question(size, generator):
    net, x = small(size), torch.randn(2, 3, size, size, generator=generator)
    out = net(x, torch.tensor([1, 1000]), net.tokenizer(["a cat", "the moon"]))
    assert out.shape == x.shape and out.isfinite().all() and out.abs().max() > 1e-3
    assert Denoiser(net, cosine(), "v")(x, torch.tensor([1, 1000])).shape == x.shape


def test_a_new_net_answers_zero(generator):
    net = TextUNet(WORDS, width=8, size=16)
    out = net(torch.randn(2, 3, 16, 16, generator=generator), torch.tensor([1, 2]), net.tokenizer(["a cat", ""]))
    assert (out == 0).all()


def test_the_empty_caption_equals_no_condition(net, asked):
    x, t, cond = asked
    empty = net.tokenizer(["", "", ""])
    assert torch.equal(net.null_like(cond), empty)
    assert torch.equal(net(x, t, empty), net(x, t, None)) and torch.equal(net(x, t), net(x, t, None))
    assert torch.equal(Denoiser(net, cosine()).null_like(cond[:2]), empty[:2])


def test_time_and_every_word_and_every_pixel_matter(net, asked):
    x, t, cond = (part[:1] for part in asked)
    out = net(x, t, cond)
    assert (net(x, t + 20, cond) - out).abs().max() > 1e-3
    for other in ("a dog on the moon", "a cat on the mars", "a cat on moon", "the moon on a cat", ""):
        assert (net(x, t, net.tokenizer([other])) - out).abs().max() > 1e-3, other
    corner = x.clone()
    corner[0, 0, 0, 0] += 5
    assert (net(corner, t, cond) - out)[0, :, 15, 15].abs().max() > 1e-7  # far away too


@pytest.mark.parametrize("way", ["cross-attention", "the sketch", "the mean beside the time"])
def test_a_caption_enters_by_each_way(way, asked):
    """With the other ways closed, the caption is still seen."""
    net = small()
    x, t, cond = asked
    if way != "cross-attention":
        for layer in (net.read_down, net.read_middle, net.read_up):
            torch.nn.init.zeros_(layer.out.weight)
    if way != "the sketch":
        torch.nn.init.zeros_(net.sketch.weight)
    if way != "the mean beside the time":
        torch.nn.init.zeros_(net.mean.weight)
    told, untold = net(x, t, cond), net(x, t)
    assert (told - untold)[:2].abs().amax((1, 2, 3)).min() > 1e-3 and torch.equal(told[2], untold[2])


def test_pictures_of_a_batch_do_not_see_each_other(net, asked):
    together = net(*asked)
    for i in range(3):
        alone = net(*(part[i : i + 1] for part in asked))
        torch.testing.assert_close(alone, together[i : i + 1], atol=1e-4, rtol=1e-4)


def test_it_says_the_same_in_training_and_in_use(net, asked):
    with torch.no_grad():
        used = net(*asked)
    try:
        torch.testing.assert_close(net.train()(*asked), used, atol=1e-4, rtol=1e-4)
    finally:
        net.eval()


def test_its_configuration_makes_it_again(net, asked):
    again = TextUNet(**net.config)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.eval()(*asked), net(*asked))
    assert again.tokenizer.words == WORDS and again.shape == (3, 16, 16)


@pytest.mark.parametrize("full", [0, 16])
def test_gradients_reach_every_weight(full, asked):
    net = small(full=full).train()
    net(*asked).square().sum().backward()
    for name, p in net.named_parameters():
        assert p.grad is not None and p.grad.abs().max() > 0, name


def test_a_block_at_every_pixel_adds_nothing_until_it_is_trained(net, asked):
    torch.manual_seed(1)
    more = TextUNet(**{**net.config, "full": 16}).eval()
    more.load_state_dict({**more.state_dict(), **net.state_dict()})
    assert torch.equal(more(*asked), net(*asked))
    lively(more.out_full)
    assert (more(*asked) - net(*asked)).abs().max() > 0.01


def test_a_configuration_from_before_there_was_a_block_at_every_pixel_still_loads(net, asked):
    before = {name: value for name, value in net.config.items() if name != "full"}
    again = TextUNet(**before)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.eval()(*asked), net(*asked))


@pytest.mark.parametrize("full", [-8, 8, 20])
def test_features_at_every_pixel_that_no_norm_can_group_are_refused(full, as_learner):
    with pytest.raises(ValueError, match=f"a multiple of 8 from 16 on, got {full}"):
        TextUNet(WORDS, width=8, full=full)


def test_bfloat16_trains_and_stays_close(asked):
    net, (x, t, cond) = small().train(), asked
    exact = net(x, t, cond)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = net(x, t, cond)
    assert 1e-6 < (mixed.float() - exact).square().mean() < 1e-2 * exact.square().mean()
    mixed.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


def test_the_shipped_size_is_below_10_megabytes_in_half_precision():
    model = subjects.get("scenes").untrained()
    assert model.net.shape == (3, 48, 48)
    assert 1e6 < 2 * sum(p.numel() for p in model.parameters()) < 10e6


# With guidance and samplers


@pytest.mark.parametrize("w", [0.0, 1.0, 4.0])
def test_guidance_from_the_empty_caption(w, net, asked):
    model, (x, t, cond) = Denoiser(net, cosine(), "v").eval(), asked
    told, untold = model(x, t, cond), model(x, t)
    torch.testing.assert_close(guide(model, w)(x, t, cond), untold + w * (told - untold), atol=1e-4, rtol=1e-4)


def test_guidance_away_from_one_prompt_for_all(net, asked):
    model, (x, t, cond) = Denoiser(net, cosine(), "v").eval(), asked
    negative = net.tokenizer(["a dog on the moon"])
    told, away = model(x, t, cond), model(x, t, negative.expand_as(cond))
    for given in (negative, negative[0], negative.repeat(3, 1)):
        out = guide(model, 3.0, negative=given)(x, t, cond)
        torch.testing.assert_close(out, away + 3 * (told - away), atol=1e-4, rtol=1e-4)
    assert (told - away)[:2].abs().amax((1, 2, 3)).min() > 1e-3  # at t = 1000 nearly all is noise, whatever is asked


@pytest.mark.parametrize("name", STEPS)
def test_every_sampler_draws_from_prompts(name, net, asked):
    model, (x_T, _, cond) = Denoiser(net, cosine(), "v").eval(), asked
    options = dict(step=STEPS[name], generator=torch.Generator().manual_seed(1))
    states = list(sample(guide(model, 2.0), x_T, times(3), model.alpha_bar, cond, **options))
    assert [state.t for state in states] == times(3)
    drawn = states[-1].x
    assert drawn.shape == x_T.shape and drawn.abs().max() <= 1
    options["generator"].manual_seed(1)
    others = net.tokenizer(["the dog", "a cat on the moon", ""])
    other = draw(guide(model, 2.0), x_T, times(3), model.alpha_bar, cond=others, **options)
    assert (other - drawn)[:2].abs().amax((1, 2, 3)).min() > 1e-3
    torch.testing.assert_close(other[2], drawn[2], atol=1e-4, rtol=1e-4)


# Bad input


@pytest.mark.parametrize(
    "shape", [(2, 3, 16, 24), (2, 3, 48, 48), (2, 1, 16, 16), (2, 16, 16), (16, 16), (0, 3, 16, 16)]
)
def test_what_is_no_picture_is_refused(net, shape, as_learner):
    with pytest.raises(ValueError) as problem:
        net(torch.zeros(shape), torch.tensor([1, 2]))
    assert "(batch, 3, 16, 16)" in str(problem.value) and str(shape) in str(problem.value)


@pytest.mark.parametrize("size", [0, 4, 12, 50])
def test_a_size_that_cannot_be_halved_three_times_is_refused(size, as_learner):
    with pytest.raises(ValueError, match=f"divisible by 8, got {size}"):
        TextUNet(WORDS, size=size)


@pytest.mark.parametrize(
    "cond, message",
    [
        (torch.full((2, 8), 9), r"expected tokens 0\.\.8, got 9 to 9"),
        (torch.full((2, 8), -1), r"expected tokens 0\.\.8, got -1 to -1"),
        (torch.full((2, 7), START), r"a row of 8 tokens for each of 2 pictures, got \(2, 7\)"),
        (torch.full((3, 8), START), r"each of 2 pictures, got \(3, 8\)"),
        (torch.tensor([3, 1]), r"a row of 8 tokens for each of 2 pictures, got \(2,\) torch.int64"),
        (torch.ones(2, 8), r"got \(2, 8\) torch.float32"),
        (
            torch.tensor([[START, *[PAD] * 7], [PAD] * 8]),
            "expected START, which is 1, before the words of each caption",
        ),
    ],
)
def test_what_is_no_caption_is_refused(net, cond, message, as_learner):
    with pytest.raises(ValueError, match=message):
        net(torch.zeros(2, 3, 16, 16), torch.tensor([1, 2]), cond)
