SELECT rowid, start_time, * FROM sessions
WHERE rowid > ?1 AND rowid <= ?2
ORDER BY rowid
LIMIT ?3
