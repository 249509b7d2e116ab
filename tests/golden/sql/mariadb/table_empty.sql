-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

CREATE TABLE reverse_etl.outcomes_vip_5 ( `seq` BIGINT, `status` LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, `outcome` LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, `error_code` LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, `error_reason` LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, `retryable` BOOL, `attempts` BIGINT ) ENGINE=InnoDB DEFAULT CHARACTER
SET utf8mb4 COLLATE utf8mb4_nopad_bin;
