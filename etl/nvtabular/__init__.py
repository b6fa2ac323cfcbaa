"""NVTabular run for real: a plan compiled to its workflow, its fit taken over, its output compared with what is served.

`etl.engines.nvtabular` drives this. The package `nvtabular` is imported only here and in the operators' faces.
"""
