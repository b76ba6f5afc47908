"""The sets a speaker may stand in, painted sharp and then put out of focus: RGB float32 canvases, 0..1.

The middle stays quiet: there the speaker is.
"""

import cv2
import numpy as np

from providers.local import brush
from providers.local.brush import Array, Palette


def office(size: tuple[int, int], palette: Palette, random: np.random.Generator) -> Array:
    """A bright room: a window wall to one side, greenery before it, a shelf on the other side."""
    height, width = size
    unit = height if width >= height else int(height * 0.62)
    canvas = brush.wall(size, palette, (0.28, 0.18))
    left = int(width * random.uniform(-0.10, 0.0))
    pane_w, pane_top, pane_bottom = int(unit * 0.30), int(height * 0.02), int(height * 0.66)
    panes = max(2, round(width * 0.46 / pane_w))
    for index in range(panes):
        x = left + index * pane_w
        brush.box(canvas, x, pane_top, x + int(pane_w * 0.90), pane_bottom, "#f4f9fc")
        sky = np.linspace(0, 1, max(pane_bottom - pane_top, 1), dtype=np.float32)[:, None]
        begin, end = max(x, 0), max(min(x + int(pane_w * 0.90), width), 0)
        canvas[pane_top:pane_bottom, begin:end] = (brush.rgb("#eef6fb") * (1 - sky) + brush.rgb("#dfe8e2") * sky)[
            :, None
        ]
        for _ in range(3):
            top = int(pane_bottom - unit * random.uniform(0.08, 0.28))
            brush.box(
                canvas,
                x + int(random.uniform(0, 0.5) * pane_w),
                top,
                x + int(random.uniform(0.5, 0.9) * pane_w),
                pane_bottom,
                brush.mix("#c9d6dc", "#b3c4bd", random.uniform()),
            )
    canvas = brush.blur(canvas, unit * 0.022)
    brush.box(canvas, 0, pane_bottom, left + panes * pane_w, pane_bottom + int(unit * 0.03), "#efece6")
    edge = width - int(unit * random.uniform(0.50, 0.58))
    brush.shelf(canvas, edge, int(height * 0.10), width + 4, int(height * 0.80), unit, palette, random)
    ledge = int(height * random.uniform(0.765, 0.785))
    brush.box(canvas, 0, ledge, left + int(unit * 0.74), height, brush.mix(palette.wood, palette.shade, 0.45))
    brush.box(
        canvas,
        0,
        ledge,
        left + int(unit * 0.76),
        ledge + max(int(unit * 0.016), 1),
        brush.mix(palette.wood, "#ffffff", 0.45),
    )
    for door in (0.24, 0.49):
        brush.box(
            canvas,
            left + int(unit * door),
            ledge + int(unit * 0.03),
            left + int(unit * (door + 0.008)) + 1,
            height,
            brush.mix(palette.wood, "#2a2622", 0.2),
        )
    brush.plant(canvas, left + int(unit * random.uniform(0.28, 0.40)), ledge, unit * 0.27, random)
    brush.plant(canvas, edge - int(unit * random.uniform(0.09, 0.13)), int(height * 0.95), unit * 0.24, random)
    brush.box(canvas, left + int(unit * 0.76), int(height * 0.93), width, height, palette.wood)
    canvas = brush.blur(canvas, unit * 0.021)
    return brush.light(canvas, (width * 0.16, height * 0.22), unit * 0.75, palette.lamp, 0.34)


def studio(size: tuple[int, int], palette: Palette, random: np.random.Generator) -> Array:
    """A dark set: a lit backdrop, a strip of coloured light, a practical lamp."""
    height, width = size
    unit = min(height, width)
    canvas: Array = np.empty((*size, 3), np.float32)
    canvas[:] = brush.rgb("#1d2127")
    tint = brush.mix(palette.accent, "#3b4a5c", 0.5)
    canvas = brush.light(canvas, (width * 0.5, height * 0.42), unit * 0.78, tint, 0.62)
    for side in (-1, 1):
        x = int(width * (0.5 + side * random.uniform(0.36, 0.42)))
        panel = int(unit * 0.11)
        for step in range(3):
            brush.box(
                canvas,
                x - panel + step * panel * 2 // 3,
                0,
                x - panel + step * panel * 2 // 3 + panel // 2,
                height,
                brush.mix("#22272e", "#2b323b", step / 2),
            )
    for x, colour, lengths in (
        (int(width * random.uniform(0.11, 0.17)), "#ffab5e", (0.14, 0.80)),
        (int(width * random.uniform(0.84, 0.90)), brush.mix(palette.accent, "#6fb6ff", 0.55), (0.06, 0.88)),
    ):
        tube = max(int(unit * 0.020), 2)
        light = np.zeros_like(canvas)
        brush.box(light, x, int(height * lengths[0]), x + tube, int(height * lengths[1]), colour)
        # A tube of light: white-hot in the middle, its colour around it, a glow on the wall.
        for sigma, strength in ((0.010, 1.3), (0.035, 1.1), (0.13, 1.9)):
            canvas = 1 - (1 - canvas) * (1 - np.clip(brush.blur(light, unit * sigma) * strength, 0, 0.92))
    return brush.blur(canvas.astype(np.float32), unit * 0.008)


def city(size: tuple[int, int], palette: Palette, random: np.random.Generator) -> Array:
    """A city in the evening, far out of focus: a glow at the horizon, towers, discs of light."""
    height, width = size
    unit = min(height, width)
    stops = np.array([brush.rgb(colour) for colour in ("#141d38", "#33345c", "#8a5a6b", "#3a2f3c", "#15161f")])
    down, marks = np.linspace(0, 1, height), (0, 0.34, 0.58, 0.72, 1.0)
    column = np.stack([np.interp(down, marks, stops[:, channel]) for channel in range(3)], axis=-1)
    canvas: Array = np.repeat(column[:, None], width, axis=1).astype(np.float32)
    x = -int(unit * 0.1)
    while x < width:
        broad = int(unit * random.uniform(0.09, 0.22))
        top = int(height * random.uniform(0.22, 0.56))
        tone = brush.mix("#20233a", "#34324c", random.uniform())
        brush.box(canvas, x, top, x + broad, int(height * 0.72), tone)
        for _ in range(int(broad * (height * 0.72 - top) / unit**2 * 90)):
            wx, wy = random.uniform(x, x + broad), random.uniform(top, height * 0.72)
            brush.disc(canvas, wx, wy, unit * 0.008, "#ffd79a", 0.85)
        x += int(broad * random.uniform(0.8, 1.3))
    canvas = brush.blur(canvas, unit * 0.020)
    lamps = ("#ffc46b", "#ff9d5c", "#ffe3b0", "#ff7a62", "#9fd0ff", "#ffd28a", "#79e0c8")
    for _ in range(int(56 * max(1.0, width / height) * 0.7)):
        level = random.beta(5, 4)
        radius = unit * random.uniform(0.014, 0.052) * (0.6 + 0.8 * abs(level - 0.5) * 2)
        brush.bokeh(
            canvas,
            random.uniform(0, width),
            height * (0.34 + 0.62 * level),
            radius,
            lamps[random.integers(len(lamps))],
            random.uniform(0.22, 0.70),
        )
    return brush.blur(canvas, unit * 0.004)


def nature(size: tuple[int, int], palette: Palette, random: np.random.Generator) -> Array:
    """A garden in the sun: light through leaves, darker shrubs, a lawn."""
    height, width = size
    unit = min(height, width)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    canvas = np.repeat(
        (brush.rgb("#dfeccb") * (1 - down) + brush.rgb("#7fa35b") * down)[:, None], width, axis=1
    ).astype(np.float32)
    for _ in range(110):
        y = random.uniform(0, 0.74)
        tone = brush.mix(brush.mix("#b9d48c", "#5f8a48", y * 1.2), "#2f5a37", random.uniform(0, 0.75))
        brush.disc(
            canvas,
            random.uniform(0, width),
            y * height,
            unit * random.uniform(0.05, 0.16),
            tone,
            random.uniform(0.25, 0.6),
        )
    for _ in range(5):
        x = random.uniform(0, width)
        brush.box(canvas, int(x), 0, int(x + unit * random.uniform(0.02, 0.05)), int(height * 0.72), "#4c4a38")
    canvas = brush.blur(canvas, unit * 0.035)
    across = np.linspace(0, 1, width, dtype=np.float32)[None]
    hill = 0.70 + 0.03 * np.sin(across * random.uniform(3, 6) + random.uniform(0, 6))
    lawn = np.clip((down - hill) / 0.10, 0, 1)[..., None]
    canvas = canvas * (1 - lawn) + brush.rgb("#8aa65c") * (1.25 - 0.55 * down[..., None]) * lawn
    for _ in range(14):
        brush.disc(
            canvas,
            random.uniform(0, width),
            height * random.uniform(0.74, 0.98),
            unit * random.uniform(0.08, 0.2),
            brush.mix("#a9bf74", "#5f7f42", random.uniform()),
            0.28,
        )
    canvas = brush.blur(canvas.astype(np.float32), unit * 0.03)
    for _ in range(64):
        brush.bokeh(
            canvas,
            random.uniform(0, width),
            height * random.beta(1.2, 3.6) * 0.8,
            unit * random.uniform(0.012, 0.045),
            brush.mix("#fbffd8", "#d8efa0", random.uniform()),
            random.uniform(0.08, 0.30),
        )
    canvas = brush.blur(canvas, unit * 0.008)
    return brush.light(canvas, (width * random.uniform(0.2, 0.8), 0), unit * 0.8, "#fffbe0", 0.42)


def room(size: tuple[int, int], palette: Palette, random: np.random.Generator) -> Array:
    """A quiet interior in the palette of the words: wall, framed picture, lamp, sideboard, plant."""
    height, width = size
    unit = min(height, width)
    canvas = brush.wall(size, palette, (0.72, 0.24))
    side = 1 if random.uniform() < 0.5 else -1
    centre = width * (0.5 + side * random.uniform(0.30, 0.36))
    board = int(height * random.uniform(0.70, 0.74))
    brush.box(canvas, 0, board, width, height, brush.mix(palette.wood, palette.shade, 0.15))
    brush.box(canvas, 0, board, width, board + max(int(unit * 0.018), 1), brush.mix(palette.wood, "#ffffff", 0.25))
    frame_x, frame_y = width * (0.5 - side * random.uniform(0.31, 0.37)), height * 0.15
    brush.box(
        canvas,
        int(frame_x - unit * 0.16),
        int(frame_y),
        int(frame_x + unit * 0.16),
        int(frame_y + unit * 0.38),
        brush.mix(palette.wood, "#2a2622", 0.35),
    )
    brush.box(
        canvas,
        int(frame_x - unit * 0.14),
        int(frame_y + unit * 0.02),
        int(frame_x + unit * 0.14),
        int(frame_y + unit * 0.36),
        brush.mix("#f3efe6", palette.accent, 0.22),
    )
    brush.box(
        canvas,
        int(frame_x - unit * 0.09),
        int(frame_y + unit * 0.14),
        int(frame_x + unit * 0.10),
        int(frame_y + unit * 0.30),
        palette.accent,
    )
    brush.plant(canvas, int(frame_x + side * unit * 0.05), board, unit * 0.20, random)
    stem = int(centre)
    brush.box(canvas, stem - 1, int(board - unit * 0.22), stem + max(int(unit * 0.012), 1), board, "#4a4038")
    canvas = brush.blur(canvas, unit * 0.012)
    shade = np.array(
        [
            [centre - unit * 0.09, board - unit * 0.40],
            [centre + unit * 0.09, board - unit * 0.40],
            [centre + unit * 0.14, board - unit * 0.20],
            [centre - unit * 0.14, board - unit * 0.20],
        ]
    )
    cv2.fillConvexPoly(canvas, shade.round().astype(np.int32), brush.rgb("#f6d9a6").tolist(), cv2.LINE_AA)
    canvas = brush.light(canvas, (centre, board - unit * 0.27), unit * 0.14, "#fff3d6", 0.75)
    canvas = brush.blur(canvas, unit * 0.021)
    canvas = brush.light(canvas, (centre, board - unit * 0.46), unit * 0.36, palette.lamp, 0.38)
    return brush.light(canvas, (centre, board), unit * 0.30, palette.lamp, 0.30)
