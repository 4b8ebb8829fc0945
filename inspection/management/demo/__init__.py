"""The main job as `make demo` runs it: the same services as the pages, step by step."""
