"""`bench audit` and `bench score --reconstructions`, as a user types them: a checkpoint is attacked and finds what its grid finds."""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny_grid import GREEDY, clean_registry, write_plugin  # noqa: F401

from bench import registry
from bench.api import Setting, Target
from bench.audit.audit import _run
from bench.engine.prepare import prepare
from bench.grids.model import AttackSpec
from bench.memory import fitting
from bench.store import load_results
from bench.tracks.reconstruction.targets import obtain

pytestmark = pytest.mark.usefixtures("clean_registry")
FIELDS = {"dataset": "photo_tiles", "n_per_class": 10, "hidden": (500,), "weight_decay": 0.003, "lr": 0.02, "epochs": 12_000}
FAST = ("--param", "steps=300", "--device", "cpu")


@pytest.fixture(scope="module")
def target(_session_home) -> Target:
    """The target of grid quick on photo_tiles, seed 0."""
    return obtain([Setting(**FIELDS, seed=0)])[0]


@pytest.fixture(scope="module")
def released(target, tmp_path_factory) -> Path:
    """What an owner has: a checkpoint as PyTorch saves it, the training images and others as pictures, a folder a class."""
    folder = tmp_path_factory.mktemp("released")
    torch.save({"epoch": 12_000, "batch": None, "state_dict": dict(target.release.weights)}, folder / "weights-tiles.pth")
    parts = {
        "members": (target.secret.members, target.secret.member_labels),
        "controls": (target.secret.controls, target.secret.control_labels),
    }
    for name, (images, labels) in parts.items():
        for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            where = folder / name / ("dark", "light")[label]
            where.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()).save(where / f"{i}.png")
    return folder


@pytest.fixture
def one_control(monkeypatch):
    """The cheapest control alone, and no positive one, where the test is not about them."""
    monkeypatch.setattr("bench.audit.audit.positive_control", lambda *_, **__: None)
    monkeypatch.setattr("bench.audit.audit.CONTROLS", ("mean_image",))


def attack_of(report: dict, name: str) -> dict:
    [found] = [one for one in report["attacks"] if one["attack"] == name]
    return found


def test_an_audit_that_runs_out_of_memory_goes_on_with_fewer_runs_at_once(target, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("bench.memory.fitting", lambda call, count, *more: (asked.append(count), fitting(call, count, *more))[1])
    registry.load_plugin(write_plugin(tmp_path, "greedy", after=GREEDY))
    sweep = {"runs": 5, "ranges": {"scale": {"low": 0.01, "high": 0.3}}}
    greedy = prepare(AttackSpec.model_validate({"name": "greedy", "sweep": sweep}))
    found = _run(greedy, target.release, 0, None)
    assert found.run.unique().tolist() == [0, 1, 2, 3, 4]
    assert asked == [5, 2, 1], "no more at once than have fitted"
    alone = _run(replace(greedy, instances=greedy.instances[:1]), target.release, 0, None)
    assert torch.equal(found.images[found.run == 0], alone.images)


# --- audit ------------------------------------------------------------------------------------------------------------------------------


def test_an_audit_finds_what_the_grid_finds(bench, target, released, tmp_path):
    """The same target, through a .pth file and pictures, and through the engine: as many members come back, within chance of the start."""
    code, text, err = bench(
        "run",
        "--grid",
        "quick",
        "--set",
        "dataset=photo_tiles",
        "--seeds",
        0,
        "--attack",
        "haim_kkt",
        "--device",
        "cpu",
        "--out",
        tmp_path / "results",
    )
    assert code == 0, err
    [row] = load_results(tmp_path / "results")[0].to_dict("records")
    words = ["--members", released / "members", "--controls", released / "controls", "--device", "cpu", "--out", tmp_path / "audit"]
    code, text, err = bench("audit", released / "weights-tiles.pth", *words, "--json")
    assert code == 0, err
    report = json.loads(text)
    found = attack_of(report, "haim_kkt")
    assert row["recall_members"] >= 0.3  # there is something to find
    assert abs(found["recall_members"] - row["recall_members"]) <= 0.2
    assert found["recall_controls"] <= 0.1
    assert found["p_value"] < 0.02
    assert report["train_accuracy"] == 1.0
    assert report["kkt_residual"] == pytest.approx(row["kkt_residual"], abs=0.05)
    assert report["outcome"] == "leaks"
    assert report["verdict"].startswith("Leaks: training images come back")
    named = re.search(r"(\w+): (\d+) of 20 members : (\d+) of 20 controls", report["verdict"])  # the best of the attacks, whichever it is
    best = attack_of(report, named[1])
    assert (int(named[2]), int(named[3])) == (round(20 * best["recall_members"]), round(20 * best["recall_controls"]))
    assert best["excess_recall"] >= found["excess_recall"]
    assert report["architecture"]["hidden"] == [500]
    for name in ("multiclass_kkt", "heldout_images"):
        assert attack_of(report, name)["reason"].startswith("not run")
        assert f"{name}: not run" in err
    # what it leaves behind scores to the same numbers again
    code, text, err = bench(
        "score", "--reconstructions", tmp_path / "audit" / "haim_kkt.safetensors", *words[:4], "--json", "--out", tmp_path / "scored"
    )
    assert code == 0, err
    again = json.loads(text)
    for name in ("recall_members", "recall_controls", "p_value", "haim_recall_members", "auc", "ssim_median", "lpips_median"):
        assert again[name] == pytest.approx(found[name], abs=1e-6), name
    images = pd.read_parquet(tmp_path / "scored" / "images.parquet")
    assert images.groupby("split").size().to_dict() == {"control": 20, "member": 20}
    assert (images[images["split"] == "member"]["ssim"] > 0.4).sum() == round(20 * found["recall_members"])
    for folder, page in ((tmp_path / "audit", "audit.md"), (tmp_path / "scored", "score.md")):
        shown = [line.split("(")[-1].rstrip(")") for line in (folder / page).read_text().splitlines() if line.startswith("![")]
        assert len(shown) >= 2
        for name in shown:
            with Image.open(folder / name) as picture:
                assert min(picture.size) >= 64


def test_controls_of_a_data_set_bring_the_control_attack_on_held_out_images(bench, released, tmp_path):
    code, text, err = bench(
        "audit",
        released / "weights-tiles.pth",
        "--members",
        released / "members",
        "--dataset",
        "photo_tiles",
        *FAST,
        "--json",
        "--out",
        tmp_path / "o",
    )
    assert code == 0, err
    report = json.loads(text)
    assert attack_of(report, "heldout_images")["n_controls"] == 20
    assert "controls: 20 images of photo_tiles" in err


@pytest.mark.usefixtures("one_control")
def test_without_members_it_attacks_and_says_what_to_give(bench, released, tmp_path):
    code, text, err = bench("audit", released / "weights-tiles.pth", "--n-train", 20, *FAST, "--out", tmp_path / "o")
    assert code == 2, err
    assert "Inconclusive: " in text
    assert "nothing could be scored" in text
    assert "--members PATH" in text
    assert "over SSIM" not in text
    for assumed in ("0.5 grey assumed", "input shape assumed", "activation assumed"):
        assert assumed in err
    assert {"haim_kkt.safetensors", "haim_kkt.png", "audit.md", "audit.json"} <= {path.name for path in (tmp_path / "o").iterdir()}
    code, text, err = bench("audit", released / "weights-tiles.pth", "--members", released / "members", *FAST, "--out", tmp_path / "o")
    assert (code, "nothing could be scored" in text, "accuracy 100.0%, KKT residual 0.4" in err) == (2, True, True)


@pytest.mark.usefixtures("one_control")
def test_a_bar_for_continuous_tests(bench, released, tmp_path):
    words = [
        "audit",
        released / "weights-tiles.pth",
        "--dataset",
        "photo_tiles",
        "--attack",
        "haim_kkt",
        "--device",
        "cpu",
        "--out",
        tmp_path / "o",
    ]
    assert bench(*words, "--fail-above", 0.1)[0] == 2
    assert bench(*words, "--fail-above", 0.9)[0] == 0
    code, _, err = bench("audit", released / "weights-tiles.pth", "--fail-above", 0.1)
    assert (code, "nothing to score" in err) == (1, True)
    code, text, _ = bench(*words[:4], "--attack", "multiclass_kkt", "--fail-above", 0.5, "--out", tmp_path / "o")
    assert (code, "nothing was tested" in text) == (2, True)  # no attack applies: no pass
    assert bench(*words[:4], "--attack", "multiclass_kkt", "--out", tmp_path / "o")[0] == 2  # nor is it one without a bar


@pytest.mark.usefixtures("one_control")
def test_where_no_attack_could_find_anything_the_audit_is_inconclusive(bench, tmp_path):
    """Weights of chance are no KKT point of any images. That nothing is found says nothing, and passes no bar; the page says why."""
    pixels = np.random.default_rng(0).random((40, 1, 28, 28), dtype=np.float32)
    for name, part in (("members", pixels[:20]), ("controls", pixels[20:])):
        np.savez(tmp_path / f"{name}.npz", images=part, labels=np.arange(20) % 2)
    torch.manual_seed(0)
    layers = [torch.nn.Linear(fan_in, fan_out) for fan_in, fan_out in ((784, 50), (50, 50), (50, 50), (50, 1))]
    torch.save(torch.nn.Sequential(*layers).state_dict(), tmp_path / "chance.pth")
    files = ["--members", tmp_path / "members.npz", "--controls", tmp_path / "controls.npz", "--out", tmp_path / "o"]
    words = ["audit", tmp_path / "chance.pth", *files, "--param", "steps=20", "--device", "cpu"]
    code, text, err = bench(*words, "--json")
    assert code == 2, err
    report = json.loads(text)
    assert report["kkt_residual"] >= 0.98
    assert report["outcome"] == "inconclusive"
    assert report["verdict"].startswith("Inconclusive: ")
    assert "no attack finds" not in report["verdict"].lower()
    assert "Inconclusive: " in (tmp_path / "o" / "audit.md").read_text()
    code, text, _ = bench(*words, "--fail-above", 0.9)
    assert (code, "Inconclusive: " in text) == (2, True)


@pytest.mark.usefixtures("one_control")
def test_members_tell_equal_layers_of_safetensors_apart(bench, tmp_path):
    """A signal passes through layer z and then a. In the order of the alphabet it is lost, and all members get the same answer."""
    labels = np.arange(20) % 2
    pixels = np.random.default_rng(0).random((40, 1, 28, 28), dtype=np.float32) * 0.1
    pixels[:20] += labels[:, None, None, None] * np.float32(0.5)
    np.savez(tmp_path / "members.npz", images=pixels[:20], labels=labels)
    state = {"input.weight": torch.zeros(3, 784), "z.weight": torch.zeros(3, 3), "a.weight": torch.zeros(3, 3)}
    state["input.weight"][0] = 1 / 784
    state["z.weight"][1, 0] = state["a.weight"][2, 1] = 1.0
    state |= {"output.weight": torch.tensor([[0.0, 0.0, 1.0]]), "output.bias": torch.tensor([-0.3])}
    save_file(state, tmp_path / "twins.safetensors")
    words = ["--members", tmp_path / "members.npz", "--mean", "none", "--attack", "multiclass_kkt", "--device", "cpu"]
    _, _, err = bench("audit", tmp_path / "twins.safetensors", *words, "--out", tmp_path / "o")
    assert "20 of 20 members are classified correctly" in err
    assert "input, z, a, output" in err
    assert "accuracy 100.0%" in err
    np.save(tmp_path / "without.npy", pixels[:20])
    code, _, err = bench("audit", tmp_path / "twins.safetensors", "--members", tmp_path / "without.npy", *words[2:])
    assert (code, "fit together in 2 orders" in err) == (1, True)
    np.savez(tmp_path / "wrong.npz", images=pixels[:20], labels=1 - labels)
    code, _, err = bench("audit", tmp_path / "twins.safetensors", "--members", tmp_path / "wrong.npz", *words[2:])
    assert (code, "correctly, which does not tell" in err) == (1, True)


@pytest.mark.usefixtures("one_control")
def test_runs_draw_hyperparameters_and_pool(bench, released, tmp_path):
    words = [
        "audit",
        released / "weights-tiles.pth",
        "--dataset",
        "photo_tiles",
        "--attack",
        "haim_kkt",
        *FAST,
        "--json",
        "--out",
        tmp_path / "o",
    ]
    code, text, err = bench(*words, "--runs", 3)
    assert code == 0, err
    found = attack_of(json.loads(text), "haim_kkt")
    assert (found["n_candidates"], found["n_submitted"]) == (120, 40)
    assert attack_of(json.loads(text), "mean_image")["n_candidates"] == 40
    repeated = json.loads(bench(*words, "--runs", 3)[1])
    assert attack_of(repeated, "haim_kkt")["ssim_mean"] == found["ssim_mean"]
    other = json.loads(bench(*words, "--runs", 3, "--param", "sigma=0.05")[1])
    assert attack_of(other, "haim_kkt")["ssim_mean"] != found["ssim_mean"]


@pytest.mark.usefixtures("one_control")
def test_labels_that_look_swapped_are_said(bench, target, released, tmp_path):
    np.savez(tmp_path / "members.npz", images=target.secret.members.numpy(), labels=1 - target.secret.member_labels.numpy())
    code, _, err = bench(
        "audit",
        released / "weights-tiles.pth",
        "--members",
        tmp_path / "members.npz",
        "--attack",
        "multiclass_kkt",
        *FAST[2:],
        "--out",
        tmp_path / "o",
    )
    assert (code, "the labels look swapped" in err) == (2, True)


@pytest.mark.usefixtures("one_control")
def test_an_attack_that_fails_is_a_line_and_the_others_go_on(bench, released, tmp_path):
    plugin = tmp_path / "broken.py"
    lines = [
        "from dataclasses import dataclass",
        "from bench.api import Attack",
        "from bench.registry import register",
        "@register",
        "@dataclass(frozen=True)",
        "class Broken(Attack):",
        '    name = "broken"',
        '    paper = "none"',
        "    def reconstruct(self, release, generator):",
        '        raise ZeroDivisionError("of course")',
    ]
    plugin.write_text("\n".join(lines) + "\n")
    words = [
        "--dataset",
        "photo_tiles",
        "--attack",
        "broken",
        "--attack",
        "haim_kkt",
        *FAST,
        "--plugin",
        plugin,
        "--out",
        tmp_path / "o",
        "--json",
    ]
    code, text, err = bench("audit", released / "weights-tiles.pth", *words)
    assert code == 2, err
    assert "failed: ZeroDivisionError: of course" in attack_of(json.loads(text), "broken")["reason"]
    assert attack_of(json.loads(text), "haim_kkt")["n_members"] == 20


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--attack", "haim_ktk"], "haim_kkt"),
        (["--attack", "informed_adversary"], "track"),
        (["--param", "stepps=3"], "no attack here has such a hyperparameter. Did you mean 'steps'?"),
        (["--param", "lr=.nan"], "a finite number"),
        (["--param", "lr=abc"], "lr is of the wrong kind"),
        (["--param", "steps=-5"], "steps 0 or more"),
        (["--attack", "mean_image"], "no attack, but controls"),
        (["--dataset", "photo_tiles", "--fail-above", "nan"], "--fail-above nan"),
        (["--dataset", "photo_tiles", "--fail-above", "5"], "--fail-above 5"),
        (["--dataset", "photo_tiles", "--seed", "-1"], "--seed -1"),
        (["--memory", "-1"], "--memory -1"),
        (["--memory", "nan"], "--memory nan"),
        (["--members", "a", "--controls", "b", "--dataset", "photo_tiles"], "which of them are the controls"),
        (["--out", ""], "an argument is empty"),
        (["--out="], "an argument is empty"),
        (["--param", "steps"], "name=value"),
        (["--runs", "0"], "--runs 0"),
        (["--n-train", "0"], "--n-train 0"),
        (["--shape", "32x32"], "--shape"),
        (["--mean", "members"], "without members"),
        (["--mean", "nowhere.npy"], "no such file"),
        (["--members", "nowhere"], "no such file"),
        (["--set", "n_per_class=3"], "--set without --dataset"),
        (["--dataset", "photo_tilse"], "photo_tiles"),
        (["--dataset", "lfw_faces"], "does not fit"),
        (["--device", "tpu"], "auto, cpu or cuda"),
    ],
)
def test_wrong_usage_is_one_message(bench, released, words, says):
    code, out, err = bench("audit", released / "weights-tiles.pth", *words)
    assert (code, out) == (1, ""), err
    assert says in err


def test_a_folder_that_cannot_be_written_is_known_before_the_attack(bench, released, tmp_path):
    (tmp_path / "file").touch()
    code, out, err = bench("audit", released / "weights-tiles.pth", "--out", tmp_path / "file")
    assert (code, out) == (1, "")
    assert "cannot write" in err
    assert "running" not in err


@pytest.mark.usefixtures("one_control")
def test_runs_that_all_diverge_are_a_failure_and_not_a_model_that_gives_nothing_away(bench, released, tmp_path):
    words = ["--dataset", "photo_tiles", "--attack", "haim_kkt", *FAST, "--param", "lr=1e30", "--out", tmp_path / "o", "--json"]
    code, text, _ = bench("audit", released / "weights-tiles.pth", *words)
    assert code == 2
    assert "every run diverged" in attack_of(json.loads(text), "haim_kkt")["reason"]


@pytest.mark.usefixtures("one_control")
def test_an_attack_that_calls_exit_is_a_failure(bench, released, tmp_path):
    plugin = write_plugin(tmp_path, "leaver", "import sys\nsys.exit(0)")
    words = ["--dataset", "photo_tiles", "--attack", "leaver", "--plugin", plugin, "--out", tmp_path / "o", "--fail-above", 0.5]
    assert bench("audit", released / "weights-tiles.pth", *words)[0] == 2


@pytest.mark.usefixtures("one_control")
def test_an_audit_leaves_nothing_of_an_earlier_one_and_takes_no_folder_of_another(bench, released, tmp_path, bench_home):
    words = ["--dataset", "photo_tiles", *FAST]
    bench("audit", released / "weights-tiles.pth", *words, "--attack", "haim_kkt", "--attack", "regression_kkt")
    folder = bench_home / "audits" / "weights-tiles"
    assert (folder / "regression_kkt.png").is_file()
    for name in ("mine.png", "mine.safetensors"):
        (folder / name).write_text("not of an audit")
    bench("audit", released / "weights-tiles.pth", *words, "--attack", "haim_kkt")
    assert (folder / "haim_kkt.png").is_file()
    assert not list(folder.glob("regression_kkt*"))
    assert (folder / "mine.png").is_file()
    assert (folder / "mine.safetensors").is_file()
    (tmp_path / "weights-tiles.pth").write_bytes((released / "weights-tiles.pth").read_bytes())
    bench("audit", tmp_path / "weights-tiles.pth", *words, "--attack", "haim_kkt")
    assert len(list((bench_home / "audits").glob("weights-tiles*"))) == 2


@pytest.mark.usefixtures("one_control")
def test_members_without_labels_meet_as_many_controls(bench, target, released, tmp_path):
    np.save(tmp_path / "members.npy", target.secret.members[:6].numpy())
    np.save(tmp_path / "controls.npy", torch.cat([target.secret.controls, target.secret.controls.flip(3)]).numpy())
    words = ["--members", tmp_path / "members.npy", "--controls", tmp_path / "controls.npy", "--attack", "haim_kkt", *FAST, "--json"]
    code, text, err = bench("audit", released / "weights-tiles.pth", *words, "--out", tmp_path / "o")
    found = attack_of(json.loads(text), "haim_kkt")
    assert (code, found["n_members"], found["n_controls"]) == (0, 6, 6)
    assert "not matched to members class by class" in err
    assert "accuracy not known" in err


@pytest.mark.usefixtures("one_control")
def test_members_as_rows_of_pixels_are_read_by_their_shape(bench, target, released, tmp_path):
    np.save(tmp_path / "members.npy", target.secret.members.flatten(1).numpy())
    np.save(tmp_path / "controls.npy", target.secret.controls.flatten(1).numpy())
    words = ["--members", tmp_path / "members.npy", "--controls", tmp_path / "controls.npy", "--attack", "haim_kkt", *FAST]
    code, _, err = bench("audit", released / "weights-tiles.pth", *words, "--out", tmp_path / "o")
    assert (code, "--shape" in err) == (1, True)
    assert bench("audit", released / "weights-tiles.pth", *words, "--shape", "3x32x32", "--out", tmp_path / "o")[0] == 0


@pytest.mark.usefixtures("one_control")
def test_what_plain_pytorch_does_is_an_option(bench, target, tmp_path, monkeypatch):
    """Normalised pixels, a class of one's own, and the weights before training, whose change gives the images away."""
    code = """
        import torch
        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.second, self.skip = torch.nn.Linear(3072, 64), torch.nn.Linear(64, 64), torch.nn.Linear(64, 2)
            def forward(self, x):
                h = torch.relu(self.first(x.flatten(1)))
                return self.skip(h + torch.relu(self.second(h)))
    """
    (tmp_path / "their_network.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(tmp_path)
    from their_network import Net  # type: ignore[import-not-found]

    torch.manual_seed(0)
    network = Net()
    torch.save(network.state_dict(), tmp_path / "before.pth")
    x, y = (target.secret.members - 0.5) / 0.25, target.secret.member_labels
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(network(x), y)
        grads = torch.autograd.grad(loss, list(network.parameters()))
        with torch.no_grad():
            for parameter, grad in zip(network.parameters(), grads, strict=True):
                parameter.sub_(0.02 * grad)
    torch.save({"model_state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}, "epoch": 60}, tmp_path / "after.pth")
    for side, images, labels in (("members", target.secret.members, y), ("controls", target.secret.controls, target.secret.control_labels)):
        np.savez(tmp_path / f"{side}.npz", images=images.numpy(), labels=labels.numpy())
    words = ["audit", tmp_path / "after.pth", "--members", tmp_path / "members.npz", "--controls", tmp_path / "controls.npz"]
    words += [
        "--mean",
        0.5,
        "--std",
        "0.25,0.25,0.25",
        "--model",
        "their_network:Net",
        "--device",
        "cpu",
        "--json",
        "--out",
        tmp_path / "o",
    ]
    code_, text, err = bench(*words, "--initial", tmp_path / "before.pth", "--attack", "span_ica_change")
    assert code_ == 0, err
    report = json.loads(text)
    assert report["outcome"] == "leaks"
    assert report["train_accuracy"] >= 0.9
    assert report["premises"]["change"]["holds"]
    assert attack_of(report, "span_ica_change")["recall_members"] >= 0.5
    code_, text, err = bench(*words, "--attack", "span_ica_change")
    assert (code_, json.loads(text)["outcome"]) == (2, "inconclusive"), "nothing was tested"
    assert "--initial FILE brings them" in json.loads(text)["verdict"]
    code_, _, err = bench(*words[:-3], "--model", "their_network:Other")
    assert (code_, "their_network:Other fails" in err) == (1, True)


def test_files_that_are_no_checkpoint(bench, released, tmp_path):
    (tmp_path / "empty.pth").touch()
    (tmp_path / "text.pth").write_text("a text\n")
    (tmp_path / "half.pth").write_bytes((released / "weights-tiles.pth").read_bytes()[:10_000])
    for path in (tmp_path / "empty.pth", tmp_path / "text.pth", tmp_path / "half.pth", tmp_path / "none.pth", tmp_path):
        code, out, err = bench("audit", path)
        assert (code, out) == (1, "")
        assert str(path) in err
        assert "expected:" in err


# --- score ------------------------------------------------------------------------------------------------------------------------------


def test_the_authors_reconstructions_are_scored(bench, target, tmp_path):
    """Their file: centred, float64, with a gradient. Half the members, half noise."""
    members = target.secret.members
    noise = 0.1 * torch.randn(10, *members.shape[1:], generator=torch.Generator().manual_seed(0))
    x = (torch.cat([members[::2] - members.mean(0), noise])).double().requires_grad_()
    torch.save(x, tmp_path / "50000_x.pth")
    words = ["score", "--reconstructions", tmp_path / "50000_x.pth", "--dataset", "photo_tiles", "--set", "n_per_class=10", "--seed", 0]
    code, text, err = bench(*words)
    assert code == 0, err
    assert "centred, the members' mean is added" in err
    headline = text.splitlines()[-1]
    assert headline.startswith("50000_x.pth: 1")
    assert " of 20 members : " in headline
    code, text, _ = bench(*words, "--json")
    found = json.loads(text)
    assert found["recall_members"] >= 0.5
    assert found["recall_controls"] < 0.2
    assert found["n_controls"] == found["n_members"] == 20
    assert not (tmp_path / "clone" / "results").exists()  # nothing is written unless asked


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--reconstructions", "x.pth"], "against which images"),
        (["--reconstructions", "none.pth", "--dataset", "photo_tiles"], "no such file: none.pth"),
        (["--reconstructions", "x.pth", "--grid", "quick", "--dataset", "photo_tiles"], "do not go together"),
        (["--reconstructions", "x.pth", "--dataset", "lfw_faces"], "another shape"),
        (["--reconstructions", "x.pth", "--members", "x.pth"], "proves nothing"),
        (["--dataset", "photo_tiles"], "--dataset without --reconstructions"),
        (["--rescale"], "--rescale without --reconstructions"),
    ],
)
def test_wrong_usage_of_score_is_one_message(bench, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    torch.save(torch.rand(4, 3, 32, 32), "x.pth")
    code, out, err = bench("score", *words)
    assert (code, out) == (1, "")
    assert says in err
