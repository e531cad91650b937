"""Reconstructions and images of others: every layout that people save, what was assumed said aloud, and members never without controls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fuzzing import cases
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from bench.api import Candidates, Setting
from bench.artefacts import truth
from bench.artefacts.candidates import read_candidates, read_mean
from bench.artefacts.images import parse_shape, read_images, read_labels
from bench.audit.asked import setting_of, truth_of
from bench.audit.scoring import judge, judge_files
from bench.errors import BenchError
from bench.tracks.reconstruction import Secret
from bench.tracks.reconstruction import work as reconstruction

SHAPE = (3, 16, 16)


def pictures_of(n: int, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    """Smooth images with pixels of 8 bits, far from each other."""
    noise = torch.rand(n, shape[0], 4, 4, generator=torch.Generator().manual_seed(seed))
    return (torch.nn.functional.interpolate(noise, shape[1:], mode="bilinear") * 255).round() / 255


def in_folder(images: torch.Tensor, folder: Path, classes: int = 1, names: str = "{}.png") -> Path:
    for i, image in enumerate(images):
        where = folder if classes == 1 else folder / f"class{i * classes // len(images)}"
        where.mkdir(parents=True, exist_ok=True)
        pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(where / names.format(i))
    return folder


# --- layouts ----------------------------------------------------------------------------------------------------------------------------


def test_every_layout_gives_the_same_images(tmp_path):
    images = pictures_of(12)
    files = {
        "x.pth": lambda p: torch.save(images, p),
        "wrapped.pth": lambda p: torch.save({"x": images.double(), "lambda": torch.ones(12)}, p),
        "flat.pth": lambda p: torch.save(images.flatten(1), p),
        "ours.safetensors": lambda p: save_file({"images": images}, p),
        "x.npy": lambda p: np.save(p, images.numpy()),
        "last.npy": lambda p: np.save(p, images.permute(0, 2, 3, 1).numpy()),
        "bytes.npy": lambda p: np.save(p, (images * 255).round().byte().numpy()),
        "ints.npz": lambda p: np.savez_compressed(p, images=(images * 255).round().long().numpy()),
        "folder": lambda p: in_folder(images, p),
        "classes": lambda p: in_folder(images, p, classes=3),
    }
    for name, write in files.items():
        write(tmp_path / name)
        read = read_images(tmp_path / name, SHAPE)
        torch.testing.assert_close(read.images, images, msg=name)
    assert torch.equal(read.labels, torch.arange(12) // 4)
    assert read.names == ("class0", "class1", "class2")


def test_the_authors_file_with_a_gradient_and_double_precision(tmp_path):
    """What they save is the optimised leaf itself: torch.save(x), float64, requires_grad."""
    x = torch.randn(6, *SHAPE, dtype=torch.float64, requires_grad=True)
    torch.save(x, tmp_path / "x.pth")
    read = read_images(tmp_path / "x.pth")
    assert read.images.dtype == torch.float32
    assert not read.images.requires_grad
    torch.testing.assert_close(read.images, x.detach().float())


def test_grey_images_without_a_channel_axis(tmp_path):
    np.save(tmp_path / "grey.npy", pictures_of(4, shape=(1, 8, 8))[:, 0].numpy())
    assert read_images(tmp_path / "grey.npy").images.shape == (4, 1, 8, 8)


def test_pictures_come_in_the_order_of_their_numbers(tmp_path):
    images = pictures_of(12)
    assert torch.equal(read_images(in_folder(images, tmp_path / "a")).images, images)  # 2.png before 10.png


def test_a_data_source_by_its_path(tmp_path):
    read = read_images(f"folder:{in_folder(pictures_of(8), tmp_path / 'a', classes=2)}")
    assert (read.images.shape, read.labels.tolist()) == ((8, *SHAPE), [0] * 4 + [1] * 4)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (torch.rand(5), "no images"),
        (torch.rand(5, 7, 8, 8), "no images"),
        (torch.rand(5, 40), "flat images of another size"),
        (torch.full((2, 1, 8, 8), float("nan")), "1 of 2|2 of 2"),
        (torch.randint(0, 500, (2, 1, 8, 8)).clamp(min=300), "no pixels"),
        ({"a": torch.rand(2, 3, 8, 8), "b": torch.rand(2, 3, 8, 8)}, "which of its entries"),
        ({"text": "hello"}, "which of its entries"),
        ([torch.rand(3, 8, 8)], "is no tensor"),
        ({"images": torch.rand(3, 1, 8, 8), "confidence": torch.rand(2)}, "confidences"),
        ({"images": torch.rand(3, 1, 8, 8), "labels": torch.tensor([0, 1])}, "labels"),
    ],
)
def test_what_holds_no_images_is_refused(tmp_path, value, says):
    torch.save(value, tmp_path / "x.pth")
    with pytest.raises(BenchError, match=says):
        read_images(tmp_path / "x.pth", SHAPE)


def test_folders_that_hold_no_images(tmp_path):
    (tmp_path / "empty").mkdir()
    in_folder(pictures_of(2), tmp_path / "sizes")
    Image.new("RGB", (9, 9)).save(tmp_path / "sizes" / "z.png")
    in_folder(pictures_of(4), in_folder(pictures_of(2), tmp_path / "both"), classes=2)
    in_folder(pictures_of(2), tmp_path / "broken")
    (tmp_path / "broken" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    for name, says in (("empty", "no pictures"), ("sizes", "another size"), ("both", "either, not both"), ("broken", "cannot be decoded")):
        with pytest.raises(BenchError, match=says):
            read_images(tmp_path / name)


@cases(40)
@given(share=st.floats(0, 1, exclude_max=True), flip=st.booleans(), bit=st.integers(0, 7))
def test_a_damaged_picture_or_array_is_read_over_or_refused(tmp_path, share, flip, bit):
    folder = in_folder(pictures_of(1), tmp_path / "folder")
    np.save(tmp_path / "x.npy", pictures_of(2).numpy())
    for path, read in ((folder / "0.png", folder), (tmp_path / "x.npy", tmp_path / "x.npy")):
        content = bytearray(path.read_bytes())
        where = int(share * len(content))
        if flip:
            content[where] ^= 1 << bit
        path.write_bytes(bytes(content) if flip else bytes(content[:where]))
        try:
            found = read_images(read)
        except BenchError:
            continue
        assert bool(torch.isfinite(found.images).all())


def test_labels_of_a_file(tmp_path):
    torch.save(torch.tensor([-1, 1, -1, 1]), tmp_path / "y.pth")  # the authors' labels of two classes
    assert read_labels(tmp_path / "y.pth", 4).tolist() == [0, 1, 0, 1]
    np.save(tmp_path / "y.npy", np.array([0.0, 2.0, 1.0]))
    assert read_labels(tmp_path / "y.npy", 3).tolist() == [0, 2, 1]
    for wrong in ([0.5, 1.0, 0.0], [0, 1], [-1, 2, 0], [float("nan"), 0.0, 1.0]):
        np.save(tmp_path / "y.npy", np.array(wrong))
        with pytest.raises(BenchError, match="labels"):
            read_labels(tmp_path / "y.npy", 3)


def test_one_hot_labels_are_classes_and_other_rows_are_not(tmp_path):
    images = pictures_of(3)
    for dtype in (np.int64, np.float32, bool):
        np.savez(tmp_path / "x.npz", images=images.numpy(), labels=np.eye(4, dtype=dtype)[[2, 0, 3]])
        assert read_images(tmp_path / "x.npz").labels.tolist() == [2, 0, 3]
    torch.save(torch.eye(3)[[1, 1, 0]], tmp_path / "y.pth")
    assert read_labels(tmp_path / "y.pth", 3).tolist() == [1, 1, 0]
    torch.save(torch.tensor([[4], [0], [2]]), tmp_path / "y.pth")  # a column of class numbers
    assert read_labels(tmp_path / "y.pth", 3).tolist() == [4, 0, 2]
    for wrong, got in (
        ([[1, 0], [0, 0], [0, 1]], r"\[0, 0\] in row 1"),
        ([[1, 0], [1, 1], [0, 1]], r"\[1, 1\] in row 1"),
        ([[0.5, 0.5], [0, 1], [0, 1]], r"\[0.5, 0.5\] in row 0"),
        ([[-1, 1], [1, -1], [-1, 1]], r"\[-1, 1\] in row 0"),
        ([[1, float("nan")], [1, 0], [0, 1]], r"\[1.0, nan\] in row 0"),
    ):
        np.save(tmp_path / "y.npy", np.array(wrong))
        with pytest.raises(BenchError, match=got):
            read_labels(tmp_path / "y.npy", 3)


@cases(40)
@given(labels=st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_one_hot_rows_and_their_labels_are_read_alike(tmp_path, labels):
    np.save(tmp_path / "rows.npy", np.eye(6)[labels])
    np.save(tmp_path / "labels.npy", np.array(labels))
    for name in ("rows.npy", "labels.npy"):
        assert read_labels(tmp_path / name, len(labels)).tolist() == labels


def test_labels_that_are_missing_are_named(tmp_path):
    np.save(tmp_path / "y.npy", np.array([0.0, float("nan"), 1.0]))
    with pytest.raises(BenchError, match=r"no label \(NaN\) in row 1"):
        read_labels(tmp_path / "y.npy", 3)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (np.array(["a", "b"]), "entry 'more' is an array of text"),
        (np.array([b"a", b"b"]), "entry 'more' is an array of text"),
        (np.array([1j, 2]), "entry 'more' is an array of complex numbers"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "entry 'more' is an array of dates"),
        (np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f4")]), "entry 'more' is an array of records"),
        (np.array([{}, None], dtype=object), "an array of Python objects"),
    ],
)
def test_a_whole_archive_with_more_than_numbers_is_not_called_damaged(tmp_path, more, says):
    np.savez(tmp_path / "x.npz", images=pictures_of(2).numpy(), more=more)
    np.save(tmp_path / "more.npy", more)
    with pytest.raises(BenchError, match=says) as caught:
        read_images(tmp_path / "x.npz")
    with pytest.raises(BenchError, match=says.replace("entry 'more' is ", "")) as alone:
        read_labels(tmp_path / "more.npy", 2)
    for error in (caught, alone):
        assert "cut off" not in str(error.value)
        assert error.value.hint


# --- the scale of pixels ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_black_and_white_arrays_are_zeros_and_ones(tmp_path, dtype):
    bits = pictures_of(4)[:, :1] > 0.5
    np.save(tmp_path / "x.npy", bits.numpy().astype(dtype))
    read = read_images(tmp_path / "x.npy")
    assert torch.equal(read.images, bits.float())
    assert bool(read.notes) == (dtype is not bool)  # of whole numbers it is said
    np.save(tmp_path / "y.npy", (bits.numpy() * 2).astype(np.int64))
    assert float(read_images(tmp_path / "y.npy").images.max()) == pytest.approx(2 / 255)


@pytest.mark.parametrize(
    ("values", "hint"),
    [([-1, 1], "undo the normalisation"), ([0, 65535], "divide by 65535"), ([0, 10**6], "")],
)
def test_whole_numbers_that_are_no_pixels_are_refused(tmp_path, values, hint):
    np.save(tmp_path / "x.npy", np.array(values).repeat(32).reshape(1, 1, 8, 8))
    with pytest.raises(BenchError, match="no pixels") as caught:
        read_images(tmp_path / "x.npy")
    assert caught.value.hint == hint


SCALES = {
    "0 to 255": lambda x: x * 255,
    "0 to 255, one image of many": lambda x: torch.cat([x[:1] * 255, x[1:]]),
    "0 to 255 with overshoot": lambda x: x * 262 - 4,
    "0 to 65535": lambda x: x * 65535,
    "0 to 255, centred": lambda x: (x - x.mean(0)) * 255,
}


@pytest.mark.parametrize("scale", SCALES)
def test_reconstructions_on_another_scale_are_refused(tmp_path, scale):
    members = pictures_of(10)
    np.save(tmp_path / "x.npy", SCALES[scale](members).numpy())
    for add_mean in ("auto", "members", "none"):
        with pytest.raises(BenchError, match="another scale") as caught:
            read_candidates([tmp_path / "x.npy"], members, add_mean=add_mean)
        assert "divide by 255" in caught.value.hint
    [answer], _ = read_candidates([tmp_path / "x.npy"], members, add_mean="none", rescale=True)
    assert float(answer.images.max()) <= 1


def test_candidates_that_wander_off_are_kept(tmp_path):
    """As an optimiser leaves them: noise, loud images, and a minority that diverged."""
    members = pictures_of(10)
    noise = torch.randn(10, *SHAPE, generator=torch.Generator().manual_seed(0))
    for name, images in {
        "noise": noise,
        "loud": (members - 0.5) * 4 + 0.5,
        "diverged": torch.cat([members - members.mean(0), noise[:4] * 1000]),
        "above": members * 1.5,
    }.items():
        torch.save(images, tmp_path / f"{name}.pth")
        [answer], _ = read_candidates([tmp_path / f"{name}.pth"], members)
        assert len(answer.images) == len(images)


def test_a_mean_image_on_another_scale_is_refused(tmp_path):
    np.save(tmp_path / "mean.npy", (pictures_of(1)[0] * 255).numpy())
    with pytest.raises(BenchError, match=r"no images in \[0, 1\]"):
        read_mean(tmp_path / "mean.npy", SHAPE)


def test_shapes_as_text():
    assert parse_shape("3x32x32") == (3, 32, 32)
    assert parse_shape("") is None
    for wrong in ("32x32", "3,32,32", "0x3x3", "axbxc"):
        with pytest.raises(BenchError, match="--shape"):
            parse_shape(wrong)


# --- the mean that centred candidates lack ----------------------------------------------------------------------------------------------


def test_centred_candidates_get_the_members_mean_and_images_do_not(tmp_path):
    members = pictures_of(10)
    mean = members.mean(0)
    torch.save(members - mean, tmp_path / "centred_x.pth")
    torch.save(members, tmp_path / "images_x.pth")
    for name, word in (("centred_x.pth", "the members' mean is added"), ("images_x.pth", "no mean is added")):
        [answer], notes = read_candidates([tmp_path / name], members)
        torch.testing.assert_close(answer.images, members, atol=1e-6, rtol=0)
        assert any(word in note for note in notes)
    [left], _ = read_candidates([tmp_path / "centred_x.pth"], members, add_mean="none")
    torch.testing.assert_close(left.images, members - mean)
    np.save(tmp_path / "mean.npy", mean.numpy())
    [filed], _ = read_candidates([tmp_path / "centred_x.pth"], members, add_mean=str(tmp_path / "mean.npy"))
    torch.testing.assert_close(filed.images, members, atol=1e-6, rtol=0)


def test_a_mean_image_is_one_image_of_that_shape(tmp_path):
    np.save(tmp_path / "mean.npy", pictures_of(2).numpy())
    with pytest.raises(BenchError, match="no mean image"):
        read_mean(tmp_path / "mean.npy", SHAPE)
    in_folder(pictures_of(1), tmp_path / "folder")
    torch.testing.assert_close(read_mean(tmp_path / "folder", SHAPE), pictures_of(1)[0])


def test_rescaling_brings_each_image_to_its_own_extremes(tmp_path):
    members = pictures_of(6)
    torch.save(members * 0.1 + 0.3, tmp_path / "faint.pth")
    [answer], _ = read_candidates([tmp_path / "faint.pth"], members, rescale=True)
    assert torch.allclose(answer.images.amin((1, 2, 3)), torch.zeros(6), atol=1e-6)
    assert torch.allclose(answer.images.amax((1, 2, 3)), torch.ones(6), atol=1e-6)


def test_confidences_in_the_file_rank(tmp_path):
    members = pictures_of(4)
    save_file({"images": members, "confidence": torch.tensor([0.1, 0.9, 0.5, 0.7])}, tmp_path / "x.safetensors")
    [answer], _ = read_candidates([tmp_path / "x.safetensors"], members)
    assert torch.equal(answer.images, members[[1, 3, 2, 0]])


def test_another_shape_than_the_members_is_refused(tmp_path):
    torch.save(pictures_of(2, shape=(1, 16, 16)), tmp_path / "x.pth")
    with pytest.raises(BenchError, match="another shape than the members"):
        read_candidates([tmp_path / "x.pth"], pictures_of(4))


# --- members and controls ---------------------------------------------------------------------------------------------------------------


def test_members_alone_are_refused(tmp_path):
    folder = in_folder(pictures_of(6), tmp_path / "members")
    with pytest.raises(BenchError, match="proves nothing"):
        truth.own(folder)
    assert truth_of("", [], 0, "", "", "") is None
    with pytest.raises(BenchError, match="without --members"):
        truth_of("", [], 0, "", str(folder), "")


def test_controls_may_not_be_members_nor_too_few(tmp_path):
    images = pictures_of(12)
    members = in_folder(images[:6], tmp_path / "members", classes=2)
    with pytest.raises(BenchError, match="1 of the controls are members"):
        truth.own(members, in_folder(images[5:], tmp_path / "overlap"))
    with pytest.raises(BenchError, match="too few controls"):
        truth.own(members, in_folder(images[7:], tmp_path / "few"))


def test_more_controls_than_needed_are_drawn_class_by_class(tmp_path):
    images = pictures_of(60)
    members = in_folder(images[:8], tmp_path / "members", classes=2)
    found = truth.own(members, in_folder(images[8:], tmp_path / "controls", classes=2))
    assert found.secret.control_labels.tolist() == found.secret.member_labels.tolist() == [0] * 4 + [1] * 4
    assert "8 of 52 controls" in " ".join(found.notes)
    again = truth.own(members, tmp_path / "controls")
    assert torch.equal(again.secret.controls, found.secret.controls)
    other = truth.own(members, tmp_path / "controls", seed=1)
    assert not torch.equal(other.secret.controls, found.secret.controls)


@pytest.mark.parametrize("sides", [("members",), ("controls",), ()])
def test_there_are_never_more_controls_than_members(tmp_path, sides):
    """Not where one side, or neither, has labels: they would compete for the same submissions, and the rest would count as misses."""
    images = pictures_of(60)
    members = in_folder(images[:8], tmp_path / "members", classes=2 if "members" in sides else 1)
    controls = in_folder(images[8:], tmp_path / "controls", classes=2 if "controls" in sides else 1)
    if not sides:
        np.save(tmp_path / "m.npy", images[:8].numpy())
        np.save(tmp_path / "c.npy", images[8:].numpy())
        members, controls = tmp_path / "m.npy", tmp_path / "c.npy"
    found = truth.own(members, controls)
    assert len(found.secret.controls) == len(found.secret.control_labels) == 8
    assert "8 of 52 controls" in " ".join(found.notes)


def test_controls_are_matched_by_the_names_of_their_classes(tmp_path):
    """A class that only the controls have, first in their order, moves no other."""
    images = pictures_of(20)
    for side, name, part in (
        ("members", "cat", images[:2]), ("members", "dog", images[2:4]),
        ("controls", "ant", images[4:10]), ("controls", "cat", images[10:15]), ("controls", "dog", images[15:]),
    ):  # fmt: skip
        in_folder(part, tmp_path / side / name)
    found = truth.own(tmp_path / "members", tmp_path / "controls")
    assert found.secret.control_labels.tolist() == [0, 0, 1, 1]
    assert all(any(torch.equal(image, other) for other in images[10:15]) for image in found.secret.controls[:2])
    (tmp_path / "controls" / "dog").rename(tmp_path / "controls" / "hound")
    with pytest.raises(BenchError, match="classes of different names") as caught:
        truth.own(tmp_path / "members", tmp_path / "controls")
    assert (caught.value.expected, caught.value.got) == ("cat, dog", "ant, cat, hound")


def test_controls_of_a_data_set_leave_the_members_out(tmp_path):
    """Members that come from the set itself, one of them through another decoder: no control and no public image is a copy of one."""
    drawn = truth.drawn(Setting(dataset="photo_tiles", n_per_class=8))
    members = drawn.secret.members.clone()
    members[0] = (members[0] + 0.02 * torch.randn(members[0].shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    np.savez(tmp_path / "members.npz", images=members.numpy(), labels=drawn.secret.member_labels.numpy())
    found = truth.own(tmp_path / "members.npz", setting=Setting(dataset="photo_tiles"))
    assert torch.bincount(found.secret.control_labels).tolist() == [8, 8]
    for images in (found.secret.controls, found.public):
        distance = torch.cdist(images.flatten(1), members.flatten(1)) / members[0].numel() ** 0.5
        assert bool((distance > truth.SAME * members.flatten(1).std(1)).all())
    everything = torch.cat([found.secret.controls, found.public]).flatten(1)
    assert len(everything.unique(dim=0)) == len(everything)
    assert "left out" in " ".join(found.notes)


def test_members_without_labels_get_controls_of_all_classes(tmp_path):
    np.save(tmp_path / "members.npy", pictures_of(7, shape=(3, 32, 32)).numpy())
    found = truth.own(tmp_path / "members.npy", setting=Setting(dataset="photo_tiles"))
    assert torch.bincount(found.secret.control_labels).tolist() == [4, 3]
    assert not found.labelled


def test_members_must_be_images(tmp_path):
    np.save(tmp_path / "members.npy", pictures_of(7).numpy() * 2 - 1)
    with pytest.raises(BenchError, match="undo the normalisation"):
        truth.own_members(tmp_path / "members.npy")


def test_a_setting_of_the_command_line():
    setting = setting_of("photo_tiles", ["n_per_class=7", "classes=2"], 3)
    assert (setting.dataset, setting.n_per_class, setting.classes, setting.seed, setting.loss) == ("photo_tiles", 7, 2, 3, "ce")
    for wrong, says in (
        ("n_per_klass=7", "n_per_class"),
        ("n_per_class=-1", "n_per_class"),
        ("seed=2", "seed"),
        ("nonsense", "field=value"),
    ):
        with pytest.raises(BenchError, match=says):
            setting_of("photo_tiles", [wrong], 0)


# --- the judgement ----------------------------------------------------------------------------------------------------------------------


def known_secret(n: int = 10) -> Secret:
    labels = torch.arange(n) % 2
    return Secret(pictures_of(n, 1), labels, pictures_of(n, 2), labels)


def test_perfect_reconstructions_are_all_found_and_no_controls(tmp_path):
    secret = known_secret()
    torch.save(secret.members - secret.members.mean(0), tmp_path / "x.pth")
    judged, _ = judge_files([str(tmp_path / "x.pth")], truth.Truth(secret, True, None, ()))
    assert judged.hits()[0] == 10
    assert judged.hits("haim_")[0] == 10
    assert judged.surely()
    assert judged.row["auc"] == 1.0
    assert "x.pth: 10 of 10 members : " in judged.sentence()
    swapped = Secret(secret.controls, secret.control_labels, secret.members, secret.member_labels)
    back = judge("x", Candidates(secret.members), swapped)
    assert back.row["excess_recall"] == pytest.approx(-judged.row["excess_recall"])
    assert not back.surely()


def test_files_score_as_the_engine_scores(tmp_path):
    """The same images and the same protocol: the same numbers as a cell's."""
    secret = known_secret()
    candidates = (secret.members + 0.1 * torch.randn(10, *SHAPE, generator=torch.Generator().manual_seed(5))).clamp(0, 1)
    save_file({"images": candidates}, tmp_path / "x.safetensors")
    judged, _ = judge_files([str(tmp_path / "x.safetensors")], truth.Truth(secret, True, None, ()))
    row, images = reconstruction.score(Candidates(candidates), secret, bootstrap_seed=0)
    for name in ("recall_members", "recall_controls", "haim_recall_members", "oracle_recall_members", "auc", "ssim_median", "psnr_median"):
        assert judged.row[name] == row[name], name
    assert [image["ssim"] for image in judged.images] == [image["ssim"] for image in images]


def test_the_papers_protocol_scales_what_lies_outside_instead_of_clipping_it():
    """An image at four times its contrast: clipped it is broken, scaled by its own extremes it is itself."""
    secret = known_secret()
    mean = secret.members.mean(0)
    loud = Candidates((secret.members - 0.5) * 4 + 0.5)
    judged = judge("loud", loud, secret)
    clipped, _ = reconstruction.score(loud, secret, bootstrap_seed=0)
    assert judged.row["recall_members"] == clipped["recall_members"]
    from bench.metrics.ncc import haim2022

    wanted = haim2022(secret.members, loud.images - mean, mean).ssim
    assert judged.row["haim_recall_members"] == pytest.approx(float((wanted > 0.4).float().mean()))
    assert judged.row["haim_recall_members"] > clipped["haim_recall_members"]
    assert [r["haim_ssim"] for r in judged.images if r["split"] == "member"] == pytest.approx(wanted.tolist())


def test_several_files_are_pooled_and_only_two_a_member_submitted(tmp_path):
    secret = known_secret()
    for name, images in (("a.pth", torch.cat([pictures_of(30, 7), secret.members])), ("b.pth", pictures_of(5, 8))):
        torch.save(images, tmp_path / name)
    everything = truth.Truth(secret, True, None, ())
    judged, notes = judge_files([str(tmp_path / "a.pth"), str(tmp_path / "b.pth")], everything)
    assert (judged.row["n_candidates"], judged.row["n_submitted"]) == (45, 20)
    assert judged.hits("oracle_")[0] == 10
    assert judged.hits()[0] < 10  # the members come after the first twenty, and the files rank nothing
    assert "the first 20 are submitted" in " ".join(notes)
    more, _ = judge_files([str(tmp_path / "a.pth")], everything, submit=40)
    assert more.hits()[0] == 10
    with pytest.raises(BenchError, match="--submit"):
        judge_files([str(tmp_path / "a.pth")], everything, submit=0)
