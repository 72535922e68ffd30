-- A minute comes twice when the process was started again in it, or the clock was set back.
INSERT INTO traffic_minutes (minute, active, started, rejected, bytes_sent, bytes_received)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT(minute) DO UPDATE SET
    active = excluded.active,
    started = started + excluded.started,
    rejected = rejected + excluded.rejected,
    bytes_sent = bytes_sent + excluded.bytes_sent,
    bytes_received = bytes_received + excluded.bytes_received
