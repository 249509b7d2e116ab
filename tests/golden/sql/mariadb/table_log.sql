-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

CREATE TABLE reverse_etl.sync_log ( sync_name LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, sync_run_id BIGINT, primary_key LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, identity LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, operation LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, status LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, error_code LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, error_reason LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, attempts BIGINT, sync_started_at DATETIME(6), sync_finished_at DATETIME(6) ) ENGINE=InnoDB DEFAULT CHARACTER
SET utf8mb4 COLLATE utf8mb4_nopad_bin;
