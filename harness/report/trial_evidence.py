"""What a trial left behind, as nodes: the work, the hidden tests' output, the sandbox, the files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from harness.analysis.tables import CandidateFacts, TrialRow
from harness.report.attempt_files import AttemptFiles
from harness.report.diff import diff_nodes
from harness.report.node import Element, el
from harness.report.text import count, duration, head_and_tail, size
from harness.schema.event import AnyEvent, ImageReady, SandboxClosed, SandboxStarted, VerifierEnded, WorkCollected
from harness.schema.result import JournalLine
from harness.schema.sandbox import ImageFacts, SandboxFacts, WorkReport

Pair = tuple[str, str | Element | None]
Kind = TypeVar("Kind", bound=AnyEvent)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSource:
    """All that a trial's page is made from. ``lines`` are the journal's on this trial, ``siblings`` all
    trials of its task."""

    row: TrialRow
    candidate: CandidateFacts
    lines: Sequence[JournalLine]
    events: Sequence[AnyEvent]
    files: AttemptFiles
    siblings: Sequence[TrialRow] = ()

    @property
    def secret_work(self) -> bool:
        """Whether the work is the reference solution's."""
        return self.candidate.agent == "oracle"

    def last(self, kind: type[Kind]) -> Kind | None:
        """Return the last event of a kind."""
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)


def evidence(source: TrialSource) -> Iterator[Element]:
    """Yield the sections for which there is evidence."""
    for section in (_work(source), _verifier(source), _sandbox(source), _record(source)):
        if section is not None:
            yield section


def pairs(values: Sequence[Pair], cls: str = "pairs") -> Element:
    """Return names with values; those without a value are left out."""
    return el("dl", [el("div", el("dt", name), el("dd", value)) for name, value in values if value], cls=cls)


def folded(title: str, text: str, *, is_open: bool = False) -> Element:
    """Fold a long text away; its middle is left out when it is very long."""
    attributes = {"open": ""} if is_open else {}
    return el("details", el("summary", title), long_text(text), **attributes)


def long_text(text: str) -> Element:
    """Return text as it was printed; its middle is left out when it is very long."""
    head, cut, tail = head_and_tail(text)
    gap = el("span", f"\n… {count(cut)} characters left out …\n", cls="gap") if cut else None
    return el("pre", head, gap, tail)


def _work(source: TrialSource) -> Element | None:
    collected = source.last(WorkCollected)
    if collected is None:
        return None
    work = collected.work
    if source.secret_work:
        note = el("p", "This is the reference solution; it is not shown.", cls="faint")
        return el("section", el("h3", "The work"), note)
    patch, total = source.files.patch()
    rest = total - len(patch.encode())
    return el(
        "section",
        el("h3", "The work"),
        _stat(work),
        list(diff_nodes(patch)) if patch else el("p", "The patch is empty.", cls="faint"),
        el("p", f"The patch has {size(total)}; its start is shown.", cls="faint") if rest > 0 else None,
        _changes(work),
        _services(collected),
        cls="work",
    )


def _stat(work: WorkReport) -> Element:
    files = "file" if work.files_changed == 1 else "files"
    return el(
        "p",
        f"{count(work.files_changed)} {files} below ",
        el("code", work.root),
        ", ",
        el("span", f"+{count(work.insertions)}", cls="plus"),
        " ",
        el("span", f"−{count(work.deletions)}", cls="minus"),
        " lines.",
    )


def _changes(work: WorkReport) -> Element | None:
    if not work.changes and not work.skipped:
        return None
    items = [el("li", f"{change.change} ", el("code", change.path)) for change in work.changes[:200]]
    items += [el("li", f"not in the patch: {text}") for text in work.skipped[:50]]
    total = max(work.changes_total, len(work.changes))
    return el(
        "details", el("summary", f"paths that differ from the image: {count(total)}"), el("ul", items, cls="plain")
    )


def _services(collected: WorkCollected) -> Element | None:
    if not collected.services:
        return None
    items = [
        el("li", f"{process.pid} {process.user} ", el("code", process.command)) for process in collected.services
    ]
    return el("details", el("summary", f"processes left running: {len(items)}"), el("ul", items, cls="plain"))


def _verifier(source: TrialSource) -> Element | None:
    ended = source.last(VerifierEnded)
    if ended is None:
        return None
    how = "Out of time" if ended.timed_out else f"Exit code {ended.exit_code}"
    rewards: list[Pair] = [(name, f"{value:g}") for name, value in (ended.rewards or {}).items()]
    title = f"output, {size(ended.output_bytes or len(ended.output.encode()))}"
    return el(
        "section",
        el("h3", "Hidden tests"),
        el("p", f"{how}, {duration(ended.duration_s)}."),
        pairs(rewards, "facts") if rewards else el("p", "They gave no reward.", cls="faint"),
        folded(title, ended.output, is_open=True) if ended.output else None,
    )


def _sandbox(source: TrialSource) -> Element | None:
    ready, started, closed = source.last(ImageReady), source.last(SandboxStarted), source.last(SandboxClosed)
    values: list[Pair] = _image(ready.image) if ready else []
    if started:
        values += [("directory", started.workdir), ("user", started.user or "the image's")]
    if closed:
        values += _resources(closed.facts)
    if not values:
        return None
    log = None
    if ready and ready.log:
        text, total = source.files.blob_tail(ready.log, 20_000)
        log = folded(f"build log, {size(total)}", text) if text else None
    return el("section", el("h3", "Sandbox"), pairs(values), log)


def _resources(facts: SandboxFacts) -> list[Pair]:
    memory = "unknown" if facts.memory_peak_mb is None else f"{facts.memory_peak_mb:,.0f} MiB at its peak"
    return [
        ("memory", f"{memory}{', killed for it' if facts.oom_killed else ''}"),
        ("processor", "unknown" if facts.cpu_s is None else f"{duration(facts.cpu_s)} used"),
    ]


def _image(image: ImageFacts) -> list[Pair]:
    bases = [
        el(
            "li",
            el("code", base.asked),
            " was replaced by ",
            el("code", base.used),
            f": {base.reason}. {base.differs}",
        )
        for base in image.substitutions
    ]
    trust = image.trust
    added = [f"certificates beyond the public ones: {trust.certificates}"] if trust.certificates else []
    built = f" in {duration(image.build_s)}" if image.build_s else ""
    return [
        ("image", image.asked or image.tag),
        ("origin", f"{image.origin}{built}"),
        ("image id", el("code", image.image_id)),
        ("note", image.note or None),
        ("base image", el("ul", bases, cls="plain") if bases else None),
        ("host settings", ", ".join([*added, *trust.index_settings]) or None),
    ]


def _record(source: TrialSource) -> Element:
    items = [el("li", el("code", name), f" {size(length)}") for name, length in source.files.listing()]
    kept = el("details", el("summary", f"files that were kept: {len(items)}"), el("ul", items, cls="plain"))
    where = el("p", "All of this attempt is in ", el("code", source.files.shown_as), " of the run's folder.")
    return el("section", el("h3", "Record"), where, kept if items else None, cls="record")
