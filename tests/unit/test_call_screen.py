from __future__ import annotations

import pytest

from lb_client.cli.call_screen import Screen
from tests.support.terminal import Terminal


@pytest.fixture(params=[(80, 24, 0), (80, 24, 23), (80, 24, 10), (80, 9, 8)], ids=["top", "bottom", "middle", "small"])
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Terminals whose cursor stands in several places."""
    columns, rows, used = request.param
    monkeypatch.setattr("lb_client.cli.call_screen.size_of", lambda _: (columns, rows))
    found = Terminal(columns, rows)
    found.write("".join(f"before {n}\n" for n in range(used)))
    return found


def shown(terminal: Terminal) -> list[str]:
    """Everything one can see or scroll back to, but what was there before."""
    return [line for line in [*terminal.history, *terminal.lines] if line and not line.startswith("before")]


def test_frames_replace_each_other(terminal: Terminal) -> None:
    with Screen(terminal) as screen:
        for height in (3, 5, 5, 2, 4):
            screen.draw(["head", *(f"row {n}" for n in range(height))])
            assert shown(terminal) == ["head", *(f"row {n}" for n in range(height))]
    assert shown(terminal) == []


def test_news_stay_above_the_frame(terminal: Terminal) -> None:
    with Screen(terminal) as screen:
        screen.draw(["head", "row"])
        screen.draw(["head", "row", "row"], above=["r4 joined", "r5 joined"])
        screen.draw(["head", "row"], above=["r4 left"])
        assert shown(terminal) == ["r4 joined", "r5 joined", "r4 left", "head", "row"]
    assert shown(terminal) == ["r4 joined", "r5 joined", "r4 left"]


def test_line_of_another_program_leaves_no_piece_of_a_frame_behind(terminal: Terminal) -> None:
    with Screen(terminal) as screen:
        screen.draw(["head 1", "row"])
        terminal.write("5 replicas serve after 0.09 s (3 before)\r\n")
        screen.draw(["head 2", "row", "row"], above=["r4 joined"])
        terminal.write("^C\r\n")
        screen.draw(["head 3", "row"])
        assert shown(terminal) == ["5 replicas serve after 0.09 s (3 before)", "r4 joined", "^C", "head 3", "row"]
    assert shown(terminal) == ["5 replicas serve after 0.09 s (3 before)", "r4 joined", "^C"]


def test_line_wider_than_the_terminal_is_cut_and_not_wrapped(terminal: Terminal) -> None:
    with Screen(terminal) as screen:
        for number in range(3):
            screen.draw([f"{number}" * 200, "row"])
            assert [line[0] for line in shown(terminal)] == [f"{number}", "r"]
            assert max(map(len, shown(terminal))) == 80
    terminal.write("x" * 81)
    assert len(shown(terminal)) == 2  # whoever writes next wraps as ever


def test_more_lines_than_the_terminal_has_are_cut(terminal: Terminal) -> None:
    with Screen(terminal) as screen:
        for _ in range(3):
            screen.draw([f"row {n}" for n in range(100)])
            assert shown(terminal)[0] == "row 0"
            assert shown(terminal)[-1].endswith(" more")
    assert shown(terminal) == []


def test_cursor_is_hidden_meanwhile_only(terminal: Terminal) -> None:
    with Screen(terminal) as screen:
        screen.draw(["head"])
        assert not terminal.cursor_shown
    assert terminal.cursor_shown
