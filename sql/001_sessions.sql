-- One row for each attempt of one client to reach one target. The first eighteen columns are those of
-- the document that we implement, by name, type and order; those behind them may be NULL.
CREATE TABLE sessions (
    session_id TEXT PRIMARY KEY,         -- UUID v7
    user TEXT NOT NULL,                  -- who logged in, or the anonymous user's name
    start_time TEXT NOT NULL,            -- accept; UTC, RFC 3339, milliseconds
    end_time TEXT,                       -- start + monotonic duration
    duration_secs INTEGER,
    source_ip TEXT NOT NULL,             -- the client
    source_port INTEGER NOT NULL,
    dest_ip TEXT NOT NULL,               -- the target as asked for: a name stays a name
    dest_port INTEGER NOT NULL,
    protocol TEXT NOT NULL,              -- tcp, udp
    bytes_sent INTEGER NOT NULL,         -- payload, client to target, that the target's socket took
    bytes_received INTEGER NOT NULL,     -- payload, target to client, that the client's socket took
    packets_sent INTEGER NOT NULL,       -- transfers
    packets_received INTEGER NOT NULL,
    status TEXT NOT NULL,                -- active, closed, failed, rejected_by_acl
    close_reason TEXT,                   -- a sentence
    acl_rule_matched TEXT,
    acl_decision TEXT,                   -- allow, block

    duration_ms INTEGER,
    resolved_ip TEXT,                    -- the address that was dialled
    command TEXT,                        -- connect, bind, udp_associate
    close_code TEXT,                     -- the machine's word for close_reason
    rule_id INTEGER,
    policy_generation INTEGER,
    node TEXT,
    auth_us INTEGER,                     -- microseconds per stage; NULL where it did not happen
    resolve_us INTEGER,
    connect_us INTEGER,
    first_byte_us INTEGER,
    client_rtt_us INTEGER,
    upstream_rtt_us INTEGER,
    client_retransmits INTEGER,
    upstream_retransmits INTEGER,
    claimed_user TEXT                    -- the name that a failed login claimed
);

CREATE INDEX idx_sessions_user ON sessions(user);
CREATE INDEX idx_sessions_start_time ON sessions(start_time);
CREATE INDEX idx_sessions_status ON sessions(status);
-- Answers "WHERE datetime(start_time) >= …".
CREATE INDEX idx_sessions_start_datetime ON sessions(datetime(start_time));
