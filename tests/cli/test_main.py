"""The manners of every command: exit codes, messages, full disks, closed pipes, Ctrl-C."""

from __future__ import annotations

import errno
import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medgrid.cli import main
from medgrid.cli.main import COMMANDS, cli
from tests.lab.prompt import ROOT, Prompt
from tests.lab.waiting import PATIENCE_S, linger, wait_for

HEAVY = {
    "alembic",
    "cryptography",
    "jsonschema",
    "nibabel",
    "numpy",
    "paramiko",
    "psycopg",
    "pydicom",
    "rich",
    "sqlalchemy",
    "tabulate",
    "yaml",
}


@pytest.mark.parametrize("words", [["--help"], ["--version"], []])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = f"""
import sys
from medgrid.cli.main import run
run({words!r})
found = sorted({{name.partition('.')[0] for name in sys.modules}} & {HEAVY!r})
sys.exit(' '.join(found) or 0)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert ran.returncode == 0, ran.stderr


def test_help_of_every_command(prompt: Prompt) -> None:
    """Every listed command is there, has help, and its short help is its first sentence."""
    for name, (_, _, summary) in COMMANDS.items():
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        assert command.help, name
        assert summary.endswith("."), name


def test_version(prompt: Prompt) -> None:
    ran = prompt("--version")
    assert (ran.code, ran.out, ran.err) == (0, "medgrid 0.1.0\n", "")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("wroker", "no such command 'wroker'; did you mean worker, broker, revoke?", "medgrid"),
        ("xyzzy", "no such command 'xyzzy'", "medgrid"),
        ("--frob", "no such option '--frob'", "medgrid"),
        ("worker lss", "no such command 'lss'; did you mean 'ls'?", "medgrid worker"),
        ("worker add", "missing argument 'NAME'", "medgrid worker add"),
        ("worker add w1 ssh://h --memory lots", None, "medgrid worker add"),
    ],
)
def test_what_cannot_be_understood(
    prompt: Prompt, words: str, message: str | None, hint: str
) -> None:
    ran = prompt(*words.split())
    assert (ran.code, ran.out) == (2, "")
    error, told = ran.err.splitlines()
    assert error == f"medgrid: error: {message}" or message is None
    assert told == f"medgrid: hint: see '{hint} --help'"


@pytest.mark.parametrize("words", [[], ["worker"]])
def test_nothing_said_shows_help_on_stderr(prompt: Prompt, words: list[str]) -> None:
    ran = prompt(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Usage: medgrid")
    assert "medgrid: error" not in ran.err


def test_errors_as_json(prompt: Prompt) -> None:
    ran = prompt("worker", "ls", "--json")
    assert (ran.code, ran.out) == (9, "")
    assert json.loads(ran.err) == {
        "schema": "medgrid.error/1",
        "error": "ConfigError",
        "message": f"no grid at {prompt.home}",
        "hint": "make one with 'medgrid init', or set MEDGRID_HOME",
        "exit_code": 9,
    }


def test_json_may_stand_before_the_command(grid_prompt: Prompt) -> None:
    before = grid_prompt.ok("--json", "worker", "ls").documents
    assert before == grid_prompt.ok("worker", "ls", "--json").documents
    assert before[0]["schema"] == "medgrid.worker/1"


def test_home_option_wins_over_the_environment(grid_prompt: Prompt, tmp_path: Path) -> None:
    ran = grid_prompt("--home", tmp_path / "other", "worker", "ls")
    assert ran.code == 9
    assert ran.err.startswith(f"medgrid: error: no grid at {tmp_path}/other\n")


@pytest.mark.parametrize("name", ["other", "my grid"])
def test_a_command_in_a_hint_is_for_the_home_that_was_named(
    prompt: Prompt, tmp_path: Path, name: str
) -> None:
    home = tmp_path / name
    for words in (["--home", home], [f"--home={home}"]):
        assert prompt(*words, "ls", "/").err.splitlines()[1] == (
            f"medgrid: hint: make one with 'medgrid --home {shlex.quote(str(home))} init', "
            "or set MEDGRID_HOME"
        )
    assert "'medgrid ls --help'" in prompt("--home", home, "ls", "--nonsense").err


def shell(prompt: Prompt, script: str) -> subprocess.CompletedProcess[str]:
    """Run a bash script whose ``medgrid`` is this one."""
    words = " ".join(f"'{word}'" for word in prompt.command())
    return subprocess.run(
        ["bash", "-c", f'medgrid() {{ {words} "$@"; }}; {script}'],
        env=prompt.environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize("words", ["worker ls", "worker ls --json", "init", "--help", "--version"])
def test_full_stdout_is_an_error(grid_prompt: Prompt, words: str) -> None:
    ran = shell(grid_prompt, f"medgrid {words} >/dev/full")
    assert ran.returncode == 1
    assert "the result cannot be written to stdout: no space left on device" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr


def test_closed_stdout_is_an_error(grid_prompt: Prompt) -> None:
    ran = shell(grid_prompt, "medgrid worker ls >&-")
    assert ran.returncode == 1
    assert ran.stderr == (
        "medgrid: error: the result cannot be written to stdout: bad file descriptor\n"
    )


def test_closed_stderr_and_stdin(grid_prompt: Prompt) -> None:
    ran = shell(grid_prompt, "medgrid worker ls <&- 2>&-")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("local\t")
    ran = shell(grid_prompt, "medgrid worker rm nobody 2>&-")
    assert ran.returncode == 4


@pytest.mark.parametrize("words", ["worker ls", "worker ls --json", "--help"])
def test_a_reader_that_goes_is_no_error(grid_prompt: Prompt, words: str) -> None:
    ran = shell(grid_prompt, f"medgrid {words} | true; exit ${{PIPESTATUS[0]}}")
    assert ran.returncode in (0, 141)
    assert ran.stderr == ""


def test_a_reader_that_goes_early(grid_prompt: Prompt) -> None:
    script = "medgrid completion bash | head -n 1 >/dev/null; exit ${PIPESTATUS[1]}"
    ran = shell(grid_prompt, script)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_foreign_error_is_told_without_its_text(prompt: Prompt) -> None:
    """The text of an unforeseen error may quote a patient's data, even with --debug."""
    code = """
import sys
import medgrid.cli.init as module
def broken(*args, **kwargs):
    raise ValueError("Doe^Jane")
import medgrid.actions.init
medgrid.actions.init.initialise = broken
from medgrid.cli.main import run
sys.exit(run(sys.argv[1:]))
"""
    for words in (["init"], ["--debug", "init"]):
        ran = subprocess.run(
            [sys.executable, "-c", code, *words],
            env=prompt.environ(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert ran.returncode == 1
        assert "medgrid: error: unexpected ValueError in init.py:" in ran.stderr
        assert "Doe" not in ran.stderr + ran.stdout
        assert ("File " in ran.stderr) == ("--debug" in words)


def _wait_for(prompt: Prompt) -> subprocess.Popen[str]:
    """A command that waits for more of its input."""
    child = prompt.start("stat", "-", stdin=subprocess.PIPE)
    calls = Path(f"/proc/{child.pid}/syscall")
    wait_for(lambda: calls.read_text().startswith("0 0x0 "), "the command to read its input")
    return child


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [
        (signal.SIGINT, 130, "medgrid: error: interrupted\n"),
        (signal.SIGTERM, 143, ""),
        (signal.SIGHUP, 129, ""),
    ],
)
def test_an_orderly_end_by_signal(
    grid_prompt: Prompt, number: signal.Signals, code: int, told: str
) -> None:
    old = signal.signal(number, signal.SIG_DFL)  # the tests themselves may run under nohup(1)
    try:
        child = _wait_for(grid_prompt)
    finally:
        signal.signal(number, old)
    child.send_signal(number)
    out, err = child.communicate(timeout=PATIENCE_S)
    assert (child.returncode, out, err) == (code, "", told)


def test_a_hangup_that_is_ignored_stays_ignored(grid_prompt: Prompt) -> None:
    """As nohup(1) makes it."""
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        child = _wait_for(grid_prompt)
    finally:
        signal.signal(signal.SIGHUP, old)
    child.send_signal(signal.SIGHUP)
    linger(0.3, "a command that does not ignore it ends now")
    assert child.poll() is None
    child.communicate("", timeout=PATIENCE_S)


def test_ctrl_c_on_a_terminal(grid_prompt: Prompt, tmp_path: Path) -> None:
    file = tmp_path / "empty.yaml"
    file.write_text("{}\n")
    ran = grid_prompt.on_terminal("apply", file, "--prune", interrupt_at="[y/N]: ")
    assert ran.code == 130
    assert ran.out.endswith("interrupted\n")
    assert len(grid_prompt.ok("worker", "ls").rows) == 1


def test_ctrl_c_before_anything_can_be_told() -> None:
    code = """
import medgrid.cli.main as command
from medgrid.__main__ import main
def interrupted(): raise KeyboardInterrupt
command._set_up_process = interrupted
main()
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")


@pytest.mark.parametrize("delay_s", [0.01, 0.03, 0.06, 0.1, 0.2])
def test_ctrl_c_at_any_moment(grid_prompt: Prompt, delay_s: float) -> None:
    """From the start of Python on: never a traceback of ours, never a wrong success."""
    child = grid_prompt.start("worker", "ls")
    linger(delay_s, "the signal comes at any moment")
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=PATIENCE_S)
    if "medgrid/cli" in err or "Traceback" not in err:
        assert child.returncode in (0, 130, -signal.SIGINT)  # the last before Python listens
        assert "Traceback" not in err
    elif "Exception ignored in" not in err:  # which Python says of its own, and goes on
        assert child.returncode != 0, "Python itself had not come to us yet"
    assert child.returncode != 0 or out.startswith("local\t")


def test_text_of_any_script(grid_prompt: Prompt, tmp_path: Path) -> None:
    """LFNs are UTF-8 also where nobody has set a locale, as in cron."""
    file = tmp_path / "notes.txt"
    file.write_text("notes")
    environ = grid_prompt.environ()
    env = {name: text for name, text in environ.items() if not name.startswith(("LC_", "LANG"))}

    def run(*words: str | Path) -> bytes:
        return subprocess.run(
            grid_prompt.command(*words),
            env=env,
            capture_output=True,
            check=True,
            timeout=PATIENCE_S,
        ).stdout

    assert run("register", file, "--to", "/trial/Größe") == "/trial/Größe\n".encode()
    assert run("ls", "/trial") == "/trial/Größe\n".encode()


def test_a_full_stderr_changes_no_exit_code(grid_prompt: Prompt) -> None:
    assert shell(grid_prompt, "medgrid query Nope=1 2>/dev/full").returncode == 2
    assert shell(grid_prompt, "medgrid query Nope=1 2>&-").returncode == 2


def test_a_directory_that_is_gone(grid_prompt: Prompt, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    ran = shell(grid_prompt, f"cd {tmp_path}/gone && rmdir ../gone && medgrid import . --to /x")
    assert (ran.returncode, ran.stderr) == (
        2,
        "medgrid: error: the current directory does not exist any more\n"
        "medgrid: hint: change to one that does\n",
    )


def test_a_list_of_failures_is_shown_to_the_quiet_and_to_programs(grid_prompt: Prompt) -> None:
    ran = grid_prompt("-q", "stat", "/no", "/none")
    assert (ran.code, ran.err) == (
        4,
        "medgrid: warning: no LFN /no\n"
        "medgrid: warning: no LFN /none\n"
        "medgrid: error: all 2 failed\n"
        "medgrid: hint: see 'medgrid ls' and 'medgrid query'\n",
    )
    ran = grid_prompt("stat", "/no", "/none", "--json")
    failures = [json.loads(line) for line in ran.err.splitlines()]
    assert failures[0] == {
        "schema": "medgrid.failure/1",
        "what": "/no",
        "error": "NotFound",
        "message": "no LFN /no",
        "exit_code": 4,
    }
    assert [one["schema"] for one in failures] == [
        "medgrid.failure/1",
        "medgrid.failure/1",
        "medgrid.error/1",
    ]


@pytest.mark.parametrize(
    ("exc", "reason"),
    [
        (OSError(errno.ENOSPC, "", "DOE^JANE.dcm"), "no space left on device"),
        (BlockingIOError(errno.EAGAIN, ""), "resource temporarily unavailable"),
        (MemoryError(), "cannot allocate memory"),
        (
            RuntimeError("can't start new thread"),
            "it may start no more threads and processes (ulimit -u)",
        ),
    ],
    ids=["disk", "processes", "memory", "threads"],
)
def test_what_a_host_has_not_enough_of_is_no_defect(
    exc: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "_stdout_error", lambda: None)
    problem = main._explain(exc)
    assert (problem.message, problem.code) == (f"the work cannot go on: {reason}", 7)
