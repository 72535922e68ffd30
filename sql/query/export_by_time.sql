SELECT rowid, start_time, * FROM sessions INDEXED BY idx_sessions_start_time
WHERE (start_time, rowid) > (?1, ?2) AND start_time < ?3
ORDER BY start_time, rowid
LIMIT ?4
