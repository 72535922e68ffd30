SELECT (SELECT min(rowid) FROM sessions), (SELECT max(rowid) FROM sessions)
