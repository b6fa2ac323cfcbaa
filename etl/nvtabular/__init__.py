"""NVTabular run for real: a plan compiled to its workflow, its fit taken over, its output compared with what is served.

It runs in a process of its own, in whatever environment holds it; `etl.engines.nvtabular` drives it.
"""
