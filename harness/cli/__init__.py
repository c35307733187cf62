"""The command line: options in, exit status out. 0 is well, 1 something failed, 2 wrong input, 130 interrupted."""
