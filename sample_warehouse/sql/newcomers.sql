-- newcomers: the numbers of the new customers, as many as the step picks, counted on from the
-- highest number in use. A query, not a statement: it stands in for the numbers of a first build.
SELECT CAST(highest.customer_id + row_number() OVER (ORDER BY picked.customer_id) AS BIGINT) AS i
FROM (
  SELECT DISTINCT customer_id FROM ${schema}.customers
  WHERE ${position} < ${leave_to}
) AS picked
CROSS JOIN (SELECT max(customer_id) AS customer_id FROM ${schema}.customers) AS highest
