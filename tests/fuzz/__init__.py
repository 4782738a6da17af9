"""A fuzzer that is led by coverage: it keeps what reached new code, and damages that next.

    python -m tests.fuzz --seconds 600                  all targets, and what was found joins tests/corpus
    python -m tests.fuzz --target wire --count 3000000

`blocks` tells what an input reached, `mutation` damages, `targets` (wire, digest) and `conversation` (the engine) are
what eats inputs and judges what came of them. The corpus is one file a target, one input a line.
"""
