-- What passed in each minute, as it moved. A minute without a row is one in which nothing ran.
CREATE TABLE traffic_minutes (
    minute TEXT PRIMARY KEY,             -- its beginning; UTC, RFC 3339, milliseconds
    active INTEGER NOT NULL,             -- sessions alive at its end
    started INTEGER NOT NULL,            -- sessions that were given their permit
    rejected INTEGER NOT NULL,           -- attempts that a rule or the guard refused
    bytes_sent INTEGER NOT NULL,         -- payload, client to target
    bytes_received INTEGER NOT NULL      -- payload, target to client
) WITHOUT ROWID;
