-- One slice, oldest first; one is due each minute, more after a long down time.
DELETE FROM traffic_minutes WHERE minute IN (
    SELECT minute FROM traffic_minutes WHERE minute < ?1 ORDER BY minute LIMIT ?2
)
