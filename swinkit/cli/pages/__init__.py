"""What commands show beyond a line: pages, charts, tables and verdicts in words. The commands themselves stand above this folder."""
