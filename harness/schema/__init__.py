"""Frozen records that cross a file, a process or the network. Versioned, typed, without I/O."""
