-- telemetry.db, first version: what trainers say, bounded. See service/store/telemetry.h.

-- A job that said something. `number` stands for its id everywhere else.
CREATE TABLE jobs (
    number     INTEGER PRIMARY KEY,
    job        TEXT NOT NULL UNIQUE,
    last_at_ms INTEGER NOT NULL,
    series     INTEGER NOT NULL,
    texts      INTEGER NOT NULL
) STRICT;

CREATE INDEX jobs_by_age ON jobs (last_at_ms);

-- How far each rank was heard: repeats are known by seq.
CREATE TABLE streams (
    job     INTEGER NOT NULL REFERENCES jobs (number),
    attempt INTEGER NOT NULL,
    rank    INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    step    INTEGER NOT NULL,
    "of"    INTEGER NOT NULL,
    epoch   INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    PRIMARY KEY (job, attempt, rank)
) STRICT, WITHOUT ROWID;

-- A metric of a rank. Its chunks are 0..last_chunk; `points` are in all of them together.
CREATE TABLE series (
    number     INTEGER PRIMARY KEY,
    job        INTEGER NOT NULL REFERENCES jobs (number),
    name       TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    rank       INTEGER NOT NULL,
    points     INTEGER NOT NULL,
    last_chunk INTEGER NOT NULL,
    last_step  INTEGER NOT NULL,
    last_value REAL NOT NULL,
    UNIQUE (job, name, attempt, rank)
) STRICT;

-- Points as they came: pairs of a little-endian 64-bit step and an IEEE double. Only the last one grows.
CREATE TABLE chunks (
    series INTEGER NOT NULL,
    chunk  INTEGER NOT NULL,
    data   BLOB NOT NULL CHECK (length(data) % 16 = 0),
    PRIMARY KEY (series, chunk)
) STRICT, WITHOUT ROWID;

-- What is worth reading: started, warning, finished.
CREATE TABLE texts (
    job     INTEGER NOT NULL REFERENCES jobs (number),
    attempt INTEGER NOT NULL,
    rank    INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    step    INTEGER NOT NULL,
    word    TEXT NOT NULL,
    text    TEXT NOT NULL,
    PRIMARY KEY (job, attempt, rank, seq)
) STRICT, WITHOUT ROWID;
