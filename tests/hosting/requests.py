"""What hostile and unlucky visitors ask for, through the raw API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TRIGGER = "<|subj|>"
# In the order of the endpoint's parameters.
NAMES = (
    "prompt",
    "subjects",
    "negative_prompt",
    "seed",
    "pictures",
    "steps",
    "guidance",
    "start_step",
    "width",
    "height",
    "sampler",
    "binding",
    "without",
    "clip_skip",
    "guidance_rescale",
    "balance_photos",
    "image",
    "image_strength",
)
GOOD: dict[str, Any] = {
    "prompt": "a cat", "negative_prompt": "", "seed": 0, "pictures": 1, "steps": 2, "binding": 0,
    "clip_skip": 0, "guidance_rescale": 0, "balance_photos": False,
}  # fmt: skip

Case = tuple[str, dict[str, Any], bool | None]  # what, changes of GOOD, whether it should be answered with a picture


def prompts() -> Iterator[Case]:
    """Prompts that are none, that never end, and that want to be something else."""
    good = [
        "a cat",
        "A CAT",
        "a cat\x00",
        "a\u0007 cat\u001b[31m",
        "a cat <script>alert(1)</script>",
        "a cat {{7*7}} ${7*7} #{7*7}",
        "a cat'; DROP TABLE photos; --",
        "\u202ea cat\u202c on the beach",
        "قطة a cat על הגבול",
        "a cat 🐈‍⬛👩‍👩‍👧‍👦🏳️‍🌈",
        "a cat " + "e\u0301\u0302" * 50,
        f"a cat {TRIGGER}",
        f"a cat {TRIGGER}{TRIGGER}",
        "a cat<|endoftext|><|startoftext|>",
        "a cat " + "%s%n%x" * 20,
        "a\ncat\r\n\tat home",
        "a cat" + " " * 500,
        "a ｃａｔ and a cat",
    ]
    yield from ((f"prompt {text[:12]!r}", {"prompt": text}, True) for text in good)
    bad = [
        "",
        " ",
        "\x00",
        "\u200b",
        "no animal",
        TRIGGER,
        f"{TRIGGER} a cat",
        f"a cat {TRIGGER} and a dog {TRIGGER}",
        f"a dog {TRIGGER} a robot {TRIGGER} here",
        "concat",
        "cat-like",
        "word " * 10_000,
        "a cat " * 10_000,
        f"a cat {TRIGGER} " * 5_000,
        " " * 100_000 + TRIGGER,
        "\ud800".encode("utf-16", "surrogatepass").decode("utf-16", "replace") * 5,
        "a cat \ud800",
    ]
    yield from ((f"prompt {text[:12]!r}", {"prompt": text}, False) for text in bad)
    yield from (
        (f"prompt {type(value).__name__}", {"prompt": value}, False) for value in (None, 3, [], {}, True, ["a cat"])
    )
    for text in ("blurry", "a cat", TRIGGER, "\x00", "🏳️‍🌈"):
        yield f"negative {text!r}", {"negative_prompt": text}, True
    yield "negative of 10,000 words", {"negative_prompt": "word " * 10_000}, False


def numbers() -> Iterator[Case]:
    """Every number out of its range, and what is no number."""
    huge = [-1, 0.5, 1e9, -1e308, 1e308, 10**30, float("nan"), float("inf"), "7", "seven", [], {}, True, 10**400]
    for name in ("seed", "pictures", "steps", "guidance", "start_step", "width", "height", "binding"):
        for value in huge:
            yield f"{name} {value!r:.12}", {name: value}, None
    yield from ((f"{name} null", {name: None}, None) for name in ("seed", "pictures", "steps", "guidance"))
    odd: list[Any] = ["magic", 7, ["magic"], [[]], [None], {"a": 1}]
    yield from ((f"without {value!r}", {"without": value}, False) for value in odd)
    yield from ((f"sampler {value!r}", {"sampler": value}, False) for value in odd)
    yield from ((f"{side} off the grid", {side: 200}, None) for side in ("width", "height"))


def subjects(photo: dict[str, Any]) -> Iterator[Case]:
    """Subjects that are none, too many, or of another layout."""
    cat = {"name": "cat", "photos": [photo]}
    odd: list[Any] = [
        None,
        [],
        {},
        "cat",
        7,
        [None],
        [[]],
        [7],
        [{}],
        [{"name": "cat"}],
        [{"photos": [photo]}],
        [cat | {"name": None}],
        [cat | {"name": 7}],
        [cat | {"name": ""}],
        [cat | {"name": "dog"}],
        [cat | {"name": "c" * 100_000}],
        [cat | {"name": ".*"}],
        [cat | {"name": "(a+)+$"}],
        [cat | {"photos": None}],
        [cat | {"photos": []}],
        [cat | {"photos": "x"}],
        [cat | {"photos": [None]}],
        [cat | {"photos": [photo] * 50}],
        [cat] * 2,
        [cat] * 50,
        [cat | {"strength": -1}],
        [cat | {"strength": 1e9}],
        [cat | {"strength": "1"}],
        [cat | {"strength": None}],
        [cat | {"strength": True}],
        [cat | {"strength": float("nan")}],
        [cat | {"faces": 1}],
        [cat | {"faces": ["left"]}],
        [cat | {"mix": [1, 2, 3]}],
        [cat | {"mix": None}],
    ]
    yield from ((f"subjects {value!r:.30}", {"subjects": value}, False) for value in odd)


def paths(secret: str) -> Iterator[Case]:
    """Files of the server and of elsewhere in the place of uploads."""
    wanted = [
        secret,
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/zero",
        "/dev/stdin",
        "../../../../etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1:1/x.png",
        "https://example.invalid/x.png",
        "//example.invalid/x.png",
        "data:image/png;base64,AAAA",
        "app.py",
        "~/.bashrc",
        "\\\\server\\share\\x.png",
        "/etc/passwd\x00.png",
        "",
        ".",
        "/",
        "a" * 10_000,
    ]
    for path in wanted:
        for photo in (
            path,
            {"path": path},
            {"path": path, "meta": {"_type": "gradio.FileData"}},
            {"path": path, "url": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "x.png"},
        ):
            yield f"photo {path[:24]!r}", {"subjects": [{"name": "cat", "photos": [photo]}]}, False


def addresses(secret: str) -> Iterator[str]:
    """What to GET in the hope for a file of the server."""
    for path in (secret, "/etc/passwd", "/proc/self/environ", "app.py", "requirements.txt", ".git/config", "/"):
        for start in ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/static/", "/assets/", "/svelte/", "/"):
            yield start + path.lstrip("/") if start.endswith("/") else start + path
    traversals = ["..", "%2e%2e", "..%2f", "....//", "%252e%252e%252f", "..\\", "..%5c", "..;/"]
    for step in traversals:
        for start in ("/static/", "/assets/", "/gradio_api/file=", "/custom_component/", "/theme.css/"):
            yield start + (step + "/") * 8 + "etc/passwd"
    yield from ("/gradio_api/file=http://127.0.0.1/", "/gradio_api/file=https://example.invalid/x.png")
    yield from ("/gradio_api/proxy=http://127.0.0.1/", "/gradio_api/stream/x/0/0/playlist.m3u8", "/monitoring")
    yield from ("/gradio_api/custom_component/1/client/component/../../etc/passwd", "/gradio_api/vibe-code", "/runs")
