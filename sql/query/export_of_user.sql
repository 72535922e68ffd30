SELECT rowid, start_time, * FROM sessions INDEXED BY idx_sessions_user
WHERE user = ?4 AND rowid > ?1 AND rowid <= ?2 AND start_time >= ?5 AND start_time < ?6
ORDER BY rowid
LIMIT ?3
