-- Where the rows of the longest window begin; from there on the table is read in its own order.
SELECT min(rowid) FROM sessions INDEXED BY idx_sessions_start_time WHERE start_time >= ?1
