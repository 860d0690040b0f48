"""The commands and their options. Each command's work is imported on use, so that ``--help`` is instant."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="harness",
    help="Run coding agents on long tasks in Docker, score them with hidden tests, and report which to pick.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
tasks_app = typer.Typer(help="List, show, check and make tasks.", no_args_is_help=True)
app.add_typer(tasks_app, name="tasks")


class Network(StrEnum):
    """What sandboxes may reach."""

    NONE = "none"
    ALLOWLIST = "allowlist"
    PUBLIC = "public"


class Mode(StrEnum):
    """When something is done."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class ReportFormat(StrEnum):
    """What a report can be written as."""

    HTML = "html"
    MD = "md"
    JSON = "json"
    CSV = "csv"


RunDir = Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The folder of a run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
TaskPaths = Annotated[
    list[Path], typer.Argument(metavar="TASK_OR_FOLDER…", help="Task folders, or folders of them.")
]

LIMITS = "Limits of a trial"
RUNNING = "How it is run"


def _version(value: bool) -> None:
    if value:
        from harness.provenance import version_line

        print(version_line())
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and the commit.")
    ] = False,
) -> None:
    del version


@app.command()
def run(
    paths: TaskPaths,
    agent: Annotated[
        list[str] | None,
        typer.Option("-a", "--agent", help="oracle, nop, or loop (the default with -m). Repeatable."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "-m", "--model", metavar="PROVIDER/MODEL[,KEY=VALUE…]", help="A model to measure. Repeatable."
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option("-n", "--repeats", min=1, help="Trials of each task by each candidate.")
    ] = 1,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="RUN_DIR", help="Default: below runs/, named by the plan."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("-j", "--jobs", min=1, help="Trials at the same time. Default: one per CPU, up to 8."),
    ] = None,
    controls: Annotated[
        bool, typer.Option("--controls", help="Add the oracle and the nop, once per task.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="If this plan's run is complete, start another beside it.")
    ] = False,
    rerun: Annotated[
        list[str] | None, typer.Option("--rerun", metavar="infra", help="Try trials that ended so once more.")
    ] = None,
    max_turns: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=LIMITS, help="Replies of the model.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=LIMITS, help="Input and output tokens together.")
    ] = None,
    max_time: Annotated[
        float | None,
        typer.Option(min=1, rich_help_panel=LIMITS, help="Seconds of the agent, if the task allows more."),
    ] = None,
    max_trial_cost: Annotated[float | None, typer.Option(min=0, rich_help_panel=LIMITS, help="USD.")] = None,
    max_cost: Annotated[
        float | None, typer.Option(min=0, rich_help_panel=RUNNING, help="USD for the whole run; stops new trials.")
    ] = None,
    timeout_multiplier: Annotated[
        float, typer.Option(min=0.01, rich_help_panel=RUNNING, help="Multiplies the tasks' own time limits.")
    ] = 1.0,
    network: Annotated[
        Network | None, typer.Option(rich_help_panel=RUNNING, help="Tighten what tasks allow; never loosens.")
    ] = None,
    build: Annotated[
        Mode,
        typer.Option(rich_help_panel=RUNNING, help="Build a task's Dockerfile: if its image is not to be had."),
    ] = Mode.AUTO,
    host_settings: Annotated[
        Mode,
        typer.Option(
            rich_help_panel=RUNNING,
            help="Hand the host's certificates and package index on to builds and containers: if it needs them.",
        ),
    ] = Mode.AUTO,
    attempts: Annotated[
        int, typer.Option(min=1, rich_help_panel=RUNNING, help="Tries at a trial that infrastructure broke.")
    ] = 3,
    prompt: Annotated[
        Path | None, typer.Option(rich_help_panel=RUNNING, help="A prompt file for the loop, in place of its own.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and start nothing.")] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress on stderr.")] = False,
) -> None:
    """Run tasks with candidates; the same command again finishes what is left.

    Examples:

        harness run tasks/demo -m openai/gpt-5.2-codex -m anthropic/claude-opus-4-6 -n 3 --controls

        harness run path/to/terminal-bench/tasks -a oracle

        harness run tasks/demo -m compatible/qwen3-coder,base_url=http://127.0.0.1:8000/v1
    """
    from harness.cli.run import RunOptions, run_command
    from harness.resolving import RunRequest
    from harness.schema.candidate import Limits
    from harness.schema.plan import RunSettings

    limits = Limits(turns=max_turns, total_tokens=max_tokens, time_s=max_time, cost_usd=max_trial_cost)
    request = RunRequest(
        paths=tuple(paths),
        agents=tuple(agent or ()),
        models=tuple(model or ()),
        repeats=repeats,
        controls=controls,
        settings=RunSettings(
            limits=limits,
            timeout_multiplier=timeout_multiplier,
            network=network.value if network else None,
            build=build.value,
        ),
        prompt=prompt,
    )
    options = RunOptions(
        folder=output,
        again=again,
        jobs=jobs,
        attempts=attempts,
        max_cost_usd=max_cost,
        rerun=frozenset(rerun or ()),
        host_settings=host_settings.value,
        dry_run=dry_run,
        as_json=as_json,
        quiet=quiet,
    )
    raise typer.Exit(run_command(request, options))


@app.command()
def resume(
    run_dir: RunDir,
    jobs: Annotated[int | None, typer.Option("-j", "--jobs", min=1, help="Trials at the same time.")] = None,
    rerun: Annotated[
        list[str] | None, typer.Option("--rerun", metavar="infra", help="Try such trials again.")
    ] = None,
    max_cost: Annotated[float | None, typer.Option(min=0, help="USD for the whole run.")] = None,
    host_settings: Annotated[Mode, typer.Option(help="As in run.")] = Mode.AUTO,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress on stderr.")] = False,
) -> None:
    """Finish a run that was stopped, from its own plan."""
    from harness.cli.run import RunOptions, resume_command

    options = RunOptions(
        folder=run_dir,
        jobs=jobs,
        max_cost_usd=max_cost,
        rerun=frozenset(rerun or ()),
        host_settings=host_settings.value,
        as_json=as_json,
        quiet=quiet,
    )
    raise typer.Exit(resume_command(run_dir, options))


@app.command()
def results(run_dir: RunDir, as_json: AsJson = False) -> None:
    """Print one line per trial."""
    from harness.cli.results import results_command

    raise typer.Exit(results_command(run_dir, as_json=as_json))


@app.command()
def report(
    run_dir: RunDir,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: report.FORMAT in the run.")
    ] = None,
    report_format: Annotated[ReportFormat, typer.Option("--format", help="What to write.")] = ReportFormat.HTML,
) -> None:
    """Write the report of a run again, from its record."""
    from harness.cli.results import report_command

    raise typer.Exit(report_command(run_dir, output, report_format.value))


@app.command()
def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="Install and start what is missing, where that is possible.")
    ] = False,
    for_tests: Annotated[bool, typer.Option("--tests", help="Also look at what the test suite needs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is missing on this machine and what to do."""
    from harness.cli.doctor import doctor_command

    raise typer.Exit(doctor_command(fix=fix, for_tests=for_tests, as_json=as_json))


@app.command()
def ps(as_json: AsJson = False) -> None:
    """Show the sandboxes that are there, whose they are, and whether their run is alive."""
    from harness.cli.containers import ps_command

    raise typer.Exit(ps_command(as_json=as_json))


@app.command()
def clean() -> None:
    """Remove sandboxes that a dead run left; living runs are not touched. Every run does this at its start."""
    from harness.cli.containers import clean_command

    raise typer.Exit(clean_command())


@tasks_app.command("list")
def tasks_list(paths: TaskPaths, as_json: AsJson = False) -> None:
    """List tasks with their limits."""
    from harness.cli.tasks import list_command

    raise typer.Exit(list_command(paths, as_json=as_json))


@tasks_app.command("show")
def tasks_show(path: Annotated[Path, typer.Argument(metavar="TASK")], as_json: AsJson = False) -> None:
    """Show one task as the harness reads it."""
    from harness.cli.tasks import show_command

    raise typer.Exit(show_command(path, as_json=as_json))


@tasks_app.command("check")
def tasks_check(paths: TaskPaths, as_json: AsJson = False) -> None:
    """Check task folders; exit code 2 if one has an error."""
    from harness.cli.tasks import check_command

    raise typer.Exit(check_command(paths, as_json=as_json))


@tasks_app.command("new")
def tasks_new(folder: Annotated[Path, typer.Argument(metavar="FOLDER")]) -> None:
    """Make a small working task to start from."""
    from harness.cli.tasks import new_command

    raise typer.Exit(new_command(folder))
