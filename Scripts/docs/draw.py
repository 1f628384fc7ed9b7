#!/usr/bin/env python3
"""Draws the figures of README and documents from plain text.

Usage: Scripts/docs/draw.py [--check]

Reads Scripts/docs/figures/*.txt and writes NAME.svg and NAME~dark.svg into the DocC catalogue, for light
and dark pages. --check writes nothing and ends with 1 when a figure is not what its text says.

A figure's first line is its kind, a word, and its title, for readers who cannot see it.

boxes     size WIDTH HEIGHT
          box NAME X Y WIDTH HEIGHT STYLE Title | second line | ...
          line FROM TO STYLE text        from one box to another: the nearest sides; STYLE is
                                         `arrow`, `both` or `plain`
          text X Y STYLE words           STYLE is `note`, `small` or `title`
bars      unit WORDS, then `bar VALUE STYLE label`; STYLE is `ours` or `theirs`
terminal  columns N, then `SECONDS text` a line: when it appeared; `> ` begins what was typed, `! ` what
          somebody typed in another window
"""

import html
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIGURES = ROOT / "Scripts/docs/figures"
TARGET = ROOT / "Sources/ClusterRuntime/ClusterRuntime.docc/Resources"

LIGHT = {
    "page": "#ffffff", "ink": "#1f2328", "faint": "#59636e", "line": "#8c959f",
    "coordinator": "#ddf4ff", "worker": "#dafbe1", "server": "#fff1e5", "plain": "#f6f8fa",
    "edge": "#6e7781", "ours": "#1a7f37", "theirs": "#afb8c1", "screen": "#f6f8fa", "typed": "#0550ae",
    "harm": "#cf222e",
}
DARK = {
    "page": "#0d1117", "ink": "#e6edf3", "faint": "#9198a1", "line": "#6e7681",
    "coordinator": "#0c2d6b", "worker": "#033a16", "server": "#3d1300", "plain": "#161b22",
    "edge": "#8b949e", "ours": "#3fb950", "theirs": "#484f58", "screen": "#161b22", "typed": "#79c0ff",
    "harm": "#ff7b72",
}
SANS = "font-family='-apple-system,Segoe UI,Helvetica,Arial,sans-serif'"
MONO = "font-family='ui-monospace,SFMono-Regular,Menlo,Consolas,monospace'"


def escape(text):
    return html.escape(text, quote=True)


def page(width, height, title, colors, body, style=""):
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' "
        f"height='{height}' role='img' aria-label='{escape(title)}'>\n<title>{escape(title)}</title>\n"
        f"{style}<rect width='{width}' height='{height}' fill='{colors['page']}'/>\n"
        + "\n".join(body) + "\n</svg>\n"
    )


def words(x, y, text, size, color, anchor="middle", weight="normal", font=SANS):
    return (
        f"<text x='{x}' y='{y}' {font} font-size='{size}' fill='{color}' "
        f"text-anchor='{anchor}' font-weight='{weight}'>{escape(text)}</text>"
    )


def boxes(title, lines, colors):
    width = height = 0
    places, body, links = {}, [], []
    for line in lines:
        kind, rest = line.split(" ", 1)
        if kind == "size":
            width, height = map(int, rest.split())
        elif kind == "box":
            name, x, y, w, h, style, label = rest.split(" ", 6)
            x, y, w, h = map(int, (x, y, w, h))
            places[name] = (x, y, w, h)
            body.append(
                f"<rect x='{x}' y='{y}' width='{w}' height='{h}' rx='8' fill='{colors[style]}' "
                f"stroke='{colors['edge']}'/>"
            )
            parts = [part.strip() for part in label.split("|")]
            first = y + h / 2 + 5 - (len(parts) - 1) * 8
            for index, part in enumerate(parts):
                size, color = (14, colors["ink"]) if index == 0 else (12, colors["faint"])
                weight = "600" if index == 0 else "normal"
                body.append(words(x + w / 2, first + index * 17, part, size, color, weight=weight))
        elif kind == "line":
            parts = rest.split(" ", 3)
            links.append(parts + [""] * (4 - len(parts)))
        elif kind == "text":
            x, y, style, text = rest.split(" ", 3)
            size = {"title": 16, "note": 13, "small": 12}[style]
            color = colors["ink"] if style == "title" else colors["faint"]
            body.append(words(int(x), int(y), text, size, color))
        else:
            raise ValueError(f"{kind}: expected size, box, line or text")
    drawn = []
    for source, target, style, text in links:
        (x1, y1), (x2, y2) = ends(places[source], places[target])
        marks = {
            "arrow": " marker-end='url(#tip)'", "plain": "",
            "both": " marker-end='url(#tip)' marker-start='url(#tip)'",
        }[style]
        drawn.append(
            f"<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' stroke='{colors['line']}' "
            f"stroke-width='1.5'{marks}/>"
        )
        if text:
            drawn.append(
                words((x1 + x2) / 2 + 6, (y1 + y2) / 2 + 4, text, 12, colors["faint"], "start"))
    style = (
        "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' "
        f"orient='auto-start-reverse'><path d='M0 0L8 4L0 8z' fill='{colors['line']}'/></marker></defs>\n"
    )
    return page(width, height, title, colors, drawn + body, style)


def ends(first, second):
    """Where a line between two boxes begins and ends: the middles of the sides that face."""
    (x1, y1, w1, h1), (x2, y2, w2, h2) = first, second
    if y1 + h1 <= y2:
        return (x1 + w1 / 2, y1 + h1), (x2 + w2 / 2, y2)
    if y2 + h2 <= y1:
        return (x1 + w1 / 2, y1), (x2 + w2 / 2, y2 + h2)
    if x1 + w1 <= x2:
        return (x1 + w1, y1 + h1 / 2), (x2, y2 + h2 / 2)
    return (x1, y1 + h1 / 2), (x2 + w2, y2 + h2 / 2)


def bars(title, lines, colors):
    unit = next(line[5:] for line in lines if line.startswith("unit "))
    entries = [line.split(" ", 3)[1:] for line in lines if line.startswith("bar ")]
    most = max(float(value) for value, _, _ in entries)
    left, room, step = 300, 380, 30
    body = [words(20, 24, unit, 12, colors["faint"], "start")]
    for index, (value, style, label) in enumerate(entries):
        y = 40 + index * step
        length = room * float(value) / most
        body.append(
            f"<rect x='{left}' y='{y}' width='{length:.0f}' height='20' rx='3' "
            f"fill='{colors[style]}'/>"
        )
        weight = "600" if style == "ours" else "normal"
        body.append(words(left - 10, y + 15, label, 13, colors["ink"], "end", weight))
        body.append(
            words(left + length + 8, y + 15, f"{int(value):,}", 13, colors["ink"], "start", weight))
    return page(760, 50 + len(entries) * step, title, colors, body)


def terminal(title, lines, colors):
    columns = next(int(line.split()[1]) for line in lines if line.startswith("columns "))
    entries = []
    for line in lines:
        if line.startswith("columns "):
            continue
        moment, _, text = line.partition(" ")
        entries.append((float(moment), text))
    width, step = columns * 8 + 40, 19
    end = entries[-1][0] + 6
    rules = []
    body = [
        f"<rect x='1' y='1' width='{width - 2}' height='{40 + len(entries) * step}' rx='8' "
        f"fill='{colors['screen']}' stroke='{colors['edge']}'/>"
    ]
    for index, dot in enumerate(("#ff5f56", "#ffbd2e", "#27c93f")):
        body.append(f"<circle cx='{20 + index * 18}' cy='18' r='5' fill='{dot}'/>")
    for index, (moment, text) in enumerate(entries):
        color, weight = colors["ink"], "normal"
        if text.startswith("> "):
            text, color, weight = "$ " + text[2:], colors["typed"], "600"
        elif text.startswith("! "):
            text, color, weight = text[2:], colors["harm"], "600"
        # A viewer without animation shows the last picture, with every line.
        share = 100 * moment / end
        rules.append(
            f"@keyframes l{index}{{0%,{share:.2f}%{{opacity:0}}{share + 0.01:.2f}%,100%{{opacity:1}}}}"
            f".l{index}{{animation:l{index} {end:.1f}s infinite}}"
        )
        y = 50 + index * step
        body.append(
            f"<g class='l{index}'>"
            + words(20, y, text.replace(" ", "\u00a0"), 13, color, "start", weight, MONO) + "</g>")
    style = (
        "<style>@media (prefers-reduced-motion: no-preference){" + "".join(rules) + "}</style>\n")
    return page(width, 50 + len(entries) * step, title, colors, body, style)


KINDS = {"boxes": boxes, "bars": bars, "terminal": terminal}


def main():
    is_check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not is_check:
        print(__doc__, file=sys.stderr)
        return 64
    TARGET.mkdir(exist_ok=True)
    stale = []
    for path in sorted(FIGURES.glob("*.txt")):
        first, *rest = path.read_text().splitlines()
        kind, title = first.split(" ", 1)
        lines = [line for line in rest if line.strip() and not line.startswith("#")]
        for suffix, colors in (("", LIGHT), ("~dark", DARK)):
            target = TARGET / f"{path.stem}{suffix}.svg"
            text = KINDS[kind](title, lines, colors)
            if is_check and (not target.exists() or target.read_text() != text):
                stale.append(target.name)
            elif not is_check:
                target.write_text(text)
    if stale:
        print(f"draw: error: not what their text says: {', '.join(stale)}; run Scripts/docs/draw.py",
              file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
