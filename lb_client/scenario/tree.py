"""YAML as a tree of text with places, and nothing more of YAML: no types guessed, no aliases, no word twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from lb_client.scenario.errors import ScenarioError
from lb_client.scenario.model import Place

if TYPE_CHECKING:
    from yaml.nodes import Node as YamlNode

MAX_BYTES = 256 << 10
MAX_DEPTH = 8

_YAML = "tag:yaml.org,2002:"
_PLAIN_TAGS = {"str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge", "value"}


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar, as it is written: `0`, `on` and `1e3` are text like any other."""

    place: Place
    value: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Pairs:
    """A mapping, in the order in which it is written."""

    place: Place
    pairs: tuple[tuple[Text, Node], ...]


Node = Text | Items | Pairs


def parse(data: bytes) -> Node | None:
    """The tree of one YAML document; None where there is nothing.

    Raises:
        ScenarioError: It is no such document, or too large.
    """
    if len(data) > MAX_BYTES:
        raise ScenarioError(f"{len(data):,} bytes are too many for a scenario: {MAX_BYTES >> 10} KiB are the most")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        place = Place(before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        raise ScenarioError("no UTF-8 text: a scenario is a YAML file", place) from None
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise ScenarioError(_problem(error), _place(error.problem_mark or error.context_mark)) from None
    except yaml.reader.ReaderError as error:
        before_it = text[: error.position]
        place = Place(before_it.count("\n") + 1, error.position - before_it.rfind("\n"))
        raise ScenarioError(f"the character {_character(error)!r} is none that YAML allows", place) from None
    except RecursionError:
        raise ScenarioError("lists within lists without end: a scenario is three levels deep") from None
    return None if root is None else _node(root, 0)


class _Loader(yaml.SafeLoader):
    """Composes nodes only; nothing is constructed from them."""

    def compose_node(self, parent: YamlNode | None, index: Any) -> YamlNode | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # it has no types
            raise yaml.MarkedYAMLError(
                problem="aliases are not for scenarios: write it out", problem_mark=event.start_mark
            )
        node: YamlNode | None = super().compose_node(parent, index)
        return node


def _node(node: YamlNode, depth: int) -> Node:
    place = _place(node.start_mark)
    if depth > MAX_DEPTH:
        raise ScenarioError("lists within lists within lists: a scenario is three levels deep", place)
    if node.tag.removeprefix(_YAML) not in _PLAIN_TAGS:
        raise ScenarioError(f"the tag {node.tag} is not for scenarios: leave it away", place)
    if isinstance(node, yaml.ScalarNode):
        return Text(place, node.value.strip())
    if isinstance(node, yaml.SequenceNode):
        return Items(place, tuple(_node(item, depth + 1) for item in node.value))
    pairs: list[tuple[Text, Node]] = []
    known: dict[str, Place] = {}
    for key, value in node.value:
        word = _node(key, depth + 1)
        if not isinstance(word, Text):
            raise ScenarioError("a word is expected here, and a colon after it", word.place)
        if word.value in known:
            raise ScenarioError(f"{word.value!r} stands here twice: first in line {known[word.value].line}", word.place)
        known[word.value] = word.place
        pairs.append((word, _node(value, depth + 1)))
    return Pairs(place, tuple(pairs))


def _character(error: yaml.reader.ReaderError) -> str:
    # It is a number in spite of its type, or bytes.
    found: object = error.character
    return chr(found) if isinstance(found, int) else str(found)


def _place(mark: yaml.Mark | None) -> Place:
    return Place(1, 1) if mark is None else Place(mark.line + 1, mark.column + 1)


def _problem(error: yaml.MarkedYAMLError) -> str:
    """YAML's own words, and what is most often behind them."""
    problem = " ".join((error.problem or "no YAML").split())
    if "chomping or indentation" in problem or "expected a comment or a line break" in problem:
        return "YAML reads a value that begins with '>' as a long text: write 'more than …' or 'at least …'"
    if "cannot start any token" in problem and "\\t" in problem:
        return "a tab at the beginning of a line: YAML takes blanks only"
    if "mapping values are not allowed" in problem:
        return "a second colon in one line: put the text into quotes, or begin a new line"
    if "single document" in (error.context or ""):
        return "a second document begins here: one file is one scenario"
    return problem if problem.startswith("aliases") else f"no YAML: {problem}"
