"""Reading a mapping's words one by one: what is unknown, missing or of another kind is an error with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lb_client.scenario import quantity
from lb_client.scenario.errors import ScenarioError, nearest
from lb_client.scenario.tree import Items, Pairs, Text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from lb_client.scenario.model import Place
    from lb_client.scenario.tree import Node


class Fields:
    """The words of one mapping.

    Args:
        node: What stands in the file.
        what: What it should be: `a step`.

    Raises:
        ScenarioError: It is no mapping.
    """

    def __init__(self, node: Node, what: str) -> None:
        if not isinstance(node, Pairs):
            given = "a list" if isinstance(node, Items) else repr(node.value) if node.value else "nothing"
            raise ScenarioError(
                f"{given} is no {what.removeprefix('a ')}: write it as 'word: value', a line each", node.place
            )
        self.place = node.place
        self.what = what
        self._pairs = {word.value: (word.place, value) for word, value in node.pairs}

    def __contains__(self, word: str) -> bool:
        return word in self._pairs

    def __iter__(self) -> Iterator[str]:
        return iter(self._pairs)

    def only(self, known: Collection[str]) -> None:
        """Refuse every word that is not known.

        Raises:
            ScenarioError: There is one.
        """
        for word, (place, _) in self._pairs.items():
            if word not in known:
                raise ScenarioError(f"{word!r} is no word of {self.what}{nearest(word, known)}", place)

    def place_of(self, word: str) -> Place:
        """Where its value stands; the mapping itself where the word is missing."""
        return self._pairs[word][1].place if word in self._pairs else self.place

    def word_place(self, word: str) -> Place:
        """Where the word itself stands."""
        return self._pairs[word][0] if word in self._pairs else self.place

    def node(self, word: str) -> Node | None:
        """The value; None where the word is missing."""
        return self._pairs[word][1] if word in self._pairs else None

    def text(self, word: str, default: str | None = None) -> str:
        """A text in one line.

        Raises:
            ScenarioError: There is none.
        """
        node = self.node(word)
        if node is None and default is not None:
            return default
        if node is None:
            raise ScenarioError(f"{self.what} needs '{word}: …'", self.place)
        if not isinstance(node, Text):
            raise ScenarioError(
                f"'{word}' takes one value, no {'list' if isinstance(node, Items) else 'mapping'}", node.place
            )
        if not node.value:
            raise ScenarioError(f"'{word}:' has no value", self.word_place(word))
        return " ".join(node.value.split())

    def texts(self, word: str) -> tuple[tuple[Place, str], ...]:
        """A list of texts, or one.

        Raises:
            ScenarioError: It is neither, or empty.
        """
        node = self.node(word)
        items: Sequence[Node] = node.items if isinstance(node, Items) else () if node is None else (node,)
        if not items:
            raise ScenarioError(f"'{word}:' has no value", self.place_of(word))
        found = []
        for item in items:
            if isinstance(item, Text) and not item.value and item is node:
                raise ScenarioError(f"'{word}:' has no value", self.word_place(word))
            if not isinstance(item, Text) or not item.value:
                raise ScenarioError(f"'{word}' takes a word, or a list of them", item.place)
            found.append((item.place, " ".join(item.value.split())))
        return tuple(found)

    def seconds(self, word: str, *, least: float = 0.0, most: float, default: float | None = None) -> float:
        """A length of time in seconds.

        Raises:
            ScenarioError: It is none, or out of bounds.
        """
        if word not in self and default is not None:
            return default
        text = self.text(word)
        value = quantity.seconds(text)
        if value is None:
            raise ScenarioError(f"{text!r} is no length of time: write 500ms, 2s or 1m", self.place_of(word))
        if not least <= value <= most:
            raise ScenarioError(
                f"'{word}: {text}' makes no sense: {least:g}s to {most:g}s are possible", self.place_of(word)
            )
        return value

    def whole(self, word: str, *, least: int, most: int, default: int) -> int:
        """A whole number.

        Raises:
            ScenarioError: It is none, or out of bounds.
        """
        text = self.text(word, str(default))
        digits = text.replace(",", "").replace("_", "")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 12 and least <= int(digits) <= most):
            raise ScenarioError(
                f"'{word}: {text}' makes no sense: {least:,} to {most:,} are possible", self.place_of(word)
            )
        return int(digits)

    def one_of(self, word: str, known: Collection[str], default: str | None = None) -> str:
        """One of these words.

        Raises:
            ScenarioError: It is another.
        """
        text = self.text(word, default)
        if text not in known:
            raise ScenarioError(f"{text!r} is no {word}{nearest(text, known)}", self.place_of(word))
        return text
