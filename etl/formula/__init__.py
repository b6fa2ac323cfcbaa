"""Formulas over columns: parsed by us, computed by Polars and by ONNX, never evaluated by Python.

Every value is a float64 or null; columns of strings can be compared with texts, which gives such a value. Null in any
operand gives null, and so does what is not defined (0 / 0, the logarithm of a negative number), except in `is_null`,
`fill_null` and the branch that `where` does not take. A comparison gives 1 or 0; a number counts as true when it is
not 0.
"""
