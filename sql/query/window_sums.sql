SELECT
    count(*), coalesce(sum(bytes_sent), 0), coalesce(sum(bytes_received), 0),
    coalesce(sum(status = 'closed'), 0), coalesce(sum(status = 'failed'), 0),
    coalesce(sum(status = 'rejected_by_acl'), 0)
FROM sessions WHERE start_time >= ?1
