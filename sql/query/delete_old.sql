-- One slice, oldest first; live sessions stay.
DELETE FROM sessions WHERE rowid IN (
    SELECT rowid FROM sessions
    WHERE start_time < ?1 AND status <> 'active'
    ORDER BY start_time
    LIMIT ?2
)
