-- duckdb: only the text is compared here; the statement is executed on this engine
-- by tests/conformance and tests/acceptance. Lines are broken for reading.

SELECT source."email" AS "email",
  source."plan" AS "plan",
  CAST(source."score" AS VARCHAR) AS "score"
FROM ( select customer_id,
    email,
    plan,
    score from customers where plan like '%:vip'
) AS source
LIMIT 0;
