-- The request log: a table partitioned by month, whose primary key Django cannot declare.

-- Requests and entries share one sequence of ids: the id of a paid charge is that of its entry, so it finds the debit
-- for ever, by one look-up, whatever became of the log (docs/decisions/0023).
CREATE TABLE usage_requestlog (
    id bigint DEFAULT nextval('ledger_entry_id_seq') NOT NULL,
    user_id bigint NOT NULL,
    api_key_id bigint,
    endpoint varchar(200) NOT NULL,
    path text NOT NULL,
    method varchar(10) NOT NULL,
    status smallint NOT NULL,
    units numeric(15, 6) DEFAULT 1 NOT NULL,
    credits numeric(15, 6) NOT NULL,
    unpaid boolean DEFAULT false NOT NULL,
    price_id bigint,
    entry_id bigint,
    latency_ms integer,
    request_id uuid,
    reference varchar(255),
    metadata jsonb DEFAULT '{}' NOT NULL,
    source varchar(255) NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz DEFAULT statement_timestamp() NOT NULL,
    PRIMARY KEY (id, occurred_at),
    CONSTRAINT request_is_plausible CHECK (
        status BETWEEN 100 AND 599 AND units >= 0 AND credits >= 0 AND (credits = 0) = (entry_id IS NULL))
) PARTITION BY RANGE (occurred_at);

CREATE INDEX requests_of_user_by_time ON usage_requestlog (user_id, occurred_at, id);
CREATE INDEX requests_by_time ON usage_requestlog USING brin (occurred_at)
    WITH (autosummarize = on, pages_per_range = 32);
CREATE INDEX requests_that_failed ON usage_requestlog (occurred_at) WHERE status >= 400;
CREATE INDEX requests_never_paid ON usage_requestlog (occurred_at) WHERE unpaid;

-- As for the ledger's tables: users have many rows, whatever a sample finds.
ALTER TABLE usage_requestlog ALTER COLUMN user_id SET (n_distinct = -0.001);
