"""Who works on a task: the oracle, the nop and the tool loop."""
