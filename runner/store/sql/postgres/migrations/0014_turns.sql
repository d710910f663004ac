-- Version 14: slots go round among files of tasks, not among tasks. Nodes of the version before call the
-- functions of these names with fewer arguments.

-- As of version 10; besides, `p_file` numbers the file of each task, and `p_served` says of each file when a run of it
-- was claimed last, the larger the later.
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
            -- Nothing else was to be had: wait for the first that somebody was busy with.
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

-- `finish`, then `claim`, in one commit; no row where the attempt has ended already. Nobody is waited for, since the
-- queue of the run that ended is locked.
CREATE FUNCTION finish_and_claim(
    p_run_app text, p_id text, p_number integer, p_token text, p_status text, p_failures integer, p_losses integer,
    p_due_at bigint, p_finished_at bigint, p_reason text, p_why text, p_result text, p_error text, p_exit_code integer,
    p_signal integer, p_peak_memory_bytes bigint, p_cpu_time_s double precision, p_sandbox text, p_code text,
    p_node text, p_now bigint, p_tokens text[], p_app text[], p_task text[], p_need bigint[],
    p_file integer[], p_served bigint[], p_free bigint, p_passes boolean
) RETURNS TABLE (ended runs, outcome text, claims json, waiting json, is_busy boolean, instant bigint)
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    SELECT * INTO ended FROM finish(
        p_run_app, p_id, p_number, p_token, p_status, p_failures, p_losses, p_due_at, p_finished_at, p_reason, p_why,
        p_result, p_error, p_exit_code, p_signal, p_peak_memory_bytes, p_cpu_time_s, p_sandbox, p_code
    );
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT asked.outcome, asked.claims, asked.waiting, asked.is_busy, asked.instant
    INTO outcome, claims, waiting, is_busy, instant
    FROM claim(p_node, p_now, p_tokens, p_app, p_task, p_need, p_file, p_served, p_free, p_passes, TRUE, FALSE) AS asked;
    RETURN NEXT;
END $$;
