"""Pictures from people's machines: what a model sees of them, what is said, and that kept pixels come back exactly."""

import re
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion_tutorial import files, pictures

DIGIT, SCENE = (1, 28, 28), (3, 48, 48)
RNG = np.random.default_rng(0)
STROKE = np.zeros((56, 56), dtype=np.uint8)  # white on black, with grey along its edge
STROKE[8:48, 20:28], STROKE[8:48, 28] = 255, 102
SIGNED = torch.tensor(STROKE).view(1, 28, 2, 28, 2).float().mean((2, 4))[None] / 127.5 - 1
LOWER = np.arange(56)[:, None].repeat(56, 1) >= 28


@pytest.fixture
def saved(tmp_path):
    """Save an array or a PIL image, and give back its path."""

    def save(picture, name="picture.png", **options):
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def back(path, picture, drawn, hole=LOWER):
    """What is in the file after the hole was filled with what was drawn."""
    out = path.with_name("out.png")
    pictures.write_edited(out, picture, drawn, hole)
    return np.array(Image.open(out))


def close(one, other, atol=0.02):
    torch.testing.assert_close(one, other, atol=atol, rtol=0)


def rgba(colour, alpha):
    """One colour everywhere, (r, g, b) in 0..255, as opaque as alpha says."""
    return np.dstack([np.full(alpha.shape, c, dtype=np.uint8) for c in colour] + [alpha])


class TestReadPicture:
    def test_plain_pictures_are_taken_exactly_and_nothing_is_said(self, saved):
        pixels = RNG.integers(0, 256, (28, 28), dtype=np.uint8)
        read = pictures.read_picture(saved(pixels), DIGIT)
        close(read.x0[0, 0], torch.tensor(pixels) / 127.5 - 1, atol=1e-6)
        assert (read.pixels == pixels).all() and not read.notes
        pixels = RNG.integers(0, 256, (48, 48, 3), dtype=np.uint8)
        read = pictures.read_picture(saved(pixels), SCENE)
        close(read.x0[0], torch.tensor(pixels).permute(2, 0, 1) / 127.5 - 1, atol=1e-6)
        assert (read.pixels == pixels).all() and not read.notes

    @pytest.mark.parametrize("orientation", range(2, 9))
    @pytest.mark.parametrize("name", ["photo.jpg", "photo.png"])
    def test_a_photo_is_turned_upright(self, saved, orientation, name):
        turn = {2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud, 5: np.transpose}
        turn |= {6: np.rot90, 7: lambda x: np.rot90(x.T, 2), 8: lambda x: np.rot90(x, -1)}  # from upright to the sensor
        exif = Image.Exif()
        exif[0x0112] = orientation
        read = pictures.read_picture(saved(np.ascontiguousarray(turn[orientation](STROKE)), name, exif=exif), DIGIT)
        close(read.x0, SIGNED, atol=0.2 if "jpg" in name else 1e-5)
        assert f"turned upright, as its EXIF orientation ({orientation}) wants it" in read.notes[0]
        turned = saved(np.ascontiguousarray(turn[orientation]((LOWER * 255).astype(np.uint8))), name, exif=exif)
        assert (pictures.read_mask(turned, read, 28).hole == LOWER).all()

    def test_exif_that_cannot_be_read_is_no_reason_to_refuse_a_picture(self, saved):
        exif = Image.Exif()
        exif[0x0112] = 6
        path = saved(STROKE, "photo.jpg", exif=exif)
        data = path.read_bytes()
        entry = data.index(struct.pack(">HHI", 0x0112, 3, 1))
        path.write_bytes(data[:entry] + struct.pack(">HHI", 0x0112, 2, 1) + data[entry + 8 :])  # a text in place of 6
        assert pictures.read_picture(path, DIGIT).pixels.shape == (56, 56)

    @pytest.mark.parametrize("top, bits", [(255, 8), (1023, 10), (4095, 12), (16383, 14), (65535, 16)])
    def test_few_bits_in_a_file_of_16_are_scaled_by_what_they_need(self, saved, top, bits):
        path = saved(np.round(STROKE / 255 * top).astype(np.uint16))
        read = pictures.read_picture(path, DIGIT)
        close(read.x0, SIGNED, atol=0.01)
        assert read.pixels.dtype == np.uint16 and read.pixels.max() == top
        assert [f"0 to {top}, read as {bits} bits" in note for note in read.notes] == ([True] if bits < 16 else [])
        new = back(path, read, torch.ones(1, 1, 28, 28))
        assert (new[~LOWER] == read.pixels[~LOWER]).all() and (new[LOWER] == top).all()
        coloured = pictures.read_picture(path, SCENE)
        assert coloured.pixels.dtype == np.uint8 and coloured.pixels.max() == 255
        assert any("rounded to 8 bits" in note for note in coloured.notes)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_black_of_any_depth_stays_black_and_zeros_and_ones_are_black_and_white(self, saved, dtype):
        read = pictures.read_picture(saved(np.zeros((28, 28), dtype=dtype)), DIGIT)
        assert (read.x0 == -1).all() and read.ink == (np.iinfo(dtype).max,)
        close(pictures.read_picture(saved((STROKE == 255).astype(dtype)), DIGIT).x0, SIGNED, atol=0.5)

    @pytest.mark.parametrize("top", [1, 255])
    def test_fractions_are_scaled_by_their_range(self, saved, top):
        path = saved((STROKE / 255 * top).astype(np.float32), "picture.tiff")
        read = pictures.read_picture(path, DIGIT)
        close(read.x0, SIGNED, atol=1e-4)
        assert f"0 to {top}, read as 0 (black) to {top} (white), and kept in 16 bits" in read.notes[0]

    @pytest.mark.parametrize("low, high", [(-1, 1), (0, 1.5), (0, 70000), (0, np.nan), (0, np.inf)])
    def test_a_range_that_is_none_of_these_is_named(self, saved, low, high):
        path = saved(np.array([[low, high]] * 2, dtype=np.float32), "picture.tiff")
        with pytest.raises(files.BadFile, match="fractions from 0 to 1, got") as problem:
            pictures.read_picture(path, DIGIT)
        assert np.isnan(high) or f"{low:g} to {high:g}" in str(problem.value)

    def test_every_kind_of_grey_and_colour_is_read(self, saved):
        scene = Image.fromarray(RNG.integers(0, 256, (48, 48, 3), dtype=np.uint8)).resize((480, 480))
        for image, name in (
            (scene.convert("CMYK"), "a.tiff"),
            (scene.convert("CMYK"), "a.jpg"),
            (scene.convert("P"), "a.gif"),
            (scene.quantize(200), "a.png"),
            (scene, "a.webp"),
        ):
            assert pictures.read_picture(saved(image, name), SCENE).pixels.shape == (480, 480, 3), name
        read = pictures.read_picture(saved(scene.convert("CMYK"), "a.tiff"), SCENE)
        close(read.x0, pictures.read_picture(saved(scene), SCENE).x0)
        assert "its colours, CMYK, read as red, green and blue" in read.notes[0]
        for image in (Image.fromarray(STROKE).convert("1"), Image.fromarray(STROKE).convert("LA"), STROKE):
            close(pictures.read_picture(saved(image), DIGIT).x0, SIGNED, atol=0.7)
        assert pictures.read_picture(saved(STROKE), SCENE).pixels.shape == (56, 56, 3)

    def test_16_bits_a_colour_are_said_to_be_read_as_8(self, tmp_path):
        rows = np.full((4, 1 + 4 * 6), 0x40, dtype=np.uint8)
        rows[:, 0] = 0

        def chunk(name, data):
            return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

        head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
        body = chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
        (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
        read = pictures.read_picture(tmp_path / "deep.png", SCENE)
        assert (read.pixels == 0x40).all() and "16 bits a colour, read as 8" in read.notes[0]

    @pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
    def test_the_first_of_several_pictures_is_said_to_be_that(self, saved, name):
        second, third = (Image.fromarray(np.rot90(STROKE, k)) for k in (1, 2))
        options = {"lossless": True} if "webp" in name else {}
        path = saved(Image.fromarray(STROKE), name, save_all=True, append_images=[second, third], **options)
        read = pictures.read_picture(path, DIGIT)
        close(read.x0, SIGNED)
        assert read.notes == (f"{path}: the first of its 3 pictures",)

    @pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (200, 30, 30)])
    def test_strokes_on_a_transparent_ground_are_what_counts(self, saved, colour):
        path = saved(rgba(colour, STROKE))
        read = pictures.read_picture(path, DIGIT)
        close(read.x0, SIGNED, atol=1e-5)
        assert "what is transparent is its background" in read.notes[0]
        new = back(path, read, -SIGNED)
        assert (new[~LOWER] == read.pixels[~LOWER]).all()
        assert (new[50:] == (*colour, 255)).all() and (new[28:46, 22:26, 3] == 0).all()  # as the person has it: paint

    def test_transparent_corners_are_filled_with_the_paper_between_them(self, saved):
        alpha = np.full((56, 56), 255, dtype=np.uint8)
        for corner in np.ix_([0, -1], [0, -1])[0].ravel():
            alpha[corner, [0, 1, 2, -3, -2, -1]] = 0
        for ink in (STROKE, 255 - STROKE):
            picture = np.dstack([ink] * 3 + [alpha])
            read = pictures.read_picture(path := saved(picture), DIGIT)
            close(read.x0[:, :, 2:-2], SIGNED[:, :, 2:-2], atol=1e-5)
            assert (back(path, read, SIGNED)[~LOWER] == picture[~LOWER]).all()

    @pytest.mark.parametrize("shape", [DIGIT, SCENE])
    def test_a_picture_of_nothing_is_refused(self, saved, shape):
        path = saved(rgba((255, 255, 255), np.zeros((48, 48), dtype=np.uint8)))
        with pytest.raises(files.BadFile, match="nothing visible: every pixel is transparent"):
            pictures.read_picture(path, shape)

    def test_in_colour_what_is_transparent_is_white_unless_all_that_is_visible_is(self, saved):
        shape = STROKE[:48, :48]
        red = pictures.read_picture(saved(rgba((255, 0, 0), shape)), SCENE)
        assert red.x0[0, :, 0, 0].tolist() == [1, 1, 1] and red.x0[0, :, 20, 22].tolist() == [1, -1, -1]
        white = pictures.read_picture(saved(rgba((255, 255, 255), shape)), SCENE)
        assert white.x0[0, :, 0, 0].tolist() == [-1] * 3 and white.x0[0, :, 20, 22].tolist() == [1] * 3
        assert "transparent is seen as white" in red.notes[0] and "transparent is seen as black" in white.notes[0]
        hole = np.zeros((48, 48), dtype=bool)
        hole[40:] = True
        new = back(saved(red.pixels), red, torch.zeros(1, 3, 48, 48), hole)
        assert (new[:40] == red.pixels[:40]).all() and (new[40:] == (128, 128, 128, 255)).all()

    @pytest.mark.parametrize(
        "paper, ink", [((255,) * 3, (0,) * 3), ((235, 225, 190), (20, 30, 120)), ((150,) * 3, (40,) * 3)]
    )
    def test_ink_on_paper_is_turned_for_a_digit_model_and_back(self, saved, paper, ink):
        share = STROKE[..., None] / 255
        pixels = np.round(np.array(paper) * (1 - share) + np.array(ink) * share).astype(np.uint8)
        path = saved(pixels)
        read = pictures.read_picture(path, DIGIT)
        close(read.x0, SIGNED, atol=0.02)
        assert "dark ink on light paper" in read.notes[0]
        new = back(path, read, -SIGNED)
        assert (new[~LOWER] == pixels[~LOWER]).all()
        assert (new[50:] == ink).all() and (new[30:46, 22:26] == paper).all()
        assert pictures.read_picture(path, SCENE).x0[0, 0, 0, 0] == pytest.approx(paper[0] / 127.5 - 1)  # as it is

    def test_grain_and_shadow_on_paper_do_not_matter(self, saved):
        shade = np.linspace(1, 0.8, 56) * np.linspace(1, 0.9, 56)[:, None]
        grey = shade * (230 - 0.8 * STROKE) + RNG.normal(0, 4, shade.shape)
        read = pictures.read_picture(saved(grey.clip(0, 255).astype(np.uint8)), DIGIT)
        assert read.notes and (read.x0 - SIGNED).abs().mean() < 0.15

    def test_white_on_black_stays_though_its_missing_half_is_white_or_the_stroke_reaches_the_edge(self, saved):
        half = STROKE.copy()
        half[28:] = 255
        long = STROKE.copy()
        long[:, 10:20] = 255
        for pixels in (half, long, STROKE):
            read = pictures.read_picture(saved(pixels), DIGIT)
            assert not read.notes and read.x0[0, 0, 2, 2] == -1

    def test_an_empty_sheet_is_paper_without_ink(self, saved):
        sheet = (240 + RNG.integers(-5, 6, (56, 56))).astype(np.uint8)
        for pixels in (sheet, np.full((56, 56), 255, dtype=np.uint8)):
            path = saved(pixels)
            read = pictures.read_picture(path, DIGIT)
            assert read.x0.max() < -0.9
            new = back(path, read, torch.ones(1, 1, 28, 28))
            assert (new[LOWER] == 0).all() and (new[~LOWER] == pixels[~LOWER]).all()

    def test_what_is_no_picture_is_refused_in_one_sentence(self, tmp_path, saved, as_learner):
        (tmp_path / "text.png").write_text("not a picture")
        (tmp_path / "half.png").write_bytes(saved(RNG.integers(0, 256, (56, 56), dtype=np.uint8)).read_bytes()[:900])
        saved(np.zeros((20, 30), dtype=np.uint8), "oblong.png")
        saved(np.zeros((1, 4097), dtype=np.uint8), "huge.png")
        for name, message in (
            ("none.png", "there is no file"),
            ("text.png", "expected a picture"),
            ("half.png", "expected a picture"),
            ("oblong.png", "expected a square picture, got 30 x 20"),
            ("huge.png", "at most 4096 pixels a side, got 4097 x 1"),
            (".", "expected a picture"),
        ):
            with pytest.raises(files.BadFile, match=message):
                pictures.read_picture(tmp_path / name, DIGIT)


PAINTED = LOWER.astype(np.uint8)
OPEN = np.zeros((56, 56), dtype=np.uint8)


def colours(inside, outside):
    """One colour where the mask is painted, another elsewhere."""
    return np.where(LOWER[..., None], inside, outside).astype(np.uint8)


MASKS = {
    "white on black": PAINTED * 255,
    "0 and 1": PAINTED,
    "0 and 127": PAINTED * 127,
    "100 and 101": PAINTED + 100,
    "0 and 255 in 16 bits": PAINTED.astype(np.uint16) * 255,
    "0 and 65535 in 16 bits": PAINTED.astype(np.uint16) * 65535,
    "0 and 1 in 16 bits": PAINTED.astype(np.uint16),
    "1 bit": Image.fromarray(LOWER),
    "red on black": colours((200, 0, 0), (0, 0, 0)),
    "blue on black": colours((0, 0, 255), (0, 0, 0)),
    "white paint on nothing": colours((255, 255, 255, 255), (255, 255, 255, 0)),
    "black paint on nothing": colours((0, 0, 0, 255), (0, 0, 0, 0)),
    "red paint on nothing": colours((255, 0, 0, 255), (255, 255, 255, 0)),
    "paint of half opacity": colours((10, 200, 30, 128), (0, 0, 0, 0)),
    "white on black, opaque": colours((255, 255, 255, 255), (0, 0, 0, 255)),
    "grey with alpha": Image.fromarray(colours((0, 255), (0, 0)), "LA"),
    "a palette": Image.fromarray(colours((128, 0, 0), (0, 0, 0))).quantize(2),
}


class TestReadMask:
    @pytest.fixture
    def picture(self, saved):
        return pictures.read_picture(saved(STROKE), DIGIT)

    @pytest.mark.parametrize("name", MASKS)
    def test_one_rule_says_where_the_paint_is(self, saved, picture, name):
        read = pictures.read_mask(saved(MASKS[name], "mask.png"), picture, 28)
        assert (read.hole == LOWER).all() and read.mask.shape == (1, 1, 28, 28)
        assert (read.mask[0, 0].numpy() == LOWER[::2, ::2]).all()
        alpha = "nothing" in name or "opacity" in name or "alpha" in name
        assert ["transparent, so what is opaque is filled" in note for note in read.notes] == [True] * alpha

    def test_fractions_soft_edges_and_jpegs_are_masks(self, saved, picture):
        for mask, name in ((PAINTED.astype(np.float32), "mask.tiff"), (PAINTED * 255, "mask.jpg")):
            assert (pictures.read_mask(saved(mask, name), picture, 28).hole == LOWER).all()
        soft = np.clip((np.arange(56)[:, None] - 25.5) * 40, 0, 255).astype(np.uint8).repeat(56, 1)
        read = pictures.read_mask(saved(soft, "mask.png"), picture, 28)
        assert read.hole[29:].all() and not read.hole[:28].any() and not read.notes

    def test_a_touch_of_paint_is_enough_for_the_model(self, saved, picture):
        dot = OPEN.copy()
        dot[11, 30] = 255
        read = pictures.read_mask(saved(dot, "mask.png"), picture, 28)
        assert read.mask.sum() == 1 and read.mask[0, 0, 5, 15] and read.hole.sum() == 1

    def test_all_white_is_everything_and_says_so(self, saved, picture):
        for white in (OPEN + 255, OPEN.astype(np.uint16) + 65535, OPEN + 1):
            read = pictures.read_mask(saved(white, "mask.png"), picture, 28)
            assert read.hole.all() and read.mask.all() and "everything is filled" in read.notes[0]

    def test_a_photo_for_a_mask_is_said_to_be_odd(self, saved, picture):
        ramp = np.linspace(0, 255, 56 * 56).reshape(56, 56).astype(np.uint8)
        assert re.search("50% of it is neither", pictures.read_mask(saved(ramp, "mask.png"), picture, 28).notes[0])

    @pytest.mark.parametrize(
        "mask, message",
        [
            (OPEN, "no white, so there is nothing to fill"),
            (OPEN + 76, "got 76 in every pixel"),
            (colours((255, 0, 0), (255, 255, 255)), r"all equally bright \(255 of 255\)"),
            (colours((0, 0, 0, 0), (9, 9, 9, 0)), "every pixel is transparent"),
            ((OPEN + np.arange(56) % 9).astype(np.uint8), "only values from 0 to 8 of 255"),
            (
                np.where(np.arange(56)[:, None] < 9, 0, MASKS["white on black, opaque"].T).T.copy(),
                "transparent parts and",
            ),
            (OPEN[:28], "of the picture's size, 56 x 56, got 56 x 28"),
        ],
    )
    def test_an_odd_mask_is_answered_with_what_was_seen(self, saved, picture, mask, message):
        with pytest.raises(files.BadFile, match=message):
            pictures.read_mask(saved(mask, "mask.png"), picture, 28)

    def test_fractions_that_are_no_numbers_are_named(self, saved, picture):
        with pytest.raises(files.BadFile, match="no numbers"):
            pictures.read_mask(saved(np.where(LOWER, np.nan, 0).astype(np.float32), "mask.tiff"), picture, 28)

    def test_a_mask_of_the_model_covers_its_pixels_in_the_picture(self, picture):
        mask = torch.zeros(1, 1, 28, 28, dtype=torch.bool)
        mask[..., 14:, :] = True
        assert (pictures.widen(mask, picture) == LOWER).all()


class TestWriting:
    @pytest.mark.parametrize("shape", [DIGIT, SCENE])
    @pytest.mark.parametrize("channels", [(), (3,), (4,)], ids=["grey", "colour", "alpha"])
    def test_kept_pixels_are_exact_and_new_ones_are_what_was_drawn(self, saved, shape, channels):
        pixels = RNG.integers(0, 256, (56, 56, *channels), dtype=np.uint8)
        if channels == (4,):
            pixels[..., 3] |= 128  # half transparent at most: it has a ground of its own
        path = saved(pixels)
        read = pictures.read_picture(path, shape)
        new = back(path, read, torch.full((1, *shape), 0.2))
        kept = pixels if channels or shape == DIGIT else pixels[..., None].repeat(3, 2)
        assert (new[~LOWER] == kept[~LOWER]).all() and new.shape == kept.shape
        filled = new[LOWER].reshape(-1, *kept.shape[2:])
        assert (filled == (153 if len(kept.shape) < 3 else [153] * 3 + [255] * (kept.shape[2] == 4))).all()
        assert (back(path, read, torch.full((1, *shape), 0.2), None) == filled[0]).all()

    @pytest.mark.parametrize("colours", [(), (3,)], ids=["grey", "colour"])
    def test_a_page_has_each_picture_in_its_place_and_grey_between(self, colours, tmp_path, generator):
        pixels = torch.randint(256, (5, 4, 3, *colours), generator=generator, dtype=torch.uint8).numpy()
        pictures.write_page(tmp_path / "new" / "page.png", pixels, columns=2, scale=2)
        page = np.asarray(Image.open(tmp_path / "new" / "page.png"))
        assert page.shape == (2 * (3 * 5 + 1), 2 * (2 * 4 + 1), *colours)
        assert all((page[dy::2, dx::2] == page[::2, ::2]).all() for dy in (0, 1) for dx in (0, 1))  # each twice as wide
        page = page[::2, ::2].copy()
        for i, picture in enumerate(pixels):
            place = np.s_[5 * (i // 2) + 1 : 5 * (i // 2) + 5, 4 * (i % 2) + 1 : 4 * (i % 2) + 4]
            assert (page[place] == picture).all()
            page[place] = 64
        assert (page == 64).all()
        pictures.write_page(tmp_path / "page.png", pixels[:1], columns=8, scale=1)
        assert np.asarray(Image.open(tmp_path / "page.png")).shape == (6, 5, *colours)  # no wider than its pictures

    @pytest.mark.parametrize("name", ["a**b", "[0-9]", "PAGE", "with space", "é…😀", "x" * 230])
    def test_any_name_will_do(self, tmp_path, name):
        pixels = RNG.integers(0, 256, (3, 4, 4), dtype=np.uint8)
        for suffix in (".png", ".PNG"):
            pictures.check_out(tmp_path / f"{name}{suffix}")
            pictures.write_page(tmp_path / f"{name}{suffix}", pixels, 3, 1)
            assert Image.open(tmp_path / f"{name}{suffix}").format == "PNG"
        for suffix in (".npz", ".NPZ"):
            pictures.check_out(tmp_path / f"{name}{suffix}", (".png", ".npz"))
            pictures.write_arrays(tmp_path / f"{name}{suffix}", images=pixels)
            with np.load(tmp_path / f"{name}{suffix}", allow_pickle=False) as found:
                assert (found["images"] == pixels).all()
        assert len(list(tmp_path.iterdir())) == 4

    @pytest.mark.parametrize(
        "name, message",
        [
            ("out.jpg", "ends in .png, got .*out.jpg; a JPEG changes every pixel a little"),
            ("out.JPEG", "a JPEG changes"),
            ("out", "ends in .png, got [^;]*$"),
            ("out.npz", "ends in .png, got [^;]*$"),
            ("folder.png", "expected a file, but .* is a folder"),
        ],
    )
    def test_a_name_that_cannot_be_is_refused_with_the_reason(self, tmp_path, name, message):
        (tmp_path / "folder.png").mkdir()
        with pytest.raises(files.BadFile, match=message):
            pictures.check_out(tmp_path / name)
