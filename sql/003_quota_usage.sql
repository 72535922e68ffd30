-- What has been used of each quota in each period: the payload of sessions, added in the commits that
-- write it to their rows. Periods that are over are kept for a while, and mean nothing to the proxy.
CREATE TABLE quota_usage (
    subject TEXT NOT NULL,               -- quota/period/direction, then /user where each has his own
    period_start TEXT NOT NULL,          -- UTC, RFC 3339, milliseconds
    octets INTEGER NOT NULL,
    PRIMARY KEY (subject, period_start)
) WITHOUT ROWID;
