-- The figures of a session that lives. A row that is finished stays as it is.
UPDATE sessions SET
    bytes_sent = ?2,
    bytes_received = ?3,
    packets_sent = ?4,
    packets_received = ?5,
    resolved_ip = ?6,
    auth_us = ?7,
    resolve_us = ?8,
    connect_us = ?9,
    first_byte_us = ?10
WHERE session_id = ?1 AND status = 'active'
