-- numbers: the customer numbers of a first build.
SELECT CAST(n AS BIGINT) AS i FROM generate_series(1, ${people}) AS series (n)
