"""docs/xds.md names a test for every rule of the protocol: they must be there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/xds.md").read_text()))
    written = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), flags=re.MULTILINE)
    }
    assert named
    assert named <= written, named - written


def test_every_test_of_the_protocol_is_named_on_the_page() -> None:
    page = (ROOT / "docs/xds.md").read_text()
    tests = re.findall(r"^def (test_\w+)", (ROOT / "tests/unit/test_subscriptions.py").read_text(), flags=re.MULTILINE)
    unnamed = {name for name in tests if name not in page}
    # What these hold are properties of our own code, no rules of the protocol.
    assert unnamed == {
        "test_a_version_stands_for_one_content",
        "test_changes_between_two_looks_are_told_as_the_last_one",
        "test_streams_know_nothing_of_each_other",
        "test_a_type_that_nobody_serves_is_kept_quiet_about",
    }
