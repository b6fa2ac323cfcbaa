"""Reading raw tables: files are found and checked, and become lazy frames whose errors name a file and a line."""

from etl.read.tables import Table, open_table

__all__ = ["Table", "open_table"]
