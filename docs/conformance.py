#!/usr/bin/env python3
"""Rewrites the table of docs/conformance.md from what the tests say of themselves: `docs/conformance.py`.

A Rust test names the requirements it proves in the comment above it, a scenario of tests/interop in its first line.
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs/conformance.md"
ID = re.compile(r"\b[A-Z]{3}-\d{2}\b")
RANGE = re.compile(r"\b([A-Z]{3})-(\d{2}) to \1-(\d{2})\b")
HEAD = "| requirement | test |\n|---|---|\n"


def requirements(words: str) -> list[str]:
    """The requirements that `words` name, each once; "FET-02 to FET-04" are three."""
    ranges = RANGE.sub(lambda found: " ".join(f"{found[1]}-{n:02}" for n in range(int(found[2]), int(found[3]) + 1)), words)
    return list(dict.fromkeys(ID.findall(ranges)))


def rust_tests(source: str):
    """Each test's name with the comment above it."""
    lines = [line.strip() for line in source.splitlines()]
    for at, line in enumerate(lines):
        name = re.match(r"(?:async )?fn (\w+)\(", line)
        if not name:
            continue
        above = []
        for earlier in reversed(lines[:at]):
            if not earlier.startswith(("#", "//")):
                break
            above.append(earlier)
        if any(text.startswith("#[") and "test" in text for text in above):
            yield name[1], " ".join(text for text in above if text.startswith("//"))


def scenarios(source: str):
    """Each scenario's name with its first line."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            yield node.name, ast.get_docstring(node) or ""


def main() -> None:
    known = (ROOT / "docs/requirements.txt").read_text().split()
    proofs = defaultdict(list)
    files = [
        path
        for folder in ("shared", "functions", "local", "cli", "tests/suite")
        for path in sorted((ROOT / folder).rglob("*.rs"))
    ]
    for path in [*files, ROOT / "tests/interop/scenarios.py"]:
        read = rust_tests if path.suffix == ".rs" else scenarios
        for name, words in read(path.read_text()):
            for requirement in requirements(words):
                if requirement in known:
                    proofs[requirement].append(f"`{path.relative_to(ROOT)}::{name}`")
    rows = "".join(
        f"| {requirement} | {', '.join(proofs[requirement])} |\n" for requirement in known if requirement in proofs
    )
    before = DOCUMENT.read_text().split(HEAD)[0]
    DOCUMENT.write_text(before + HEAD + rows)
    print(f"{len(proofs)} of {len(known)} requirements have a test")


if __name__ == "__main__":
    main()
