"""Pure: what a model is shown, folded from the events of its attempt."""

from harness.context.conversation import Conversation

__all__ = ["Conversation"]
