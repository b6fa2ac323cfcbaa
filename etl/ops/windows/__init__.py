"""Operators that look at other rows: the events of the same key, in order of time. See `etl.ops.windows.base`."""
