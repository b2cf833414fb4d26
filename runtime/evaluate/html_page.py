"""The report as one HTML page that needs nothing but itself: tables, curves over time, histograms, contact sheets."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from html import escape

import numpy as np

from lipforge.runtime.evaluate.catalogue import MEASURES
from lipforge.runtime.evaluate.charts import Frame, Series, histogram, line_chart
from lipforge.runtime.evaluate.contact_sheet import SheetPicture
from lipforge.runtime.evaluate.judgement import Judgement
from lipforge.runtime.evaluate.report import Report, compared_frames, shown, shown_interval
from lipforge.runtime.evaluate.table import absences

STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --soft: #68717d; --rule: #d9dde3; --paper: #fff;
  --mine: #1f6fd0; --true: #d9690a; --tint: #6aa84f22; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #98a1ad; --rule: #3a4048; --paper: #16191d;
  --mine: #6cb0ff; --true: #ffa24d; --tint: #6aa84f2e; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 1180px; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; border-top: 1px solid var(--rule); padding-top: 1.2rem;
  margin-top: 2.2rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } .scroll { overflow-x: auto; }
th, td { text-align: right; padding: .15rem .7rem .15rem 0; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child, .text { text-align: left; } th { font-weight: 600; } td.text { color: var(--soft); }
.note { color: var(--soft); font-size: .9rem; margin: .3rem 0; } .charts { display: flex; flex-wrap: wrap; gap: .6rem; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .title { font-weight: 600; } svg .tick { fill: var(--soft); font-size: 11px; } .end { text-anchor: end; }
.mid { text-anchor: middle; } .grid { stroke: var(--rule); } .speech { fill: var(--tint); }
polyline { fill: none; stroke-width: 1.6; }
polyline.mine { stroke: var(--mine); } polyline.true { stroke: var(--true); }
polyline.mine.filled { fill: var(--mine); fill-opacity: .18; } polyline.true.filled { fill: var(--true);
  fill-opacity: .18; } svg text.key.mine { fill: var(--mine); } svg text.key.true { fill: var(--true); }
.sheet { display: flex; flex-wrap: wrap; gap: 4px; margin: .8rem 0; } figure { margin: 0; }
figure img, figure .none { display: block; width: 88px; height: 88px; background: var(--rule); }
figcaption { font-size: .75rem; color: var(--soft); }
"""


def page(report: Report) -> str:
    """Return the page: valid HTML that loads nothing from anywhere."""
    title = "Lip-sync, " + (
        str(report.judgements[0].observation.path)
        if len(report.judgements) == 1
        else f"{len(report.judgements)} videos"
    )
    parts = [f"<h1>{escape(title)}</h1>", f'<p class="note">Sync expert: {escape(report.expert or "none")}.</p>']
    if len(report.judgements) > 1:
        parts += [_means(report), _matrix(report)]
    parts += [f'<p class="note">{escape(line)}</p>' for line in absences(report)]
    parts += [
        f'<p class="note">not judged: {escape(video)}: {escape(fault)}</p>' for video, fault in report.faults.items()
    ]
    parts += [section for found in report.judgements for section in _video(found)]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'
    )


def _means(report: Report) -> str:
    rows = []
    for name, mean in report.means().items():
        measure = MEASURES[name]
        count = sum(name in found.values for found in report.judgements)
        texts = f'<td class="text">{escape(measure.unit)}</td><td class="text">{escape(measure.good)}</td>'
        numbers = f"<td>{shown(name, mean)}</td><td>{shown_interval(name, mean)}</td><td>{count}</td>"
        rows.append(f"<tr><td>{escape(measure.title)}</td>{numbers}{texts}</tr>")
    headings = "<th>mean<th>95 % interval<th>videos<th class=text>unit<th class=text>good"
    return f'<div class="scroll"><table><tr><th>measure{headings}</tr>{"".join(rows)}</table></div>'


def _matrix(report: Report) -> str:
    headings = "".join(f"<th>{escape(found.observation.path.stem)}" for found in report.judgements)
    rows = []
    for name in report.means():
        cells = (shown(name, found.values[name]) if name in found.values else "&ndash;" for found in report.judgements)
        rows.append(f"<tr><td>{escape(MEASURES[name].title)}{''.join(f'<td>{cell}' for cell in cells)}</tr>")
    return f'<h2>Each video</h2><div class="scroll"><table><tr><th>{headings}</tr>{"".join(rows)}</table></div>'


def _video(found: Judgement) -> Iterator[str]:
    seen = found.observation
    yield f"<h2>{escape(str(seen.path))}</h2>"
    against = f", {compared_frames(found)} of them against {seen.reference_path}" if seen.reference_path else ""
    seconds = seen.video.times[-1] if len(seen.video.times) else 0.0
    yield f'<p class="note">{seconds:.2f} s, {len(seen.video.times)} frames{escape(against)}</p>'
    yield _sheet(seen.sheet, with_reference=seen.reference is not None)
    yield '<div class="charts">'
    yield from _charts(found)
    yield "</div>"
    yield _values(found)
    for name, reason in found.absent.items():
        if name not in found.values:
            yield f'<p class="note">{escape(MEASURES[name].title)}: absent, {escape(reason)}</p>'


def _values(found: Judgement) -> str:
    rows = []
    for name, measure in MEASURES.items():
        if name in found.values:
            value = found.values[name]
            texts = f'<td class="text">{escape(measure.unit)}<td class="text">{escape(measure.good)}'
            numbers = f"<td>{shown(name, value)}<td>{shown_interval(name, value)}"
            rows.append(f"<tr><td>{escape(measure.title)}{numbers}{texts}</tr>")
    source = f'<p class="note">Closures from: {escape(found.closure_source)}.</p>' if found.closure_source else ""
    headings = "<th>value<th>95 % interval<th class=text>unit<th class=text>good"
    return f'<div class="scroll"><table><tr><th>measure{headings}</tr>{"".join(rows)}</table></div>{source}'


def _sheet(pictures: list[SheetPicture], *, with_reference: bool) -> str:
    figures = []
    for picture in pictures:
        images = [picture.video, *([picture.reference] if with_reference else [])]
        shown_images = "".join(_image(image) for image in images)
        figures.append(f"<figure>{shown_images}<figcaption>{picture.time_s:.2f} s</figcaption></figure>")
    caption = "Video above, reference below, cut out alike." if with_reference else "Evenly spread over the video."
    return f'<div class="sheet">{"".join(figures)}</div><p class="note">{caption}</p>'


def _image(jpeg: bytes) -> str:
    if not jpeg:
        return '<span class="none" title="no face"></span>'
    return f'<img alt="" src="data:image/jpeg;base64,{b64encode(jpeg).decode()}">'


def _charts(found: Judgement) -> Iterator[str]:
    curves, times = found.curves, found.curves["times"]
    histograms = []
    for name, title in (("opening", "lip opening"), ("width", "mouth width")):
        series = [Series("video", curves[name], "mine")]
        if f"true_{name}" in curves:
            series.insert(0, Series("reference", curves[f"true_{name}"], "true"))
        # Speech is tinted.
        yield line_chart(Frame(title, "s", "eye distances", width=1140), times, series, found.speech)
        histograms.append(histogram(Frame(title, "eye distances", "share of frames", width=370), series))
    if "landmark_distance" in curves:
        distance = [Series("", curves["landmark_distance"], "mine")]
        frame = Frame("lip landmark distance", "eye distances", "share of frames", width=370)
        histograms.append(histogram(frame, distance))
    yield from histograms
    pixels = found.observation.pixels
    if pixels is not None and len(pixels.times):
        changes = [Series("cheeks", pixels.cheek_change, "mine"), Series("outside", pixels.picture_change, "true")]
        yield line_chart(Frame("change beside the mouth", "s", "grey levels", width=560), pixels.times, changes)
        ratio = pixels.mouth_detail[:, 0] / np.maximum(pixels.mouth_detail[:, 1], 1e-9)
        sharp = [Series("", ratio, "mine")]
        yield line_chart(Frame("mouth sharpness over reference", "s", "ratio", width=560), pixels.times, sharp)
    if found.verdict is not None:
        frame = Frame("expert: distance over shift of the sound", "frames", "distance", width=560)
        verdict = found.verdict
        yield line_chart(frame, verdict.shifts.astype(np.float64), [Series("", verdict.distances, "mine")])
