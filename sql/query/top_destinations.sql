-- Attempts that never named a target stay out.
SELECT dest_ip, dest_port, count(*) AS sessions, sum(bytes_sent + bytes_received)
FROM sessions WHERE start_time >= ?1 AND dest_ip <> ''
GROUP BY dest_ip, dest_port ORDER BY sessions DESC, dest_ip, dest_port LIMIT ?2
