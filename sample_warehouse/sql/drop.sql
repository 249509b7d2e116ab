-- drop: the three tables of an earlier build.
DROP TABLE IF EXISTS ${schema}.customers;
DROP TABLE IF EXISTS ${schema}.experiment_assignments;
DROP TABLE IF EXISTS ${schema}.orders;
