"""The command line: options in, exit status out. 0 well, 1 something failed, 2 wrong usage or input, 130 interrupted."""
