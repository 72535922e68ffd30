-- By rowid, since reading row after row is many times faster than by the index or grouped.
SELECT start_time, user, dest_ip, dest_port, bytes_sent, bytes_received, status
FROM sessions NOT INDEXED WHERE rowid >= ?1 AND start_time >= ?2
