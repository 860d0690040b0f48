from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.errors import SettingsError
from harness.testing.players import Call, Fault, Player, Script, Turn, bundled_players, load_players

PLAYER = 'api = "anthropic-messages"\ndescription = "Looks twice."\ncontext_window = 50000\n'
SCRIPT = """
match = "port the parser"

[[turn]]
say = "First a look."
reasoning = "I do not know this tree."

[[turn.call]]
tool = "shell"
[turn.call.arguments]
command = '''
cat <<'END' > "a file"
\\n is not a line feed here
END
'''

[[turn]]
expect = "(?i)ok"
delay_s = 0.5

[[turn.fault]]
kind = "rate_limit"
times = 2
retry_after_s = 0.25

[[turn]]
say = "Done."
"""


def _folder(tmp_path: Path, *, player: str = PLAYER, script: str = SCRIPT) -> Path:
    folder = tmp_path / "players" / "careful"
    folder.mkdir(parents=True)
    (folder / "player.toml").write_text(player)
    (folder / "port-parser.toml").write_text(script)
    return folder.parent


def test_a_folder_becomes_a_player_with_its_scripts(tmp_path: Path) -> None:
    (player,) = load_players(_folder(tmp_path))
    assert (player.name, player.api, player.description) == ("careful", "anthropic-messages", "Looks twice.")
    assert player.context_window == 50_000
    (script,) = player.scripts
    assert script.name == "port-parser"
    first, second, last = script.turns
    assert first.reasoning == "I do not know this tree."
    command = "cat <<'END' > \"a file\"\n\\n is not a line feed here\nEND\n"
    assert first.calls == (Call("shell", {"command": command}),)
    assert (second.expect, second.delay_s) == ("(?i)ok", 0.5)
    assert second.faults == (Fault("rate_limit", times=2, retry_after_s=0.25),)
    assert last == Turn(say="Done.")


def test_the_fingerprint_changes_with_any_file(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (before,) = load_players(folder)
    assert load_players(folder) == (before,)
    (folder / "careful" / "port-parser.toml").write_text(SCRIPT.replace("Done.", "Done!"))
    (after,) = load_players(folder)
    assert after.fingerprint != before.fingerprint
    assert len(after.fingerprint) == 64


def test_the_fingerprint_of_a_player_made_in_code_follows_what_it_says() -> None:
    def made(say: str) -> Player:
        return Player("p", scripts=[Script(turns=[Turn(say=say)])])

    assert made("a").fingerprint == made("a").fingerprint != made("b").fingerprint


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('match = "x"\n[[turn]]\nsays = "hello"', r"turn\[1\] has an unknown key 'says'"),
        ('match = "x"\n[[turn]]\n[[turn.call]]\ntool = 3', r"turn\[1\]\.call\[1\]\.tool must be a string"),
        ('match = "x"\n[[turn]]\n[[turn.call]]\narguments = {}', r"call\[1\]\.tool must be the name of a tool"),
        ('match = "x"\n[[turn]]\nexpect = "("', "expect must be a regular expression"),
        ('match = "x"\n[[turn]]\n[[turn.fault]]\nkind = "gremlin"', r"fault\[1\]\.kind must be one of rate_limit"),
        ('match = "x"', r"there is no \[\[turn\]\]"),
        ('[[turn]]\nsay = "a"', "`match` is missing"),
        ("match = ", "cannot be read"),
    ],
)
def test_a_wrong_script_is_refused_with_file_and_place(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(SettingsError, match=rf"port-parser\.toml.*{said}"):
        load_players(_folder(tmp_path, script=script))


def test_a_wrong_player_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"player\.toml: api must be one of openai-responses"):
        load_players(_folder(tmp_path, player='api = "telepathy"'))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="There is no folder"):
        load_players(tmp_path / "nowhere")


def test_the_longest_phrase_wins_and_line_breaks_do_not_matter() -> None:
    wide, narrow = Script(turns=[Turn()], match="the tool"), Script(turns=[Turn()], match="the tool\nof steel")
    player = Player("p", scripts=[wide, narrow])
    assert player.script_for("Mend the tool of  steel, please.") is narrow
    assert player.script_for("Mend the tool of wood, please.") is wide
    assert player.script_for("Sing.") is None


def test_the_bundled_players_can_be_read() -> None:
    for player in bundled_players():
        assert player.scripts
        assert player.fingerprint


def test_the_example_of_the_documentation_is_a_player(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "scripted-players.md").read_text()
    player, script, fault = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (read,) = load_players(_folder(tmp_path, player=player, script=script + fault))
    assert read.scripts[0].fits("Please port\nthe parser.")
    first, second, last = read.scripts[0].turns
    assert [call.tool for turn in (first, second, last) for call in turn.calls] == ["shell", "submit"]
    assert last.faults == (Fault("rate_limit", times=2),)


def test_a_fault_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(SettingsError, match="Unknown fault kind 'gremlin'"):
        Fault("gremlin")  # type: ignore[arg-type]
