-- mariadb: only the text is compared here; the statement is executed on this engine
-- by tests/warehouses. Lines are broken for reading.

CREATE TABLE reverse_etl.snapshot_vip_5 (`_identity` VARCHAR(400), `_alias` VARCHAR(400), `_primary_key` LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, INDEX (_identity(191)), INDEX (_alias(191))) ENGINE=InnoDB DEFAULT CHARACTER
SET utf8mb4 COLLATE utf8mb4_nopad_bin AS
SELECT count(*) AS count_1
FROM reverse_etl.changes_vip_5;

CREATE TEMPORARY TABLE pending_vip (`_identity` VARCHAR(400), `_alias` VARCHAR(400), `_primary_key` LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, `_operation` LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, `_origin` LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, `_due` BOOL, `_fields` LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, INDEX (_identity(191)), INDEX (_alias(191))) ENGINE=InnoDB DEFAULT CHARACTER
SET utf8mb4 COLLATE utf8mb4_nopad_bin AS
SELECT count(*) AS count_1
FROM reverse_etl.changes_vip_5;
