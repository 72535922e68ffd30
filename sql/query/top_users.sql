SELECT user, count(*), sum(bytes_sent + bytes_received) AS bytes
FROM sessions WHERE start_time >= ?1
GROUP BY user ORDER BY bytes DESC, user LIMIT ?2
