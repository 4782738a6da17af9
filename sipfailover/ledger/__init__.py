"""Evidence: every call, attempt, probe and change of health, in SQLite, and never in the way of a call.

    Ledger(path: str | None, wall: Callable[[float], datetime])     # None = keep nothing; ":memory:" = until the end
        keep=seconds                  # how long records are kept; None: for ever
    ledger.start()                    # starts the writer thread; never blocks, never raises
    ledger.record(fact)               # < 1 µs; drops and counts when the disk cannot follow
    ledger.problem -> str             # what the operator should know, empty when all is well
    ledger.flush(seconds) -> bool     # waits until what was recorded is written (tests, tools)
    ledger.close()                    # writes the rest, waits CLOSE_SECONDS at most

    Journal(path: str | None)         # the calls that must outlive us, beside it: see `journal`
    Safekeeping(journal, ledger, wall)  # and the facts that the history has not stored yet

`store` is the file (schema, versions, damage), `ledger` the thread in front of it, `queries` reads.
"""

from .journal import TIDY_EVERY as TIDY_EVERY
from .journal import Journal as Journal
from .ledger import Ledger as Ledger
from .queries import gaps as gaps
from .queries import last_calls as last_calls
from .queries import last_registration_changes as last_registration_changes
from .queries import last_trunk_changes as last_trunk_changes
from .queries import open_for_reading as open_for_reading
from .safekeeping import Safekeeping as Safekeeping
