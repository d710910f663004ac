-- What time brings, and handing out runs.

-- When there will be something to do without anybody telling.
CREATE FUNCTION next_instant() RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    RETURN least(
        (SELECT due_at FROM runs WHERE ready = 0 ORDER BY due_at LIMIT 1),
        (SELECT expires_at FROM runs WHERE expires_at IS NOT NULL AND ready IS NOT NULL AND started_at IS NULL
         ORDER BY expires_at LIMIT 1),
        (SELECT opens_at FROM queues WHERE opens_at IS NOT NULL ORDER BY opens_at LIMIT 1)
    );
END $$;

-- Do what is due at `p_now`, up to `p_limit` of each kind; returns the runs that expired. Queues and runs that others
-- are busy with are left to them, or to the next call.
CREATE FUNCTION ripen(p_now bigint, p_limit integer) RETURNS SETOF runs
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    expiring bigint[];
    due bigint[];
    opening_apps text[];
    opening text[];
    held_apps text[];
    held text[];
BEGIN
    SELECT array_agg(seq) INTO expiring FROM (
        SELECT seq FROM runs
        WHERE expires_at IS NOT NULL AND ready IS NOT NULL AND started_at IS NULL AND expires_at <= p_now
        ORDER BY expires_at LIMIT p_limit
    ) AS each;
    SELECT array_agg(seq) INTO due FROM (
        SELECT seq FROM runs WHERE ready = 0 AND due_at <= p_now ORDER BY due_at LIMIT p_limit
    ) AS each;
    SELECT array_agg(app), array_agg(name) INTO opening_apps, opening FROM (
        SELECT app, name FROM queues WHERE opens_at <= p_now ORDER BY opens_at LIMIT p_limit
    ) AS each;
    SELECT array_agg(app), array_agg(name) INTO held_apps, held FROM (
        SELECT app, name FROM queues
        WHERE (app, name) IN (
            SELECT app, queue FROM runs WHERE seq = ANY (expiring || due) AND queue <> ''
            UNION SELECT * FROM unnest(opening_apps, opening)
        )
        ORDER BY app, name FOR UPDATE SKIP LOCKED
    ) AS each;
    RETURN QUERY UPDATE runs SET status = 'expired', ready = NULL, finished_at = p_now,
        why = 'it was not started before it expired'
    WHERE seq IN (
        SELECT seq FROM runs
        WHERE seq = ANY (expiring) AND ready IS NOT NULL AND started_at IS NULL
            AND (queue = '' OR (app, queue) IN (SELECT * FROM unnest(held_apps, held)))
        ORDER BY seq FOR UPDATE SKIP LOCKED
    )
    RETURNING *;
    UPDATE runs SET ready = 1, status = CASE status WHEN 'scheduled' THEN 'queued' ELSE status END
    WHERE seq IN (
        SELECT seq FROM runs
        WHERE seq = ANY (due) AND ready = 0
            AND (queue = '' OR (app, queue) IN (SELECT * FROM unnest(held_apps, held)))
        ORDER BY seq FOR UPDATE SKIP LOCKED
    );
    UPDATE queues SET opens_at = NULL
    WHERE opens_at <= p_now AND (app, name) IN (SELECT * FROM unnest(held_apps, held));
    PERFORM refresh(app, name) FROM unnest(held_apps, held) AS queue (app, name);
END $$;

-- The lane whose turn it is, of each task that has one: tasks are stepped through, lanes are not. Those in `p_skip` are
-- left out: each an app, a queue and a task, with a line feed between them.
CREATE FUNCTION heads(p_skip text[]) RETURNS TABLE (app text, task text, turn bigint, queue text)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    RETURN QUERY WITH RECURSIVE step AS (
        (SELECT lanes.app, lanes.task, lanes.turn, lanes.queue FROM lanes
         WHERE lanes.ready > 0 AND lanes.open AND lanes.loadable
            AND concat_ws(E'\n', lanes.app, lanes.queue, lanes.task) <> ALL (p_skip)
         ORDER BY lanes.app, lanes.task, lanes.turn, lanes.queue LIMIT 1)
        UNION ALL
        SELECT following.* FROM step, LATERAL (
            SELECT lanes.app, lanes.task, lanes.turn, lanes.queue FROM lanes
            WHERE lanes.ready > 0 AND lanes.open AND lanes.loadable AND (lanes.app, lanes.task) > (step.app, step.task)
                AND concat_ws(E'\n', lanes.app, lanes.queue, lanes.task) <> ALL (p_skip)
            ORDER BY lanes.app, lanes.task, lanes.turn, lanes.queue LIMIT 1
        ) AS following
    )
    SELECT * FROM step;
END $$;

-- Begin an attempt of the best run of this lane: 'started', 'gone' where there is nothing to start any more, or 'locked'
-- where somebody else is busy with the queue and the caller does not want to wait. Waiting is for callers that hold no
-- queue yet.
CREATE FUNCTION start_run(p_app text, p_task text, p_queue text, p_node text, p_token text, p_now bigint,
                          p_wait boolean)
RETURNS text LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    gate queues%ROWTYPE;
    chosen bigint;
    is_held boolean := FALSE;
    attempt integer;
BEGIN
    IF p_queue <> '' THEN
        IF p_wait THEN
            SELECT * INTO gate FROM queues WHERE app = p_app AND name = p_queue FOR UPDATE;
        ELSE
            SELECT * INTO gate FROM queues WHERE app = p_app AND name = p_queue FOR UPDATE SKIP LOCKED;
            IF NOT FOUND AND EXISTS (SELECT 1 FROM queues WHERE app = p_app AND name = p_queue) THEN
                RETURN 'locked';
            END IF;
        END IF;
        IF gate.name IS NOT NULL AND EXISTS (
            SELECT 1 FROM lanes
            WHERE app = p_app AND queue = p_queue AND task = p_task AND ready > 0 AND open AND loadable
        ) THEN
            SELECT runs.seq INTO chosen FROM holders JOIN runs ON runs.seq = holders.run
            WHERE holders.app = p_app AND holders.queue = p_queue AND runs.ready = 1 LIMIT 1;
            is_held := FOUND;
            IF NOT is_held THEN
                SELECT seq INTO chosen FROM runs
                WHERE app = p_app AND queue = p_queue AND task = p_task AND ready = 1
                ORDER BY priority DESC, seq LIMIT 1;
            END IF;
        END IF;
    ELSE
        SELECT seq INTO chosen FROM runs WHERE app = p_app AND queue = '' AND task = p_task AND ready = 1
        ORDER BY priority DESC, seq LIMIT 1 FOR UPDATE SKIP LOCKED;
        IF chosen IS NULL THEN
            PERFORM 1 FROM lanes WHERE app = p_app AND queue = '' AND task = p_task FOR UPDATE SKIP LOCKED;
            IF FOUND THEN
                DELETE FROM lanes WHERE app = p_app AND queue = '' AND task = p_task AND NOT EXISTS (
                    SELECT 1 FROM runs WHERE app = p_app AND queue = '' AND task = p_task AND ready = 1
                );
            END IF;
        END IF;
    END IF;
    IF chosen IS NULL THEN
        RETURN 'gone';
    END IF;
    IF p_queue <> '' AND NOT is_held THEN
        INSERT INTO holders (app, queue, slot, run, since)
        SELECT p_app, p_queue, min(free.slot), chosen, p_now
        FROM generate_series(0, gate.concurrency - 1) AS free (slot)
        WHERE NOT EXISTS (
            SELECT 1 FROM holders
            WHERE holders.app = p_app AND holders.queue = p_queue AND holders.slot = free.slot
        );
    END IF;
    UPDATE runs SET status = 'running', ready = NULL, attempt_count = attempt_count + 1,
        started_at = coalesce(started_at, p_now)
    WHERE seq = chosen RETURNING attempt_count INTO attempt;
    INSERT INTO attempts (run, number, token, node, started_at) VALUES (chosen, attempt, p_token, p_node, p_now);
    IF p_queue <> '' THEN
        UPDATE queues SET opens_at = p_now + interval_us WHERE app = p_app AND name = p_queue AND interval_us > 0;
        PERFORM refresh(p_app, p_queue);
        UPDATE lanes SET turn = nextval('turns') WHERE app = p_app AND queue = p_queue;
    ELSE
        -- Whoever moves the lane on at this moment moves it for both.
        UPDATE lanes SET turn = nextval('turns') WHERE app = p_app AND queue = '' AND task = (
            SELECT task FROM lanes WHERE app = p_app AND queue = '' AND task = p_task FOR NO KEY UPDATE SKIP LOCKED
        );
    END IF;
    RETURN 'started';
END $$;

-- The claims that have these tokens, as a JSON array in their order.
CREATE FUNCTION started(p_tokens text[]) RETURNS json LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    RETURN (
        SELECT json_agg(json_build_object(
            'run', runs, 'attempt', attempts.number, 'token', attempts.token, 'fence', attempts.fence,
            'parameters', run_parameters.parameters
        ) ORDER BY given.place)
        FROM unnest(p_tokens) WITH ORDINALITY AS given (token, place)
        JOIN attempts ON attempts.token = given.token AND attempts.finished_at IS NULL
        JOIN runs ON runs.seq = attempts.run
        JOIN run_parameters ON run_parameters.run = runs.seq
    );
END $$;

-- Begin an attempt for each token, of the runs that go next: of the node's tasks `p_app` and `p_task`, which need
-- `p_need` bytes each, while `p_free` last. One whose turn it is, but which needs more, ends the claim, or is passed if
-- `p_passes`. Where there is nothing else, somebody who is busy with a queue is waited for if `p_waits`. Slots go
-- round among files of tasks: `p_file` numbers the file of each task, and `p_served` says of each file when a run of it
-- was claimed last, the larger the later.
--
-- outcome    'done'; 'due' where something is to be ripened first, if `p_ripens`; 'buried' or 'draining' where the node
--            may not claim
-- claims     what `started` says of them
-- waiting    tasks that need more than is left, as a JSON array of apps and tasks, those first whose turn is first
-- is_busy    somebody else is busy with a queue that has something for the node
-- instant    when there will be more without anybody telling
CREATE FUNCTION claim(
    p_node text, p_now bigint, p_tokens text[], p_app text[], p_task text[], p_need bigint[], p_file integer[],
    p_served bigint[], p_free bigint, p_passes boolean, p_ripens boolean, p_waits boolean,
    OUT outcome text, OUT claims json, OUT waiting json, OUT is_busy boolean, OUT instant bigint
) LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    head record;
    busy record;
    may_claim boolean := FALSE;
    has_waited boolean := FALSE;
    count integer := 0;
    busy_count integer := 0;
    skip text[] := '{}';
    last bigint := (SELECT max(at) FROM unnest(p_served) AS served (at));
BEGIN
    instant := next_instant();
    IF p_ripens AND instant <= p_now THEN
        outcome := 'due';
        RETURN;
    END IF;
    WHILE count < cardinality(p_tokens) LOOP
        SELECT lane.app, lane.task, lane.queue, needed.need, needed.file INTO head
        FROM heads(skip) AS lane
        JOIN unnest(p_app, p_task, p_need, p_file) AS needed (app, task, need, file) USING (app, task)
        WHERE needed.need <= p_free OR NOT p_passes
        ORDER BY p_served[needed.file], lane.turn, lane.queue, lane.app, lane.task LIMIT 1;
        IF head.need <= p_free AND NOT may_claim THEN
            -- Who buries or drains a node waits for the claims under way, and they for that.
            SELECT CASE WHEN buried THEN 'buried' WHEN draining THEN 'draining' ELSE 'may claim' END INTO outcome
            FROM nodes WHERE id = p_node FOR KEY SHARE;
            may_claim := coalesce(outcome = 'may claim', FALSE);
            IF NOT may_claim THEN
                outcome := coalesce(outcome, 'buried');
                RETURN;
            END IF;
        END IF;
        IF head.need <= p_free THEN
            outcome := start_run(head.app, head.task, head.queue, p_node, p_tokens[count + 1], p_now, FALSE);
        ELSE
            SELECT json_agg(json_build_array(lane.app, lane.task)
                ORDER BY p_served[needed.file], lane.turn, lane.queue, lane.app, lane.task)
            INTO waiting
            FROM heads(skip) AS lane
            JOIN unnest(p_app, p_task, p_need, p_file) AS needed (app, task, need, file) USING (app, task)
            WHERE needed.need > p_free;
            EXIT WHEN waiting IS NOT NULL OR count > 0 OR busy_count = 0 OR has_waited OR NOT p_waits;
            -- There was nothing else: wait for the first that somebody was busy with.
            has_waited := TRUE;
            busy_count := busy_count - 1;
            head := busy;
            outcome := start_run(head.app, head.task, head.queue, p_node, p_tokens[1], p_now, TRUE);
        END IF;
        IF outcome = 'started' THEN
            count := count + 1;
            p_free := p_free - head.need;
            last := last + 1;
            p_served[head.file] := last;
        ELSE
            skip := skip || concat_ws(E'\n', head.app, head.queue, head.task);
            IF outcome = 'locked' THEN
                IF busy_count = 0 THEN
                    busy := head;
                END IF;
                busy_count := busy_count + 1;
            END IF;
        END IF;
    END LOOP;
    outcome := 'done';
    is_busy := busy_count > 0;
    IF count > 0 THEN
        claims := started(p_tokens[:count]);
        instant := next_instant();
    END IF;
END $$;
