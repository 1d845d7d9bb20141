"""A chart of a comparison: one group of bars per comparison, each relative to the group's first contestant."""

from html import escape

WIDTH, LEFT, RIGHT, BAR, GAP = 890, 270, 130, 20, 12
# Okabe and Ito's palette, told apart by the colour-blind.
COLOURS = {"first": "#999999", "other": "#56B4E9", "lockstep": "#D55E00"}


def rate(row):
    value = row["images_per_second"]
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def bars(rows, facts):
    groups = {}
    for row in rows:
        groups.setdefault(row["comparison"], []).append(row)
    longest = max(row["ratio_to_first"] for row in rows)
    scale = (WIDTH - LEFT - RIGHT) / longest
    parts, y = [], 56
    for title, members in groups.items():
        parts.append(f'<text x="16" y="{y + 14}" class="title">{escape(title)}</text>')
        y += BAR
        for index, row in enumerate(members):
            length = row["ratio_to_first"] * scale
            kind = "first" if index == 0 else "lockstep" if index == len(members) - 1 else "other"
            parts.append(
                f'<text x="{LEFT - 8}" y="{y + 14}" class="name">{escape(row["contestant"])}</text>'
                f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 4}" fill="{COLOURS[kind]}"/>'
                f'<text x="{LEFT + length + 6:.1f}" y="{y + 13}">{rate(row)}'
                f' ({row["ratio_to_first"]:.2f}x)</text>')
            y += BAR
        y += GAP
    captions = [f'{facts["cpu"]}, {facts["cpus"]} CPUs, PyTorch {facts["torch"]}, JAX {facts["jax"]}, {facts["date"]},'
                f' commit {facts["commit"]}', "ranks x threads; medians of alternating rounds"]
    footer = "".join(f'<text x="16" y="{y + 20 * line}">{escape(caption)}</text>'
                     for line, caption in enumerate(captions, 1))
    style = ("text{font:13px sans-serif;fill:#222}.title{font-weight:bold}.name{text-anchor:end}"
             "@media(prefers-color-scheme:dark){svg{background:#111}text{fill:#ddd}}")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 60}"'
            f' viewBox="0 0 {WIDTH} {y + 60}"><style>{style}</style>'
            f'<text x="16" y="28" class="title">Training throughput, images per second</text>{"".join(parts)}'
            f'{footer}</svg>\n')
