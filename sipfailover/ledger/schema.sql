-- The evidence. Times are milliseconds since 1970 UTC (…_ms), durations milliseconds (…_after_ms).
-- Its version is PRAGMA user_version. A file of an older version gets the parts that it lacks, each as one transaction,
-- when it is opened (store.py); one of a newer version is refused. A part that was released is never changed.

-- version 1

-- One row per start of the process: call numbers count from 1 in each run.
CREATE TABLE runs (
    run        INTEGER PRIMARY KEY,
    started_ms INTEGER NOT NULL,
    ended_ms   INTEGER              -- NULL: still running, or it did not end in an orderly way
) STRICT;

CREATE TABLE calls (
    run              INTEGER NOT NULL REFERENCES runs,
    call             INTEGER NOT NULL,
    direction        TEXT    NOT NULL,   -- outbound | inbound
    caller           TEXT    NOT NULL,
    called           TEXT    NOT NULL,
    result           TEXT    NOT NULL,   -- answered | busy | no answer | cancelled | rejected | refused | trunk failed
    status           INTEGER NOT NULL,   -- what the calling side was told
    trunk            TEXT    NOT NULL,   -- '' when none could carry it
    first_choice     TEXT    NOT NULL,
    rerouted         INTEGER NOT NULL,   -- 0 | 1
    attempts         INTEGER NOT NULL,
    started_ms       INTEGER NOT NULL,
    ringing_after_ms INTEGER,
    answered_ms      INTEGER,
    ended_ms         INTEGER NOT NULL,
    ended_by         TEXT    NOT NULL,
    call_id          TEXT    NOT NULL,   -- as the calling side knows it
    PRIMARY KEY (run, call)
) STRICT;

-- The last calls on the page, the calls of one month in the report, and retention.
CREATE INDEX calls_by_time ON calls (started_ms);
-- "Why did this call go over the backup?", asked with the Call-ID from the PBX's log.
CREATE INDEX calls_by_call_id ON calls (call_id);

CREATE TABLE attempts (
    run              INTEGER NOT NULL REFERENCES runs,
    call             INTEGER NOT NULL,
    number           INTEGER NOT NULL,   -- rung of the ladder, from 1
    trunk            TEXT    NOT NULL,
    outcome          TEXT    NOT NULL,
    status           INTEGER NOT NULL,   -- final SIP status, 0 when there was none
    reason           TEXT    NOT NULL,
    verdict          TEXT    NOT NULL,   -- relayed | next trunk | next address | own number | gave up | hedged | overtaken
    sent_ms          INTEGER NOT NULL,
    ringing_after_ms INTEGER,
    ended_after_ms   INTEGER NOT NULL,
    remote           TEXT    NOT NULL,
    call_id          TEXT    NOT NULL,   -- as the carrier knows it
    PRIMARY KEY (run, call, number)      -- the ladder of one call, in order
) STRICT;

-- Answer ratio and failures of one trunk in an hour or a month.
CREATE INDEX attempts_by_trunk ON attempts (trunk, sent_ms);
-- The carrier asks about a call by its own Call-ID.
CREATE INDEX attempts_by_call_id ON attempts (call_id);

CREATE TABLE trunk_changes (
    id     INTEGER PRIMARY KEY,
    run    INTEGER NOT NULL REFERENCES runs,
    at_ms  INTEGER NOT NULL,
    trunk  TEXT    NOT NULL,
    before TEXT    NOT NULL,
    after  TEXT    NOT NULL,             -- Up | Suspect | Down | Trial
    why    TEXT    NOT NULL
) STRICT;

-- Availability of one trunk: its changes in order of time.
CREATE INDEX trunk_changes_by_trunk ON trunk_changes (trunk, at_ms);

-- OPTIONS, folded: a row per trunk, minute and result instead of one per probe (400 days: 0.6 M rows a trunk).
CREATE TABLE probes_minute (
    trunk             TEXT    NOT NULL,
    minute_ms         INTEGER NOT NULL,  -- start of the minute
    result            TEXT    NOT NULL,  -- answered | timeout | refused | unreachable | fault
    probes            INTEGER NOT NULL,
    round_trips       INTEGER NOT NULL,  -- how many of them were measured
    round_trip_sum_us INTEGER NOT NULL,
    round_trip_max_us INTEGER NOT NULL,
    PRIMARY KEY (trunk, minute_ms, result)
) STRICT, WITHOUT ROWID;

-- version 2

-- Our registrations with the carriers.
CREATE TABLE registration_changes (
    id     INTEGER PRIMARY KEY,
    run    INTEGER NOT NULL REFERENCES runs,
    at_ms  INTEGER NOT NULL,
    trunk  TEXT    NOT NULL,
    before TEXT    NOT NULL,
    after  TEXT    NOT NULL,             -- Registering | Registered | Failed | Not used
    why    TEXT    NOT NULL,
    status INTEGER NOT NULL              -- of the carrier's answer, 0 when there was none
) STRICT;

CREATE INDEX registration_changes_by_trunk ON registration_changes (trunk, at_ms);

-- version 3

-- Which rule moved a trunk, and what it was seen by, a line each, the newest last.
ALTER TABLE trunk_changes ADD COLUMN rule TEXT NOT NULL DEFAULT '';
ALTER TABLE trunk_changes ADD COLUMN evidence TEXT NOT NULL DEFAULT '';
-- inbound: how calls come in over it, which moves none.
ALTER TABLE trunk_changes ADD COLUMN direction TEXT NOT NULL DEFAULT 'outbound';

-- version 4

-- Calls for help, 0 | 1: those that one looks at first.
ALTER TABLE calls ADD COLUMN emergency INTEGER NOT NULL DEFAULT 0;

-- version 5

-- Which configuration was in effect when, and files that were refused.
CREATE TABLE configs (
    id          INTEGER PRIMARY KEY,
    run         INTEGER NOT NULL REFERENCES runs,
    at_ms       INTEGER NOT NULL,
    fingerprint TEXT    NOT NULL,        -- of what is in effect from then on; secrets are not in it
    good        INTEGER NOT NULL,        -- 0: a file was refused, and what was in effect stayed
    changes     TEXT    NOT NULL,        -- a line each; of a refused file what is wrong with it; '' at the start
    who         TEXT    NOT NULL         -- '' at the start
) STRICT;

CREATE INDEX configs_by_time ON configs (at_ms);

-- What people ordered, and orders that ended by themselves.
CREATE TABLE operator_actions (
    id       INTEGER PRIMARY KEY,
    run      INTEGER NOT NULL REFERENCES runs,
    at_ms    INTEGER NOT NULL,
    who      TEXT    NOT NULL,           -- '' when nobody said it, or its time was over
    action   TEXT    NOT NULL,           -- enabled | draining | off | used | release | reload | drain
    trunk    TEXT    NOT NULL,           -- or PBX; '' for all
    why      TEXT    NOT NULL,
    until_ms INTEGER                     -- when the order ends by itself
) STRICT;

CREATE INDEX operator_actions_by_time ON operator_actions (at_ms);

-- version 6

-- Why it began, where that was not simply its turn: "hedge: ...", with the clock.
ALTER TABLE attempts ADD COLUMN why TEXT NOT NULL DEFAULT '';

-- version 7

-- When a run was seen alive last, every few seconds: after a kill, until when it was there. NULL: of an older version.
ALTER TABLE runs ADD COLUMN alive_ms INTEGER;
