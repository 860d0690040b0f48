"""Every error class of the harness: who caused it, whether another attempt may help, and what to do.

    HarnessError
    ├── SettingsError            the command, a settings file or the environment is wrong          exit 2
    │   └── UnknownNameError     a name that nothing answers to, with the near ones
    ├── TaskError                the task folder is wrong                                          exit 2
    ├── StoreError               the run folder cannot be used                                     exit 2
    │   ├── RunLockedError       another live process writes this run
    │   ├── RecordError          a file of the record is damaged or from a newer version
    │   └── DiskFullError        no space left; the run stops cleanly and resumes later
    ├── SandboxError
    │   ├── DaemonError          the Docker Engine is away or refuses us                 (retryable)
    │   ├── ImageError           an image could not be pulled or built
    │   ├── SandboxGoneError     the container was removed, killed or stopped under us   (retryable)
    │   ├── SessionError         the shell session cannot be used any more               (retryable)
    │   │   └── ShellLostError   the agent broke the shell it was given
    │   ├── HealthcheckError     the task's healthcheck never passed
    │   └── TransferError        files in or out of the sandbox: hostile, too big, missing
    ├── ModelError
    │   ├── ModelUnavailableError  overload, 5xx, rate limit, cut or stalled stream      (retryable)
    │   ├── ModelAccessError       key refused, model unknown to the provider
    │   ├── ModelQuotaError        the account has no money or quota left
    │   ├── ModelRequestError      the provider says that our request is wrong
    │   └── ContextOverflowError   the conversation is larger than the model's window
    ├── AgentError               the agent itself failed
    └── VerifierError            the verifier did not give a usable reward
        ├── VerifierTimeoutError
        ├── RewardMissingError
        ├── RewardEmptyError
        └── RewardInvalidError

The engine decides by ``cause`` and ``retryable``, never by a class's name or a message's text.
Expected ends (a limit reached, a refusal, a failed test) are values, not errors.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar, Literal

Cause = Literal["settings", "task", "sandbox", "model", "agent", "verifier", "harness"]

Reach = Literal["trial", "candidate", "run"]
"""How far a fault goes: this trial, every trial of its candidate, or every trial of the run."""

EXIT_OK = 0
EXIT_GATE_FAILED = 1
EXIT_USAGE = 2
EXIT_INCOMPLETE = 3
EXIT_NOT_ENOUGH_DATA = 4
EXIT_BUDGET = 5


class HarnessError(Exception):
    """A failure with a cause, a place and a way on.

    ``message`` says what happened and where, in one sentence. ``hint`` says what to do, or is empty.
    ``detail`` holds longer evidence (the end of a build log, a provider's body) and may span lines.
    """

    cause: ClassVar[Cause] = "harness"
    retryable: ClassVar[bool] = False
    reach: ClassVar[Reach] = "trial"
    exit_code: ClassVar[int] = EXIT_USAGE

    def __init__(self, message: str, *, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class SettingsError(HarnessError):
    """The command line, a settings file or the environment is wrong."""

    cause: ClassVar[Cause] = "settings"


class UnknownNameError(SettingsError):
    """A name that nothing answers to; the message lists the near ones."""

    def __init__(self, what: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        offer = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(names) or 'none'}."
        super().__init__(f"Unknown {what} {name!r}.", hint=f"{offer} {hint}".rstrip())


class TaskError(HarnessError):
    """A task folder is wrong; the message names the file and, where it can, the key and the line."""

    cause: ClassVar[Cause] = "task"


class StoreError(HarnessError):
    """The run folder cannot be used."""


class RunLockedError(StoreError):
    """Another live process writes this run."""


class RecordError(StoreError):
    """A file of the record is damaged, or was written by a newer version."""


class DiskFullError(StoreError):
    """No space left on the device that holds the record."""

    reach: ClassVar[Reach] = "run"


class SandboxError(HarnessError):
    """The sandbox failed; never the model's fault."""

    cause: ClassVar[Cause] = "sandbox"


class DaemonError(SandboxError):
    """The Docker Engine is away, or refuses us."""

    retryable = True
    reach: ClassVar[Reach] = "run"


class ImageError(SandboxError):
    """An image could not be pulled or built; ``detail`` holds the end of the build log."""


class SandboxGoneError(SandboxError):
    """The container was removed, killed or stopped from outside."""

    retryable = True


class SessionError(SandboxError):
    """The shell session cannot be used any more."""

    retryable = True


class ShellLostError(SessionError):
    """The shell cannot be started again in a sandbox where it once ran: the agent removed or broke something.

    The agent's doing, so its work is verified as it stands.
    """

    cause: ClassVar[Cause] = "agent"
    retryable: ClassVar[bool] = False


class HealthcheckError(SandboxError):
    """The task's healthcheck never passed."""

    cause: ClassVar[Cause] = "task"


class TransferError(SandboxError):
    """Files could not be moved in or out of the sandbox; nothing half-written is left on the host."""


class ModelError(HarnessError):
    """A model call failed.

    ``status`` is the HTTP status where there was one; ``retry_after_s`` what the provider asked for.
    """

    cause: ClassVar[Cause] = "model"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        detail: str = "",
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, detail=detail)
        self.status = status
        self.retry_after_s = retry_after_s


class ModelUnavailableError(ModelError):
    """Overload, a server error, a rate limit, or a stream that was cut or stalled."""

    retryable = True


class ModelAccessError(ModelError):
    """The key was refused, or the provider does not know the model."""

    reach: ClassVar[Reach] = "candidate"


class ModelQuotaError(ModelError):
    """The account has no money or quota left; every further call would fail too."""

    reach: ClassVar[Reach] = "candidate"


class ModelRequestError(ModelError):
    """The provider says that our request is wrong: a defect of the harness or of the settings."""


class ContextOverflowError(ModelError):
    """The conversation is larger than the model's window."""


class AgentError(HarnessError):
    """The agent itself failed."""

    cause: ClassVar[Cause] = "agent"


class VerifierError(HarnessError):
    """The verifier ran into trouble, or gave no usable reward."""

    cause: ClassVar[Cause] = "verifier"


class VerifierTimeoutError(VerifierError):
    """The hidden tests passed their time."""


class RewardMissingError(VerifierError):
    """Neither ``reward.json`` nor ``reward.txt`` was written."""


class RewardEmptyError(VerifierError):
    """The reward file is empty."""


class RewardInvalidError(VerifierError):
    """The reward file holds something else than finite numbers."""


def unwrapped(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one error that says what happened: task groups wrap it, however deep."""
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [errors]
    while waiting:
        error = waiting.pop(0)
        if isinstance(error, BaseExceptionGroup):
            waiting.extend(error.exceptions)
        else:
            leaves.append(error)
    return next((error for error in leaves if isinstance(error, HarnessError)), leaves[0])
