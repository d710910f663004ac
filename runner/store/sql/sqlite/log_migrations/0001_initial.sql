-- Version 1 of the logs, kept in a database of their own so that they never share a commit with a claim.

CREATE TABLE logs (
    app TEXT NOT NULL,
    run TEXT NOT NULL,
    last_number INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (app, run)
) STRICT, WITHOUT ROWID;

CREATE INDEX logs_by_age ON logs (last_at);

CREATE TABLE log_lines (
    app TEXT NOT NULL,
    run TEXT NOT NULL,
    number INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    stream TEXT NOT NULL,
    level TEXT,
    text TEXT NOT NULL,
    continuation INTEGER NOT NULL,  -- of the line before it, which was long or slow to end
    PRIMARY KEY (app, run, number)
) STRICT, WITHOUT ROWID;
