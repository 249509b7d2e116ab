-- orders: none to three for each customer in 2025; the order number is customer * 4 + turn.
INSERT INTO ${schema}.orders
WITH turned AS (
  SELECT i, i * 4 + turns.turn AS draw
  FROM (${numbers}) AS numbers
  CROSS JOIN (VALUES (1), (2), (3)) AS turns (turn)
  WHERE turns.turn <= mod(${order_count}, 4)
)
SELECT
  draw,
  i,
  TIMESTAMP '2025-01-01 00:00:00' + mod(${ordered}, 31000000) * INTERVAL '1 second',
  CAST(CAST(300 + mod(${amount}, 12000) AS NUMERIC(12, 2)) * 0.01 AS NUMERIC(12, 2))
FROM turned;
