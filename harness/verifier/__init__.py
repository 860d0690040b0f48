"""How hidden tests decide. Shared verification only, so far: in the agent's container, after the agent."""

from harness.verifier.shared import SharedVerifier

__all__ = ["SharedVerifier"]
