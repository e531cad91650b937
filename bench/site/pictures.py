"""The images on the pages: members beside what came back of them and the nearest control, in a few sheets, since many files are slow.

What a results folder holds of them are the thumbnails of its strips and galleries. Controls are not in it: they are drawn again from the
data set, where that is here. Answers of other attacks are in the store alone (``RECONBENCH_HOME``), and are shown where that is here.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import BenchError
from bench.report.kit.figures import decode
from bench.report.kit.selection import ranked

QUALITY = 54  # of WebP; numbers are of the images as they were
GAP = 2  # pixels between images of a sheet
HIGHEST = 16_000  # pixels of a sheet, which WebP limits


@dataclass(frozen=True)
class Strip:
    """Some images side by side, cut out of a sheet."""

    sheet: str  # class of the sheet
    x: int  # column in images
    y: int  # row
    n: int  # images


@dataclass
class Sheet:
    """Images of one size in rows."""

    name: str
    height: int
    width: int
    across: int
    strips: int = 0  # put down so far
    tiles: list[tuple[int, int, np.ndarray]] = field(default_factory=list)

    @property
    def file(self) -> str:
        """Of the site."""
        return f"tiles/{self.name}.webp"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, which are images and gaps."""
        rows = 1 + max((y for _, y, _ in self.tiles), default=0)
        columns = 1 + max((x for x, _, _ in self.tiles), default=0)
        return columns * (self.width + GAP), rows * (self.height + GAP)

    def add(self, images: Sequence[np.ndarray | None]) -> Strip:
        """Puts images down side by side; where there is none stays grey."""
        most = HIGHEST // (self.height + GAP)
        column, row = divmod(self.strips, most)
        self.strips += 1
        for i, image in enumerate(images):
            shown = np.full((self.height, self.width), 224, np.uint8) if image is None else image
            self.tiles.append((column * self.across + i, row, shown))
        return Strip(self.name, column * self.across, row, len(images))

    def style(self) -> str:
        """The class of its strips: what the style sheet of the site cuts them out by."""
        width, height = self.size
        sizes = {"w": self.width + GAP, "h": self.height, "r": self.height + GAP, "sw": width, "sh": height}
        return f".s-{self.name}{{--img:url({self.file});{';'.join(f'--{name}:{value}' for name, value in sizes.items())}}}"

    def webp(self) -> bytes:
        """The file."""
        from PIL import Image

        width, height = self.size
        sheet = Image.new("RGBA", (width, height), (255, 255, 255, 0))
        for x, y, pixels in self.tiles:
            sheet.paste(Image.fromarray(pixels).convert("RGB"), (x * (self.width + GAP), y * (self.height + GAP)))
        buffer = io.BytesIO()
        sheet.save(buffer, "WEBP", quality=QUALITY, method=4)
        return buffer.getvalue()


class Sheets:
    """All sheets of the site, by name and size of image."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, tuple[int, int]], Sheet] = {}

    def add(self, name: str, images: Sequence[np.ndarray | None]) -> Strip | None:
        """Images of one size side by side; None: there are none."""
        first = next((image for image in images if image is not None), None)
        if first is None:
            return None
        size = first.shape[:2]
        same = [image if image is not None and image.shape[:2] == size else None for image in images]
        sheet = self.known.setdefault((name, size), Sheet(f"{name}-{size[1]}x{size[0]}", size[0], size[1], len(images)))
        return sheet.add(same)

    @property
    def every(self) -> Iterable[Sheet]:
        """In order."""
        return self.known.values()


@dataclass(frozen=True)
class Shown:
    """A member of a cell, what came back of it, and the control that this is nearest to."""

    index: int
    ssim: float | None
    control: float | None  # SSIM of what came back with the nearest control; None: not known
    strip: Strip


@dataclass(frozen=True)
class Gallery:
    """The pictures of one cell, best first."""

    row: Mapping[str, Any]  # its score row
    slug: str  # of its grid
    members: Sequence[Shown]
    without: str  # why there are no controls; empty: there are


def galleries(slug: str, rows: pd.DataFrame, images: pd.DataFrame, sheets: Sheets, controls: Controls) -> list[Gallery]:
    """Those cells of a grid of which its image rows hold pictures, in the order of its rows."""
    pictured = images[images["truth_png"].notna() & (images["split"] == "member")]
    if pictured.empty:
        return []
    found = []
    scored = rows[rows["cell_id"].isin(pictured["cell_id"])].drop_duplicates("cell_id")
    by_cell = dict(iter(pictured.groupby("cell_id", sort=False)))
    for row in scored.sort_values(["axis_index", "dataset", "attack", "seed"], kind="stable").to_dict("records"):
        mine = ranked(by_cell[row["cell_id"]])
        back = [decode(png) for png in mine["recon_png"]]
        others, why = controls.of(row)
        nearest = _nearest(back, others) if others is not None else [(None, None)] * len(back)
        members = []
        for (index, ssim, png), came, (near, control) in zip(
            mine[["index", "ssim", "truth_png"]].itertuples(index=False), back, nearest, strict=True
        ):
            strip = sheets.add(slug, [decode(png), came, near])
            if strip is not None:
                members.append(Shown(int(index), None if pd.isna(ssim) else float(ssim), control, strip))
        if members:
            found.append(Gallery({str(k): v for k, v in row.items()}, slug, members, why))
    return found


def secret_of(row: Mapping[str, Any]) -> Any:
    """Members and controls that a row was scored against.

    Raises:
        BenchError: the data are not here, or are others by now.
    """
    from bench import registry
    from bench.engine.rescore import setting_of
    from bench.tracks.informed import targets as informed
    from bench.tracks.reconstruction import targets as reconstruction

    known = {name: None if value is pd.NaT or value is pd.NA or value != value else value for name, value in row.items()}
    images_of = {"reconstruction": reconstruction.images_of, "informed": informed.images_of}.get(str(known["track"] or "reconstruction"))
    if images_of is None:
        raise BenchError(f"track {known['track']} has no pictures", expected="reconstruction or informed", got=str(known["track"]))
    setting = setting_of(known)
    digest = registry.resolve_data(setting.dataset).digest()
    if known["data_digest"] not in (None, digest):
        raise BenchError(f"data set {setting.dataset} holds other images here", expected=str(known["data_digest"]), got=digest)
    return images_of(setting)


class Controls:
    """The controls of rows. Networks that differ in nothing but themselves have the same ones (``bench.data.split``), drawn once."""

    def __init__(self) -> None:
        self.known: dict[tuple[Any, ...], tuple[Any, str]] = {}

    def of(self, row: Mapping[str, Any]) -> tuple[Any, str]:
        """Images, n × c × h × w in [0, 1]; or None and why."""
        same = ("track", "dataset", "data_digest", "classes", "n_per_class", "seed")
        key = tuple(str(row[name]) for name in (*same, *(() if row["defense"] == "none" else ("defense", "target_id"))))
        if key not in self.known:
            self.known[key] = self._drawn(row)
        return self.known[key]

    def _drawn(self, row: Mapping[str, Any]) -> tuple[Any, str]:
        try:
            return secret_of(row).controls, ""
        except BenchError as error:
            return None, str(error).partition("\n")[0]
        except Exception as error:  # a data set or a defence of a plug-in may raise anything
            return None, f"{type(error).__name__}: {error}".partition("\n")[0]


def _nearest(images: Sequence[np.ndarray | None], controls: Any) -> list[tuple[np.ndarray | None, float | None]]:
    """For each image the control of the highest SSIM, and that."""
    import torch

    from bench.metrics.ssim import ssim_matrix

    shape = tuple(controls.shape[1:])
    there = [i for i, image in enumerate(images) if image is not None and image.shape[:2] == shape[1:]]
    found: list[tuple[np.ndarray | None, float | None]] = [(None, None)] * len(images)
    if not there or not len(controls):
        return found
    stacked = torch.stack([as_tensor(images[i], shape[0]) for i in there])
    best = ssim_matrix(stacked, controls.float().clamp(0, 1)).max(dim=1)
    for i, value, which in zip(there, best.values.tolist(), best.indices.tolist(), strict=True):
        found[i] = as_pixels(controls[which]), float(value)
    return found


def as_tensor(pixels: Any, channels: int) -> Any:
    """Pixels, h × w or h × w × 3, as c × h × w in [0, 1]."""
    import torch

    values = torch.from_numpy(np.array(pixels, dtype=np.float32) / 255)
    values = values[None] if values.ndim == 2 else values.permute(2, 0, 1)
    return values if len(values) == channels else values.mean(0, keepdim=True).expand(channels, -1, -1)


def as_pixels(image: Any) -> np.ndarray:
    """An image, c × h × w in [0, 1], as pixels: colour if it has three channels, else the grey mean of them."""
    values = image.detach().cpu().float().clamp(0, 1)
    values = values if values.shape[0] == 3 else values.mean(0, keepdim=True)
    pixels = (values * 255).round().numpy().astype(np.uint8)
    return pixels.transpose(1, 2, 0) if len(pixels) == 3 else pixels[0]
