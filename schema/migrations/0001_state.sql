-- state.db, first version. Column names are the field names of service/brain/rows.h; words are those of
-- schema/names.h. The rules that must never break stand here as constraints and triggers, so
-- that no code, and no hand with an SQL shell, can break them:
--
--   one live attempt a job; one holder a slot and one slot a rank; one holder a port;
--   terminal and ended states absorb; attempt numbers, committed steps and counters only rise;
--   shards, checkpoints and results only from the job's current attempt;
--   a checkpoint only with all its shards; one job under a (project, idempotency key);
--   history is only added to.
--
-- Lists of words are written with OR: SQLite builds a table for each IN (...) of a CHECK, which took half the time
-- of a submit.

CREATE TABLE counters (
    name  TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO counters VALUES ('revision', 0), ('keys_released', 0);

CREATE TRIGGER counters_rise BEFORE UPDATE ON counters
WHEN NEW.value < OLD.value
BEGIN SELECT RAISE(ABORT, 'counter only rises'); END;

-- Why things ended. A table and not a CHECK, so that a later version adds a word by an INSERT.
CREATE TABLE reasons (
    word TEXT PRIMARY KEY NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO reasons VALUES
    ('none'), ('done'), ('bad_spec'), ('bad_data'), ('peer_lost'), ('internal_error'), ('device_fault'),
    ('cannot_write'), ('stopped'), ('fenced'), ('killed_by_signal'), ('out_of_memory'), ('hang'),
    ('node_lost'), ('node_rebooted'), ('node_fenced'), ('runner_lost'), ('start_failed'),
    ('start_timeout'), ('port_in_use'), ('data_missing'), ('checkpoint_corrupt'), ('no_result'),
    ('drained'), ('preempted'), ('cancelled'), ('time_limit'), ('restarts_exhausted'), ('crash_loop');

CREATE TABLE projects (
    name          TEXT PRIMARY KEY NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO projects VALUES ('default', 0);

CREATE TABLE nodes (
    id           TEXT PRIMARY KEY NOT NULL,
    revision     INTEGER NOT NULL,
    hostname     TEXT NOT NULL,
    address      TEXT NOT NULL,
    boot_id      TEXT NOT NULL,
    numerics     TEXT NOT NULL,
    version      TEXT NOT NULL,
    labels       TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state = 'ready' OR state = 'draining' OR state = 'lost'),
    drain        INTEGER NOT NULL CHECK (drain IN (0, 1)),
    cpu_count    INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL,
    port_first   INTEGER NOT NULL,
    port_last    INTEGER NOT NULL,
    joined_at_ms INTEGER NOT NULL,
    lost_at_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Credentials. Of a secret only its SHA-256 is kept.
CREATE TABLE tokens (
    id            TEXT PRIMARY KEY NOT NULL,
    role          TEXT NOT NULL CHECK (role = 'viewer' OR role = 'submitter' OR role = 'operator'
                                OR role = 'node'),
    project       TEXT REFERENCES projects (name),
    name          TEXT NOT NULL,
    node          TEXT REFERENCES nodes (id),
    sha256        BLOB NOT NULL CHECK (length(sha256) = 32),
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    revoked_at_ms INTEGER NOT NULL,
    CHECK ((role = 'node') = (node IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_node ON tokens (node) WHERE node IS NOT NULL;

CREATE TRIGGER tokens_revoked BEFORE UPDATE ON tokens
WHEN OLD.revoked_at_ms <> 0 AND NEW.revoked_at_ms <> OLD.revoked_at_ms
BEGIN SELECT RAISE(ABORT, 'token is revoked'); END;

CREATE TABLE join_tokens (
    id            TEXT PRIMARY KEY NOT NULL,
    sha256        BLOB NOT NULL CHECK (length(sha256) = 32),
    created_by    TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    used_by       TEXT REFERENCES nodes (id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER join_tokens_once BEFORE UPDATE ON join_tokens
WHEN OLD.used_by IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'join token is used'); END;

CREATE TABLE datasets (
    name          TEXT PRIMARY KEY NOT NULL,
    path          TEXT NOT NULL,
    created_by    TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Large texts stand last, so that reading the others never touches their overflow pages.
CREATE TABLE jobs (
    number                  INTEGER PRIMARY KEY,
    id                      TEXT NOT NULL UNIQUE,
    name                    TEXT NOT NULL,
    project                 TEXT NOT NULL REFERENCES projects (name),
    dataset                 TEXT NOT NULL,
    ranks                   INTEGER NOT NULL CHECK (ranks > 0),
    wanted_device           TEXT NOT NULL CHECK (wanted_device = '' OR wanted_device = 'cpu' OR wanted_device = 'cuda'),
    priority                INTEGER NOT NULL,
    time_limit_ms           INTEGER NOT NULL,
    max_restarts            INTEGER NOT NULL,
    max_infra_restarts      INTEGER NOT NULL,
    hang_timeout_ms         INTEGER NOT NULL,
    orphan_timeout_ms       INTEGER NOT NULL,
    keep_last               INTEGER NOT NULL,
    total_steps             INTEGER NOT NULL,
    fenced                  INTEGER NOT NULL CHECK (fenced IN (0, 1)),
    stop_on_controller_loss INTEGER NOT NULL CHECK (stop_on_controller_loss IN (0, 1)),
    created_at_ms           INTEGER NOT NULL,
    body_sha256             TEXT NOT NULL,
    spec_sha256             TEXT NOT NULL,
    retry_of                TEXT NOT NULL,
    submitted_by            TEXT NOT NULL,
    idempotency_key         TEXT NOT NULL,

    revision                INTEGER NOT NULL,
    state                   TEXT NOT NULL CHECK (state = 'queued' OR state = 'starting' OR state = 'running'
                                OR state = 'recovering' OR state = 'cancelling' OR state = 'succeeded'
                                OR state = 'failed' OR state = 'cancelled'),
    reason                  TEXT NOT NULL REFERENCES reasons (word),
    detail                  TEXT NOT NULL,
    attempt                 INTEGER NOT NULL CHECK (attempt >= 0),
    device                  TEXT NOT NULL CHECK (device = '' OR device = 'cpu' OR device = 'cuda'),
    numerics                TEXT NOT NULL,
    bit_exact               INTEGER NOT NULL CHECK (bit_exact IN (0, 1)),
    committed_step          INTEGER NOT NULL CHECK (committed_step >= 0),
    resume_step             INTEGER NOT NULL,
    lost_steps              INTEGER NOT NULL,
    restarts                INTEGER NOT NULL,
    infra_restarts          INTEGER NOT NULL,
    ends_without_checkpoint INTEGER NOT NULL,
    crash_step              INTEGER NOT NULL,
    crash_reason            TEXT NOT NULL REFERENCES reasons (word),
    checkpoint_request      INTEGER NOT NULL,
    cancel_requested        INTEGER NOT NULL CHECK (cancel_requested IN (0, 1)),
    started_at_ms           INTEGER NOT NULL,
    ended_at_ms             INTEGER NOT NULL,
    model_sha256            TEXT NOT NULL,
    model_file_sha256       TEXT NOT NULL,
    model_bytes             INTEGER NOT NULL,
    result_attempt          INTEGER NOT NULL CHECK (result_attempt <= attempt),

    labels                  TEXT NOT NULL,
    metrics                 TEXT NOT NULL,
    spec                    TEXT NOT NULL,
    CHECK (state <> 'succeeded' OR (result_attempt > 0 AND result_attempt = attempt))
) STRICT;

CREATE INDEX jobs_by_state ON jobs (state, id);
CREATE INDEX jobs_by_project ON jobs (project, id);
CREATE UNIQUE INDEX jobs_by_key ON jobs (project, idempotency_key) WHERE idempotency_key <> '';

CREATE TRIGGER jobs_terminal BEFORE UPDATE ON jobs
WHEN OLD.state IN ('succeeded', 'failed', 'cancelled')
    AND (NEW.state <> OLD.state OR NEW.attempt <> OLD.attempt
         OR NEW.result_attempt <> OLD.result_attempt)
BEGIN SELECT RAISE(ABORT, 'terminal job'); END;

CREATE TRIGGER jobs_attempt_rises BEFORE UPDATE ON jobs
WHEN NEW.attempt < OLD.attempt
BEGIN SELECT RAISE(ABORT, 'attempt number only rises'); END;

-- A committed step rises to one that is committed. It falls only to the newest one left, after
-- a damaged checkpoint has been deleted.
CREATE TRIGGER jobs_committed_rises BEFORE UPDATE ON jobs
WHEN NEW.committed_step <> OLD.committed_step
BEGIN
    SELECT RAISE(ABORT, 'committed step only rises')
    WHERE NEW.committed_step < OLD.committed_step
        AND EXISTS (SELECT 1 FROM checkpoints WHERE job = NEW.id AND step > NEW.committed_step);
    SELECT RAISE(ABORT, 'committed step without checkpoint')
    WHERE NEW.committed_step > 0
        AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE job = NEW.id AND step = NEW.committed_step);
END;

CREATE TRIGGER jobs_result_current BEFORE UPDATE ON jobs
WHEN NEW.result_attempt <> OLD.result_attempt AND NEW.result_attempt <> NEW.attempt
BEGIN SELECT RAISE(ABORT, 'result of a stale attempt'); END;

CREATE TRIGGER jobs_result_once BEFORE UPDATE ON jobs
WHEN OLD.result_attempt <> 0 AND NEW.result_attempt = OLD.result_attempt
    AND (NEW.model_sha256 <> OLD.model_sha256 OR NEW.model_file_sha256 <> OLD.model_file_sha256)
BEGIN SELECT RAISE(ABORT, 'result is recorded'); END;

CREATE TRIGGER jobs_request_fixed BEFORE UPDATE OF id, project, name, spec, spec_sha256 ON jobs
BEGIN SELECT RAISE(ABORT, 'request is immutable'); END;

CREATE TABLE attempts (
    job              TEXT NOT NULL REFERENCES jobs (id),
    attempt          INTEGER NOT NULL CHECK (attempt > 0),
    world_size       INTEGER NOT NULL CHECK (world_size > 0),
    master_address   TEXT NOT NULL,
    master_port      INTEGER NOT NULL,
    secret           TEXT NOT NULL,
    state            TEXT NOT NULL CHECK (state = 'placed' OR state = 'running' OR state = 'stopping'
                                OR state = 'ended'),
    reason           TEXT NOT NULL REFERENCES reasons (word),
    detail           TEXT NOT NULL,
    resume_step      INTEGER NOT NULL,
    lost_steps       INTEGER NOT NULL,
    cause            TEXT NOT NULL REFERENCES reasons (word),
    fault_at_ms      INTEGER NOT NULL,
    detected_at_ms   INTEGER NOT NULL,
    fenced_at_ms     INTEGER NOT NULL,
    placed_at_ms     INTEGER NOT NULL,
    started_at_ms    INTEGER NOT NULL,
    first_step_at_ms INTEGER NOT NULL,
    ended_at_ms      INTEGER NOT NULL,
    PRIMARY KEY (job, attempt)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX attempts_one_live ON attempts (job) WHERE state <> 'ended';

CREATE TRIGGER attempts_rise BEFORE INSERT ON attempts
BEGIN
    SELECT RAISE(ABORT, 'attempt number only rises')
    WHERE EXISTS (SELECT 1 FROM attempts WHERE job = NEW.job AND attempt >= NEW.attempt)
        OR EXISTS (SELECT 1 FROM jobs WHERE id = NEW.job AND attempt > NEW.attempt);
    SELECT RAISE(ABORT, 'terminal job')
    WHERE EXISTS (SELECT 1 FROM jobs WHERE id = NEW.job
                  AND state IN ('succeeded', 'failed', 'cancelled'));
END;

CREATE TRIGGER attempts_forward BEFORE UPDATE ON attempts
WHEN NEW.state <> OLD.state
    AND (OLD.state = 'ended' OR NEW.state = 'placed'
         OR (OLD.state = 'stopping' AND NEW.state = 'running'))
BEGIN SELECT RAISE(ABORT, 'attempt only goes forward'); END;

CREATE TABLE ranks (
    job         TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    rank        INTEGER NOT NULL CHECK (rank >= 0),
    node        TEXT NOT NULL REFERENCES nodes (id),
    slot        TEXT NOT NULL,
    pid         INTEGER NOT NULL,
    ended       INTEGER NOT NULL CHECK (ended IN (0, 1)),
    exit_code   INTEGER NOT NULL,
    exit_signal INTEGER NOT NULL,
    exit_oom    INTEGER NOT NULL CHECK (exit_oom IN (0, 1)),
    exit_reason TEXT NOT NULL REFERENCES reasons (word),
    PRIMARY KEY (job, attempt, rank),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX ranks_not_ended ON ranks (job, attempt) WHERE ended = 0;

CREATE TRIGGER ranks_ended BEFORE UPDATE ON ranks
WHEN OLD.ended = 1 AND NEW.ended = 0
BEGIN SELECT RAISE(ABORT, 'rank has ended'); END;

-- What a rank occupies. A holder is (job, attempt, rank); free: all three NULL.
CREATE TABLE slots (
    node         TEXT NOT NULL REFERENCES nodes (id),
    slot         TEXT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind = 'cpu' OR kind = 'cuda'),
    "index"      INTEGER NOT NULL,
    uuid         TEXT NOT NULL,
    name         TEXT NOT NULL,
    memory_bytes INTEGER NOT NULL,
    present      INTEGER NOT NULL CHECK (present IN (0, 1)),
    job          TEXT,
    attempt      INTEGER,
    rank         INTEGER,
    PRIMARY KEY (node, slot),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, attempt) DEFERRABLE INITIALLY DEFERRED,
    CHECK ((job IS NULL) = (attempt IS NULL) AND (job IS NULL) = (rank IS NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX slots_one_each_rank ON slots (job, attempt, rank) WHERE job IS NOT NULL;

CREATE TRIGGER slots_one_holder BEFORE UPDATE ON slots
WHEN OLD.job IS NOT NULL AND NEW.job IS NOT NULL
    AND (OLD.job, OLD.attempt, OLD.rank) <> (NEW.job, NEW.attempt, NEW.rank)
BEGIN SELECT RAISE(ABORT, 'slot is held'); END;

CREATE TRIGGER slots_taken_by_live BEFORE UPDATE ON slots
WHEN OLD.job IS NULL AND NEW.job IS NOT NULL
    AND EXISTS (SELECT 1 FROM attempts WHERE job = NEW.job AND attempt = NEW.attempt
                AND state = 'ended')
BEGIN SELECT RAISE(ABORT, 'slot for an ended attempt'); END;

CREATE TRIGGER slots_held_stay BEFORE DELETE ON slots
WHEN OLD.job IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'slot is held'); END;

CREATE TABLE ports (
    address TEXT NOT NULL,
    port    INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    job     TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    PRIMARY KEY (address, port),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, attempt) DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;

-- Pieces of checkpoints whose bytes are durable; committed once `checkpoints` has their step.
CREATE TABLE shards (
    job     TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    step    INTEGER NOT NULL CHECK (step > 0),
    shard   INTEGER NOT NULL CHECK (shard >= 0),
    "of"    INTEGER NOT NULL,
    bytes   INTEGER NOT NULL,
    sha256  TEXT NOT NULL CHECK (length(sha256) = 64),
    node    TEXT NOT NULL REFERENCES nodes (id),
    PRIMARY KEY (job, attempt, step, shard),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, attempt),
    CHECK (shard < "of")
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
    job             TEXT NOT NULL,
    attempt         INTEGER NOT NULL,
    step            INTEGER NOT NULL CHECK (step > 0),
    shards          INTEGER NOT NULL CHECK (shards > 0),
    bytes           INTEGER NOT NULL,
    committed_at_ms INTEGER NOT NULL,
    lag_ms          INTEGER NOT NULL,
    PRIMARY KEY (job, step),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, attempt)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER shards_fence BEFORE INSERT ON shards
BEGIN
    SELECT RAISE(ABORT, 'shard of a stale attempt')
    WHERE NOT EXISTS (SELECT 1 FROM jobs, attempts
                      WHERE jobs.id = NEW.job AND jobs.attempt = NEW.attempt
                          AND jobs.state NOT IN ('succeeded', 'failed', 'cancelled')
                          AND attempts.job = NEW.job AND attempts.attempt = NEW.attempt
                          AND attempts.state <> 'ended');
END;

CREATE TRIGGER shards_fixed BEFORE UPDATE ON shards
BEGIN SELECT RAISE(ABORT, 'shard is immutable'); END;

CREATE TRIGGER shards_committed_stay BEFORE DELETE ON shards
WHEN EXISTS (SELECT 1 FROM checkpoints
             WHERE job = OLD.job AND step = OLD.step AND attempt = OLD.attempt)
BEGIN SELECT RAISE(ABORT, 'shard is committed'); END;

CREATE TRIGGER checkpoints_fence BEFORE INSERT ON checkpoints
BEGIN
    SELECT RAISE(ABORT, 'checkpoint of a stale attempt')
    WHERE NOT EXISTS (SELECT 1 FROM jobs, attempts
                      WHERE jobs.id = NEW.job AND jobs.attempt = NEW.attempt
                          AND jobs.state NOT IN ('succeeded', 'failed', 'cancelled')
                          AND attempts.job = NEW.job AND attempts.attempt = NEW.attempt
                          AND attempts.state <> 'ended');
    SELECT RAISE(ABORT, 'committed step only rises')
    WHERE EXISTS (SELECT 1 FROM checkpoints WHERE job = NEW.job AND step >= NEW.step)
        OR EXISTS (SELECT 1 FROM jobs WHERE id = NEW.job AND committed_step >= NEW.step);
    SELECT RAISE(ABORT, 'checkpoint without all its shards')
    WHERE NEW.shards <> (SELECT count(*) FROM shards
                         WHERE job = NEW.job AND attempt = NEW.attempt AND step = NEW.step
                             AND "of" = NEW.shards);
END;

CREATE TRIGGER checkpoints_fixed BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoint is immutable'); END;

-- Every transition with its time, actor and cause. `seq` counts within a job; job '' is for nodes.
CREATE TABLE job_events (
    job     TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    node    TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at_ms   INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    kind    TEXT NOT NULL,
    "from"  TEXT NOT NULL,
    "to"    TEXT NOT NULL,
    reason  TEXT NOT NULL REFERENCES reasons (word),
    detail  TEXT NOT NULL,
    PRIMARY KEY (job, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER job_events_fixed BEFORE UPDATE ON job_events
BEGIN SELECT RAISE(ABORT, 'history is immutable'); END;

CREATE TRIGGER job_events_stay BEFORE DELETE ON job_events
WHEN OLD.job <> ''
BEGIN SELECT RAISE(ABORT, 'history is immutable'); END;
