"""What accidents and strangers do to a file."""

import re

TELLING = [
    b"\0",
    b"\xff",
    b"\x80",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"'",
    b"\n",
    b",",
    b"\t",
    b"-",
    b"9",
    b"0",
    b"nan",
    b"1e39",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"18446744073709551615",
    b"-1",
    b"\xef\xbb\xbf",
    b"\r\n",
]


def once(content, others, draw):
    """`content` with one change: bits, bytes, pieces lost, doubled or taken from another file."""
    at = draw.randint(0, len(content))
    end = min(len(content), at + draw.choice([1, 1, 2, 4, 16, 64]))
    kind = draw.randrange(9)
    if kind == 0 and at < len(content):
        return content[:at] + bytes([content[at] ^ (1 << draw.randrange(8))]) + content[at + 1 :]
    if kind == 1 and at < len(content):
        return content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :]
    if kind == 2:
        return content[:at]
    if kind == 3:
        return content[:at] + content[end:]
    if kind == 4:
        return content[:end] + content[at:end] * draw.choice([1, 2, 8]) + content[end:]
    if kind in (5, 6):
        token = draw.choice(TELLING)
        return content[:at] + token + content[at + (len(token) if kind == 5 else 0) :]
    if kind == 7:
        # One of its lines elsewhere, twice, or not at all.
        lines = content.split(b"\n")
        line = lines.pop(draw.randrange(len(lines)))
        for _ in range(draw.randrange(3)):
            lines.insert(draw.randint(0, len(lines)), line)
        return b"\n".join(lines)
    other = draw.choice(others)
    start = draw.randint(0, len(other))
    return content[:at] + other[start : start + draw.choice([4, 16, 64])] + content[end:]


def mutated(content, others, draw):
    """`content` with one to four changes."""
    for _ in range(draw.choice([1, 1, 2, 4])):
        content = once(content, others, draw)
    return content


VALUES = (
    [
        "0",
        "1",
        "2",
        "3",
        "7",
        "16",
        "-1",
        "0.0",
        "0.5",
        "1.5",
        "-0.1",
        "1e-30",
        "1e30",
        "inf",
        "nan",
        "true",
        "false",
        '""',
        "[]",
        "{}",
    ]
    + [
        "[0.1, 1.0]",
        "[0.0, 0.0, 0.0, 0.0]",
        '"walk"',
        '"nearest"',
        '"gcbs"',
        '"clusters"',
        '"uniform"',
        '"keep"',
        '"repeat"',
    ]
    + [
        '"bf16"',
        '"lars"',
        '"sgd"',
        '"linear"',
        '"small"',
        '"vit-tiny"',
        '"gcn"',
        '"static"',
        '"moco"',
        '"mvgrl"',
        '"pairs"',
        '"hard"',
    ]
)


def recipe(content, others, draw):
    """A recipe of which a value is another, or a line is missing or from another recipe; or any change at all."""
    if draw.random() < 0.3:
        return mutated(content, others, draw)
    lines = content.decode().splitlines()
    for _ in range(draw.choice([1, 1, 2, 3])):
        place = draw.randrange(len(lines))
        key, equals, _ = lines[place].partition("=")
        kind = draw.randrange(8)
        if kind == 0:
            lines.pop(place)
        elif kind == 1:
            lines.insert(place, draw.choice(draw.choice(others).decode().splitlines()))
        elif kind == 2:
            lines[place] = draw.choice(draw.choice(others).decode().splitlines())
        elif equals:
            lines[place] = f"{key}= {draw.choice(VALUES)}"
    return "\n".join(lines).encode()


def with_small_numbers(text):
    """Whole numbers of a recipe cut to four digits: who asks for a network of gigabytes gets it: no finding."""
    return re.sub(rb"(?<![\d.])\d{5,}", lambda number: number[0][:4], text)
