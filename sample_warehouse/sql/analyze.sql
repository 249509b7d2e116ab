-- analyze: fresh statistics, so that the first query is planned for the real sizes.
ANALYZE ${schema}.customers;
ANALYZE ${schema}.experiment_assignments;
ANALYZE ${schema}.orders;
