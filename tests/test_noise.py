"""Random numbers that belong to (seed, i), and noise from one source or from a source for each picture."""

import pytest
import torch

from diffusion_tutorial.noise import Streams, fresh


def test_a_picture_s_numbers_are_its_own():
    together = Streams(3, range(5))
    first, second = together.normal((2, 4)), together.normal((7,))
    for others in ([2], [4, 2, 0], [9, 2], [2, 2]):
        alone = Streams(3, others)
        at = others.index(2)
        assert torch.equal(alone.normal((2, 4))[at], first[2]) and torch.equal(alone.normal((7,))[at], second[2])
    assert not torch.equal(first[2].flatten()[:7], second[2])  # a stream goes on, it does not start again


def test_a_picture_is_the_same_in_any_batch():
    x = torch.zeros(6, 1, 4, 4)
    whole = fresh(x, Streams(0, range(6)))
    parts = torch.cat([fresh(x[a:b], Streams(0, range(a, b))) for a, b in ((0, 1), (1, 4), (4, 6))])
    assert torch.equal(whole, parts)


def test_other_seeds_and_other_pictures_have_other_numbers():
    """Standard Gaussians without correlation: (seed, i) and (i, seed) as well, and neighbours."""
    n, who = 4000, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (12345, 6), (6, 12345)]
    x = torch.cat([Streams(seed, [i]).normal((n,)) for seed, i in who]).double()
    assert x.mean(1).abs().max() < 4 / n**0.5 and (x.var(1) - 1).abs().max() < 4 * (2 / n) ** 0.5
    assert (x.corrcoef() - torch.eye(len(who))).abs().max() < 4 / n**0.5
    every = x.flatten().sort().values
    exact = torch.special.ndtri((torch.arange(len(every), dtype=torch.float64) + 0.5) / len(every))
    assert (every - exact)[100:-100].abs().max() < 0.1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_noise_has_x_s_shape_type_and_device(dtype):
    x, g = torch.zeros(2, 3, 5, dtype=dtype), torch.Generator().manual_seed(1)
    for source in (Streams(0, [0, 1]), g, None):
        noise = fresh(x, source)
        assert noise.shape == x.shape and noise.dtype == dtype and noise.device == x.device
        assert fresh(x.to("meta"), source).is_meta
    torch.testing.assert_close(fresh(x, Streams(0, [0, 1])), Streams(0, [0, 1]).normal((3, 5)).to(dtype))


def test_a_generator_hands_its_numbers_out_in_turn():
    x = torch.zeros(2, 3)
    one, again = (fresh(x, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one, again) and torch.equal(one, torch.randn(2, 3, generator=torch.Generator().manual_seed(1)))
    g = torch.Generator().manual_seed(1)
    assert not torch.equal(fresh(x, g), fresh(x, g))


def test_bad_input(as_learner):
    with pytest.raises(ValueError, match="a stream for each of 2 pictures, got 3"):
        fresh(torch.zeros(2, 1), Streams(0, range(3)))
    for seed, pictures in ((-1, [0]), (0, [-1])):
        with pytest.raises(ValueError, match="seed and numbers of pictures from 0 on"):
            Streams(seed, pictures)
