-- tables_there: the names in a schema; a name both in a database and an attached one counts once.
SELECT DISTINCT table_name FROM information_schema.tables WHERE table_schema = '${name}'
