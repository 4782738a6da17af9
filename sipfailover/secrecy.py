"""What must not leave this process by accident: its memory has passwords and the keys of certificates in it."""

import resource


def no_core_dumps() -> None:
    """Keep the memory out of core files from now on.

    A limit of 1 byte, and not of 0: the kernel writes no file below one page, and of the two only 1 also keeps it from
    giving the memory to a program (`core_pattern` with a pipe, as systemd-coredump and apport have it; core(5)).
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if most == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
