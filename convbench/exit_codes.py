"""With which exit code does a command end?"""

RIGHT = 0
WRONG = 1  # a wrong answer, a failure, or a regression
BAD_USAGE = 2  # of an option, a file or a value
NOTHING = 3  # nothing was verified or measured, or it is undecided

# What a shell reports for a program that a signal ended: 128 plus the signal's number.
INTERRUPTED = 128 + 2  # SIGINT
PIPE_CLOSED = 128 + 13  # SIGPIPE
