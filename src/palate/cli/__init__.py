"""The command line: thin commands over the rooms."""

from palate.heap import one_heap

one_heap()  # before the commands import libraries that start threads
